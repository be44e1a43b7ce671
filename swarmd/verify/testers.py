"""Judging tests that a model wrote: they count only if they can tell good code from bad."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from swarmd.messages import GateCounts, GateResult, GateSpec, Verdict
from swarmd.messages.gate import FailureClass
from swarmd.verify.bench import Bench
from swarmd.verify.compare import Demand, named_by
from swarmd.verify.digest import failure, gate_failure
from swarmd.verify.draft import Draft
from swarmd.verify.gating import GatesRun, run_gates, verdict_of
from swarmd.verify.mutate import MAX_MUTANTS, mutants, names_used
from swarmd.verify.protect import is_protected, is_test_file
from swarmd.verify.runners.findings import run_ruff
from swarmd.verify.runners.report import TestRecord, TestRun

__all__ = ["judge_tests_patch"]

MUTATION_SECONDS = 120.0
"""No new mutant is tried after so long."""
MAX_SCANNED = 300
"""Modules that are looked through for the functions that a test names."""


def judge_tests_patch(bench: Bench, draft: Draft, tip: str, *, to_come: bool) -> Verdict:
    """Judge new tests on top of ``tip``.

    With code still ``to_come``, tests that fail now are held until it lands. Otherwise all must pass,
    and at least one must fail on the base commit or on a mutant of the code under test.
    """
    files = list(draft.changed)
    names, none = frozenset(files), frozenset[str]()
    demand = Demand(
        files=none if to_come else names, may_fail=names if to_come else none, needs_tests=not to_come
    )
    # What is still to come has no types yet, so the type checker cannot be asked.
    run = run_gates(bench, draft.commit, draft.changed, demand, skip=("mypy",) if to_come else ())
    if run.failure is not None:
        return verdict_of(bench, draft, run)
    spec = bench.survey.test_gate
    if run.suite is None or spec is None:
        return _red(bench, draft, run, "missing", "the project has no test runner that could run these tests")
    new = _new_records(bench, run.suite.run, files)
    if not any(record.outcome in ("passed", "failed") for record in new):
        return _red(bench, draft, run, "missing", "no new test was collected and run")
    failing = [record for record in new if record.outcome == "failed"]
    if failing and to_come:
        unknown = _undefined_names(bench, draft)
        if unknown:
            return _red(bench, draft, run, "name", "\n".join(["the tests use undefined names", *unknown[:8]]))
        return verdict_of(bench, draft, run, held=True)
    return _judge_sharpness(bench, draft, tip, run, spec, {record.test_id for record in new})


def _new_records(bench: Bench, run: TestRun, files: list[str]) -> list[TestRecord]:
    base = bench.facts.tests
    known = {*base.passed, *base.failed, *base.skipped} if base else set()
    records = [*run.tests.values(), *run.broken.values()]
    return [
        one
        for one in records
        if one.test_id not in known and any(named_by(path, one.test_id) for path in files)
    ]


def _undefined_names(bench: Bench, draft: Draft) -> list[str]:
    checkout = bench.checkout(draft.commit, "gates")
    paths = [path for path in draft.changed if path.endswith(".py")]
    found = run_ruff(
        bench.context, checkout, seconds=60, options=["--isolated", "--select=F821,E9"], paths=paths
    )
    return [str(finding) for finding in found.findings]


def _red(bench: Bench, draft: Draft, run: GatesRun, kind: FailureClass, text: str) -> Verdict:
    run.failure = failure(kind, text, gate="tests")
    return verdict_of(bench, draft, run)


# can the tests fail?


def _judge_sharpness(
    bench: Bench, draft: Draft, tip: str, run: GatesRun, spec: GateSpec, new: set[str]
) -> Verdict:
    base = bench.repo.base()
    if tip != base:
        red = _failing_on_base(bench, draft, spec, base, new)
        if red:
            run.results.append(
                _sharpness(True, f"{len(red)} new tests fail on the base commit, as they should", 0)
            )
            return verdict_of(bench, draft, run)
    killed, tried = _kill_a_mutant(bench, draft, spec, new)
    text = f"a mutant was noticed: {killed}" if killed else _blunt(tried)
    result = _sharpness(killed is not None, text, tried)
    run.results.append(result)
    if killed is None:
        run.failure = gate_failure(result)
    return verdict_of(bench, draft, run)


def _blunt(tried: int) -> str:
    if not tried:
        return "the new tests call no function of the project, so they cannot tell good code from bad"
    return f"the new tests pass whatever the code does: {tried} broken versions of it were not noticed"


def _sharpness(ok: bool, detail: str, tried: int) -> GateResult:
    return GateResult(
        gate="mutation",
        argv=["mutate", "code under test"],
        ok=ok,
        exit_code=0,
        seconds=0.0,
        counts=GateCounts(collected=tried),
        sandbox_level="none",
        detail=detail,
        failure_kind=None if ok else "assertion",
    )


def _failing_on_base(bench: Bench, draft: Draft, spec: GateSpec, base: str, new: set[str]) -> list[str]:
    checkout = bench.checkout(base, "base")
    gates = bench.gates(base, checkout)
    _write(checkout, {path: texts[1] or "" for path, texts in draft.changed.items()})
    suite = gates.suite(spec, checkout, paths=list(draft.changed))
    bad = {record.test_id for record in suite.run.tests.values() if record.outcome == "failed"}
    broken = {path for path in suite.run.broken if any(test_id.startswith(path) for test_id in new)}
    return sorted((bad & new) | broken)


def _kill_a_mutant(bench: Bench, draft: Draft, spec: GateSpec, new: set[str]) -> tuple[str | None, int]:
    """What the first noticed mutant changed, and how many were tried."""
    spent, tried = 0.0, 0
    for path, change, source in _candidates(bench, draft):
        if tried >= MAX_MUTANTS or spent > MUTATION_SECONDS:
            break
        checkout = bench.checkout(draft.commit, "mutant")
        gates = bench.gates(draft.commit, checkout)
        _write(checkout, {path: source})
        suite = gates.suite(spec, checkout, paths=list(draft.changed))
        spent, tried = spent + suite.completed.seconds, tried + 1
        green = set(suite.run.outcomes("passed"))
        if suite.completed.limit == "timeout" or not new <= green:
            return f"{path} {change}", tried
    return None, tried


def _candidates(bench: Bench, draft: Draft) -> Iterator[tuple[str, str, str]]:
    """(path, what is changed, source) of mutants of the modules that the new tests import."""
    tests = [texts[1] or "" for path, texts in draft.changed.items() if path.endswith(".py")]
    names = {name for text in tests for name in names_used(text)}
    queues = []
    for path, text in _under_test(bench, draft.commit, names)[:MAX_MUTANTS]:
        queues.append([(path, mutant.change, mutant.source) for mutant in mutants(text, names)])
    for turn in range(MAX_MUTANTS):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _under_test(bench: Bench, commit: str, names: set[str]) -> list[tuple[str, str]]:
    """Modules that tests with these ``names`` import, then those that define one of them."""
    sources = [path for path in bench.repo.files(commit) if _is_source(path)]
    imported = [path for path in sources if _module(path) in names]
    found = [(path, bench.text(commit, path) or "") for path in imported]
    defining = re.compile(
        rf"^\s*(?:async\s+def|def|class)\s+(?:{'|'.join(map(re.escape, sorted(names)))})\b", re.M
    )
    for path in [path for path in sources if path not in imported][:MAX_SCANNED]:
        text = bench.text(commit, path) or ""
        if names and defining.search(text):
            found.append((path, text))
    return found


def _module(path: str) -> str:
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem == "__init__" else pure.stem


def _is_source(path: str) -> bool:
    return path.endswith(".py") and not is_test_file(path) and not is_protected(path)


def _write(checkout: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = checkout / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="surrogateescape")
