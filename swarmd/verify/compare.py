"""What a test run means: against the base commit, and against what is asked of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from swarmd.messages import TestFailure
from swarmd.messages.gate import FailureClass
from swarmd.verify.digest import class_of, test_failure
from swarmd.verify.facts import TestFacts
from swarmd.verify.protect import is_protected
from swarmd.verify.runners.report import TestRecord, TestRun
from swarmd.verify.runners.suites import SuiteRun

__all__ = ["Demand", "Judgement", "base_facts", "judge_tests", "named_by"]


@dataclass(frozen=True)
class Demand:
    """What a test run must show beyond "nothing that passed is broken"."""

    green: frozenset[str] = frozenset()
    """Ids that failed on the base and must pass: tests, or files that could not be collected."""
    files: frozenset[str] = frozenset()
    """Files of accepted tests: all of their tests must run and pass."""
    may_fail: frozenset[str] = frozenset()
    """Files of new tests for code that is still to come."""
    examples: frozenset[str] = frozenset()
    """Ids of the examples that failed on the base and must hold."""
    must_fix: bool = False
    """A gate that has only an exit code and was red on the base must turn green."""
    needs_tests: bool = False
    """No test at all is a failure, whatever the base had."""


@dataclass(frozen=True)
class Judgement:
    """Whether the tests are green, and if not, why."""

    ok: bool
    kind: FailureClass | None = None
    detail: str = ""
    failures: list[TestFailure] = field(default_factory=list)


def base_facts(suite: SuiteRun) -> TestFacts:
    """What the base commit's own run showed. A run that cannot be believed passed nothing."""
    run = suite.run
    believed = not suite.wrong
    return TestFacts(
        passed=run.outcomes("passed") if believed else [],
        failed=[*run.outcomes("failed", "lied", "unknown"), *run.broken],
        skipped=run.outcomes("skipped", "xfailed", "xpassed"),
        seals={test_id: record.seal for test_id, record in run.tests.items() if record.seal},
        tampered=sorted(run.tampered),
        touched=suite.touched,
        wrong=suite.wrong,
        started=run.started,
        finished=run.finished and suite.completed.limit is None,
        seconds=suite.completed.seconds,
    )


def judge_tests(suite: SuiteRun, base: TestFacts, demand: Demand) -> Judgement:
    """The verdict on one run. It rests on the report alone, never on the exit code."""
    run = suite.run
    return (
        _limits(suite)
        or _forged(suite, base)
        or _unfinished(suite)
        or _red(run, base, demand)
        or _absent(run, base)
        or _unmet(run, demand)
        or Judgement(True)
    )


def _limits(suite: SuiteRun) -> Judgement | None:
    limit = suite.completed.limit
    if limit is None:
        return None
    where = f" in {suite.run.running}" if suite.run.running else ""
    if limit == "timeout":
        seconds = round(suite.completed.seconds)
        return Judgement(
            False, "timeout", f"the tests were still running{where} after {seconds} s and were ended"
        )
    return Judgement(
        False, "limits", f"the tests used too much memory or too many processes{where} ({limit})"
    )


def _forged(suite: SuiteRun, base: TestFacts) -> Judgement | None:
    run = suite.run
    reasons = list(suite.wrong)
    known = set(base.tampered)
    tampered = sorted(name for name in run.tampered - known if not is_protected(name.rpartition(" by ")[2]))
    if tampered:
        reasons.append(f"code reached into the test run: {', '.join(tampered[:5])}")
    touched = sorted(set(suite.touched) - set(base.touched))
    if touched:
        reasons.append(
            f"files that decide the verdict were written while the tests ran: {', '.join(touched[:5])}"
        )
    lied = sorted(set(run.outcomes("lied")) - set(base.failed))
    if lied:
        reasons.append(f"{lied[0]} raised an error and was reported as passed")
    passed = set(run.outcomes("passed"))
    swapped = [name for name, seal in base.seals.items() if name in passed and run.tests[name].seal != seal]
    if swapped:
        reasons.append(f"{swapped[0]} is not the function that its file defines")
    if not reasons:
        return None
    text = "the test run cannot be believed: " + "; ".join(reasons)
    return Judgement(False, "forged", text)


def _unfinished(suite: SuiteRun) -> Judgement | None:
    run = suite.run
    if run.finished:
        return None
    broken = list(run.broken.values())
    where = f" in {run.running}" if run.running else ""
    detail = f"the test run ended early{where}: the process was left, or the runner could not start"
    tail = suite.completed.output.decode("utf-8", "replace").strip().splitlines()[-12:]
    failures = [test_failure(record) for record in broken[:10]]
    if broken:
        return Judgement(False, class_of(broken[0].kind), detail, failures)
    return Judgement(False, "missing", "\n".join([detail, *tail]), failures)


