"""Runs a project's gates on one commit of a request and makes the verdict of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from swarmd.messages import Failure, GateResult, GateSpec, Verdict
from swarmd.verify.bench import Bench
from swarmd.verify.compare import Demand
from swarmd.verify.digest import failure, gate_failure
from swarmd.verify.draft import Draft
from swarmd.verify.gates import Changed
from swarmd.verify.protect import top_names
from swarmd.verify.runners.suites import SuiteRun

__all__ = ["GatesRun", "run_gates", "verdict_of"]


HURRIED_S, HURRIED_TIMES = 5, 3
"""What a hurried gate gets: so many seconds, and so many times what it took on the base."""


@dataclass
class GatesRun:
    """The gates that were run on one commit, up to the first red one."""

    results: list[GateResult] = field(default_factory=list)
    failure: Failure | None = None
    suite: SuiteRun | None = None
    """The test run, if it came to that."""
    examples: SuiteRun | None = None
    """The run of the examples, if it came to that."""


def run_gates(
    bench: Bench,
    commit: str,
    changed: Changed,
    demand: Demand,
    *,
    skip: Collection[str] = (),
    hurried: bool = False,
) -> GatesRun:
    """Run the project's gates on ``commit``, cheapest first, until one is red; ``skip`` names runners.
    ``hurried``: with little more time than on the base, as for patches of which many make endless loops.

    All that are mandatory, whatever the packet's ``acceptance`` says: a plan is a model's word.
    """
    run = GatesRun()
    checkout = bench.checkout(commit, "gates")
    gates = bench.gates(commit, checkout)
    hidden = _hidden_modules(bench, checkout, changed)
    if hidden:
        text = f"it adds a module called {hidden[0]}, which hides the installed one from the tests"
        return GatesRun(failure=failure("refused", text))
    first_tests = bench.survey.first_tests
    # A project without tests may have got its first ones.
    more = [first_tests] if first_tests is not None and gates.test_files else []
    for spec in [*bench.survey.gates, *more]:
        if not spec.mandatory or spec.runner in skip:
            continue
        if _needs_clean(spec):
            checkout = bench.checkout(commit, "gates")
        spec = _hurry(spec, bench) if hurried else spec
        judged = gates.judge(spec, checkout, bench.facts, changed, demand)
        run.results.append(judged.result)
        if spec.runner == "examples":
            run.examples = judged.suite
        else:
            run.suite = judged.suite or run.suite
        if not judged.result.ok:
            run.failure = gate_failure(judged.result)
            break
    return run


def _hurry(spec: GateSpec, bench: Bench) -> GateSpec:
    tests = bench.facts.tests
    if tests is not None and not (tests.started and tests.finished):
        return spec  # how long they take is not known
    base = [result for result in bench.survey.base_results if result.gate == spec.gate]
    if not base:
        return spec
    seconds = max(result.seconds for result in base)
    timeout_s = min(spec.timeout_s, HURRIED_S + round(seconds * HURRIED_TIMES))
    return spec.model_copy(update={"timeout_s": timeout_s})


def _hidden_modules(bench: Bench, checkout: Path, changed: Changed) -> list[str]:
    """Installed or standard modules that the tests would no longer get, because of a new file."""
    before = {top for name in bench.survey.files for top in top_names(name)}
    new = {top for path, (old, _) in changed.items() if old is None for top in top_names(path)} - before
    names = sorted(name for name in new - {"src"} if name.isidentifier())
    return bench.context.importable(checkout, names) if names else []


def _needs_clean(spec: GateSpec) -> bool:
    """Whether a gate gets files that no earlier gate's code could have touched."""
    return spec.runner in ("pytest", "unittest", "examples", "command")


def verdict_of(bench: Bench, draft: Draft, run: GatesRun, *, held: bool = False) -> Verdict:
    """The verdict on ``draft`` after the gates in ``run``."""
    left_out = [
        f"{path} is judged as it is on the base commit: changing it needs a warrant"
        for path in draft.protected
    ]
    return Verdict(
        order_id=bench.order_id,
        ok=run.failure is None,
        failure=run.failure,
        gates=run.results,
        patch_sha256=draft.sha256,
        diff_lines=draft.patch.changed_lines,
        diff_files=len(draft.patch.files),
        protected=draft.protected,
        not_verified=list(bench.survey.not_verified),
        held=held,
        warnings=left_out,
    )
