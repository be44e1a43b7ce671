"""Runs gates one by one and turns each into evidence; on the base commit, or against it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmd.messages import GateCounts, GateResult, GateSpec, TestFailure
from swarmd.messages.gate import FailureClass
from swarmd.sandbox import Completed
from swarmd.verify.compare import Demand, base_facts, judge_tests
from swarmd.verify.context import GateContext
from swarmd.verify.digest import test_failure
from swarmd.verify.evidence import clean
from swarmd.verify.examples.run import judge_examples, run_examples
from swarmd.verify.facts import BaseFacts, ExampleFacts, GateFacts, TestFacts
from swarmd.verify.runners.findings import FindingsRun, new_findings, run_mypy, run_ruff
from swarmd.verify.runners.parse import parse_failures
from swarmd.verify.runners.suites import SuiteRun, run_suite

__all__ = ["Changed", "GateRun", "Gates", "Judged"]

Changed = Mapping[str, tuple[str | None, str | None]]
"""Path: text before and after, None for absent."""

MAX_SHOWN = 50
MAX_KEYS = 20_000


@dataclass(frozen=True)
class GateRun:
    """One gate's result, and what a later run may compare itself with."""

    result: GateResult
    facts: GateFacts
    tests: TestFacts | None = None


@dataclass(frozen=True)
class Judged:
    """One gate's verdict on a patch, with the whole test run where it was one."""

    result: GateResult
    suite: SuiteRun | None = None