def _red(run: TestRun, base: TestFacts, demand: Demand) -> Judgement | None:
    """Tests that passed on the base and fail now, and those that must turn green and did not."""
    passed, known = set(base.passed), {*base.passed, *base.failed, *base.skipped}
    failing = [record for test_id, record in run.tests.items() if record.outcome == "failed"]
    broken = [
        record
        for test_id, record in run.broken.items()
        if test_id not in {*base.failed, *demand.may_fail} or test_id in demand.green
    ]
    wanted = [record for record in failing if _is_wanted(record.test_id, demand)]
    regressions = [record for record in failing if record.test_id in passed or _lost(record, known, base)]
    records = list({record.test_id: record for record in [*broken, *wanted, *regressions]}.values())
    if not records:
        return None
    detail = _count(len(regressions), "passed on the base and fails now", "passed on the base and fail now")
    return Judgement(
        False, class_of(records[0].kind), detail, [test_failure(record) for record in records[:20]]
    )


def _lost(record: TestRecord, known: set[str], base: TestFacts) -> bool:
    """Whether ``record`` stands for a test that passed on the base under another id: a case of a
    parametrised test whose ids differ from run to run."""
    if record.test_id in known:
        return False
    if not base.finished:  # it is not known whether it passed there, so it has to pass now
        return True
    if "[" not in record.test_id:
        return False
    stem = record.test_id.partition("[")[0] + "["
    cases = [test_id for test_id in known if test_id.startswith(stem)]
    return bool(cases) and not any(test_id in base.failed for test_id in cases)


def _is_wanted(test_id: str, demand: Demand) -> bool:
    file_id = test_id.partition("::")[0]
    return (
        test_id in demand.green
        or file_id in demand.green
        or any(named_by(path, test_id) for path in demand.files)
    )


def named_by(path: str, test_id: str) -> bool:
    """Whether the test ``test_id`` lies in the file ``path``, by pytest's or unittest's naming."""
    if test_id == path or test_id.startswith(f"{path}::"):
        return True
    dotted = test_id.removeprefix("unittest.loader._FailedTest.") + "."
    parts = path.removesuffix(".py").split("/")
    return any(dotted.startswith(".".join(parts[start:]) + ".") for start in range(len(parts)))


def _count(number: int, one: str, many: str) -> str:
    return "" if number == 0 else f"{number} test {one}" if number == 1 else f"{number} tests {many}"


def _absent(run: TestRun, base: TestFacts) -> Judgement | None:
    """Tests that passed on the base and did not run, or were skipped."""
    good = Counter(_stem(test_id) for test_id in run.outcomes("passed"))
    passed = set(run.outcomes("passed"))
    cases = Counter(_stem(test_id) for test_id in base.passed)
    missing = []
    for test_id in base.passed:
        if test_id in passed:
            continue
        if "[" in test_id and test_id not in run.tests and good[_stem(test_id)] >= cases[_stem(test_id)]:
            continue  # the ids of its cases differ from run to run, but as many passed
        missing.append(test_id)
    if not missing:
        return None
    states = [f"{name} ({_state(run, name)})" for name in missing[:6]]
    verb = _count(len(missing), "passed on the base and was not run", "passed on the base and were not run")
    return Judgement(False, "missing", f"{verb}: {', '.join(states)}", [])


def _stem(test_id: str) -> str:
    return test_id.partition("[")[0]


def _state(run: TestRun, test_id: str) -> str:
    if test_id in run.tests:
        return run.tests[test_id].outcome
    return "deselected" if test_id in run.deselected else "not collected"


def _unmet(run: TestRun, demand: Demand) -> Judgement | None:
    passed = run.outcomes("passed", "xpassed")
    for wanted in sorted(demand.green):
        inside = [record for test_id, record in run.tests.items() if test_id.startswith(f"{wanted}::")]
        if wanted not in passed and not (inside and all(record.outcome == "passed" for record in inside)):
            return Judgement(False, "missing", f"{wanted} must pass, but it was {_state(run, wanted)}")
    for path in sorted(demand.files):
        own = [record for test_id, record in run.tests.items() if named_by(path, test_id)]
        idle = [record.test_id for record in own if record.outcome not in ("passed", "failed")]
        if not own or idle:
            what = f"{idle[0]} was not run to its end" if idle else "none of its tests was collected"
            return Judgement(False, "missing", f"{path} must be tested with, but {what}")
    if demand.needs_tests and not run.tests:
        return Judgement(False, "missing", "no test was collected")
    return None