@dataclass(frozen=True)
class Gates:
    """Runs the gates of one request's project."""

    context: GateContext
    test_files: Sequence[str]
    tracked: Collection[str]
    """All files of the commit, to tell what came into being while tests ran."""

    def on_base(self, spec: GateSpec, checkout: Path) -> GateRun:
        """Run ``spec`` on the base commit: nothing is compared. Raises SandboxError."""
        if spec.runner == "parse":
            return GateRun(_result(spec, None, ok=True), GateFacts(ok=True))
        if spec.runner in ("ruff", "mypy"):
            return self._base_findings(spec, self._check(spec, checkout))
        if spec.runner in ("pytest", "unittest"):
            return self._base_suite(spec, self.suite(spec, checkout))
        completed = self.context.run(checkout, spec.argv, seconds=spec.timeout_s)
        result = self._command(spec, completed)
        return GateRun(result, GateFacts(ok=result.ok))

    def judge(
        self, spec: GateSpec, checkout: Path, base: BaseFacts, changed: Changed, demand: Demand
    ) -> Judged:
        """Run ``spec`` on a patched checkout and compare it with ``base``. Raises SandboxError."""
        facts = base.gates.get(spec.gate, GateFacts(ok=True))
        if spec.runner == "parse":
            return Judged(self._parse(spec, changed))
        if spec.runner in ("ruff", "mypy"):
            return Judged(self._new_findings(spec, self._check(spec, checkout), facts))
        if spec.runner in ("pytest", "unittest"):
            suite = self.suite(spec, checkout)
            return Judged(self._judged_suite(spec, suite, base.tests or TestFacts(), demand), suite)
        if spec.runner == "examples":
            return self._judged_examples(spec, checkout, base.examples or ExampleFacts(), demand)
        result = self._command(spec, self.context.run(checkout, spec.argv, seconds=spec.timeout_s))
        if not (result.ok or facts.ok or spec.runner == "command" or demand.must_fix):
            result = result.model_copy(update={"ok": True, "detail": "red, as it was on the base commit"})
        return Judged(result)

    def suite(self, spec: GateSpec, checkout: Path, *, paths: Sequence[str] = ()) -> SuiteRun:
        """Run the tests, or only those in ``paths``. Raises SandboxError."""
        runner: Literal["pytest", "unittest"] = "unittest" if spec.runner == "unittest" else "pytest"
        return run_suite(
            self.context,
            checkout,
            runner,
            test_files=self.test_files,
            tracked=self.tracked,
            seconds=spec.timeout_s,
            paths=paths,
        )

    # parse

    def _parse(self, spec: GateSpec, changed: Changed) -> GateResult:
        lenient = self.context.interpreter.origin != "swarmd"
        failures = parse_failures(changed, lenient=lenient)
        counts = GateCounts(collected=len(changed), errors=len(failures))
        kind: FailureClass | None = "syntax" if failures else None
        return _result(spec, None, ok=not failures, counts=counts, failures=failures, failure_kind=kind)

    # lint and types

    def _check(self, spec: GateSpec, checkout: Path) -> FindingsRun:
        if spec.runner == "ruff":
            return run_ruff(self.context, checkout, seconds=spec.timeout_s)
        return run_mypy(self.context, checkout, spec.argv, seconds=spec.timeout_s)

    def _base_findings(self, spec: GateSpec, run: FindingsRun) -> GateRun:
        keys = [finding.key for finding in run.findings[:MAX_KEYS]]
        result = self._findings_result(spec, run, [str(finding) for finding in run.findings])
        usable = run.usable and len(run.findings) <= MAX_KEYS
        return GateRun(result, GateFacts(ok=result.ok, findings=keys, usable=usable))

    def _new_findings(self, spec: GateSpec, run: FindingsRun, facts: GateFacts) -> GateResult:
        fresh = new_findings(run.findings, facts.findings)
        return self._findings_result(spec, run, [str(finding) for finding in fresh])

    def _findings_result(self, spec: GateSpec, run: FindingsRun, shown: list[str]) -> GateResult:
        kind: FailureClass = "lint" if spec.runner == "ruff" else "types"
        detail = ""
        if run.completed.limit is not None:
            kind = "timeout" if run.completed.limit == "timeout" else "limits"
            detail = f"{spec.argv[0]} was ended by its {run.completed.limit} limit"
        elif not run.usable:
            tail = run.completed.output.decode("utf-8", "replace").strip().splitlines()[-5:]
            detail = "\n".join([f"{spec.argv[0]} did not work (exit code {run.completed.exit_code})", *tail])
        ok = run.usable and not shown
        return _result(
            spec,
            run.completed,
            ok=ok,
            counts=GateCounts(findings=len(shown)),
            findings=[clean(line)[:500] for line in shown[:MAX_SHOWN]],
            output_sha256=self._keep(run.completed),
            detail=clean(detail),
            failure_kind=None if ok else kind,
        )

    # tests

    def _base_suite(self, spec: GateSpec, suite: SuiteRun) -> GateRun:
        facts = base_facts(suite)
        red = [
            record
            for record in [*suite.run.broken.values(), *suite.run.tests.values()]
            if record.outcome == "failed"
        ]
        believed = suite.run.started and not suite.wrong
        ok = believed and facts.finished and not facts.failed
        detail = "; ".join(suite.wrong) if suite.wrong else "" if facts.finished else _why_unfinished(suite)
        result = self.suite_result(
            spec, suite, ok, detail=detail, failures=[test_failure(one) for one in red[:50]]
        )
        return GateRun(result, GateFacts(ok=ok, usable=believed), facts)

    def _judged_suite(self, spec: GateSpec, suite: SuiteRun, base: TestFacts, demand: Demand) -> GateResult:
        judged = judge_tests(suite, base, demand)
        return self.suite_result(
            spec, suite, judged.ok, detail=judged.detail, failures=judged.failures, failure_kind=judged.kind
        )

    def suite_result(
        self,
        spec: GateSpec,
        suite: SuiteRun,
        ok: bool,
        *,
        detail: str,
        failures: list[TestFailure],
        failure_kind: FailureClass | None = None,
    ) -> GateResult:
        """A run of tests or examples as evidence."""
        run = suite.run
        counts = GateCounts(
            collected=len(run.collected | set(run.tests)),
            passed=len(run.outcomes("passed", "xpassed")),
            failed=len(run.outcomes("failed", "lied", "unknown")),
            errors=len(run.broken),
            skipped=len(run.outcomes("skipped", "xfailed")),
        )
        sha256 = self._keep(suite.completed, suite.note)
        return _result(
            spec,
            suite.completed,
            ok=ok,
            counts=counts,
            failures=failures,
            output_sha256=sha256,
            detail=clean(detail)[:2000],
            failure_kind=failure_kind,
        )

    def _judged_examples(self, spec: GateSpec, checkout: Path, facts: ExampleFacts, demand: Demand) -> Judged:
        suite = run_examples(
            self.context, checkout, facts.examples, tracked=self.tracked, seconds=spec.timeout_s
        )
        judged = judge_examples(suite, facts, demand, checkout)
        result = self.suite_result(
            spec,
            suite,
            judged.ok,
            detail=judged.detail,
            failures=judged.failures,
            failure_kind=judged.kind,
        )
        return Judged(result, suite)

    # commands and npm scripts

    def _command(self, spec: GateSpec, completed: Completed) -> GateResult:
        ok = completed.exit_code == 0
        kind: FailureClass | None = None
        detail = ""
        if not ok:
            kind = "timeout" if completed.limit == "timeout" else "limits" if completed.limit else "assertion"
            tail = clean(completed.output.decode("utf-8", "replace")).strip().splitlines()[-25:]
            how = (
                f"ended by its {completed.limit} limit"
                if completed.limit
                else f"exit code {completed.exit_code}"
            )
            detail = "\n".join([f"{' '.join(spec.argv)[:200]}: {how}", *tail])[:2000]
        return _result(
            spec, completed, ok=ok, output_sha256=self._keep(completed), detail=detail, failure_kind=kind
        )

    def _keep(self, completed: Completed, note: str = "") -> str:
        return self.context.artifacts.keep(note.encode() + completed.output)


def _why_unfinished(suite: SuiteRun) -> str:
    limit = suite.completed.limit
    tail = suite.completed.output.decode("utf-8", "replace").strip().splitlines()[-5:]
    how = f"the tests were ended by their {limit} limit" if limit else "the test run did not come to its end"
    return "\n".join([how, *tail])


def _result(spec: GateSpec, completed: Completed | None, *, ok: bool, **fields: object) -> GateResult:
    values = {
        "gate": spec.gate,
        "argv": spec.argv,
        "ok": ok,
        "exit_code": completed.exit_code if completed else 0,
        "seconds": round(completed.seconds, 3) if completed else 0.0,
        "sandbox_level": completed.level if completed else "none",
        **fields,
    }
    return GateResult.model_validate(values)
