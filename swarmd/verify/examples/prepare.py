"""Chooses, on the base commit, the examples that count: what holds must go on holding, and what fails and
is asked for must come to hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarmd.messages import GateResult, GateSpec
from swarmd.messages.example import Example
from swarmd.verify.compare import base_facts
from swarmd.verify.discover import Tree
from swarmd.verify.examples.project import Project
from swarmd.verify.examples.run import SECONDS_EACH, example_failure, run_examples
from swarmd.verify.facts import ExampleFacts
from swarmd.verify.gates import Gates
from swarmd.verify.runners.report import TestRecord
from swarmd.verify.runners.suites import SuiteRun

__all__ = ["Chosen", "choose"]

MAX_NAMED = 8
"""Most ignored examples that are named one by one."""
_NO_MODULE = re.compile(r"No module named ['\"]([\w.]+)['\"]")
_NOT_THERE = frozenset({"NameError", "ImportError", "AttributeError"})


@dataclass
class Chosen:
    """The gate of a request's examples, if any counts."""

    spec: GateSpec | None = None
    result: GateResult | None = None
    """How they went on the base commit; its failures are those that must come to hold."""
    facts: ExampleFacts | None = None
    not_verified: list[str] = field(default_factory=list)


def choose(examples: Sequence[Example], gates: Gates, checkout: Path, *, timeout_s: int) -> Chosen:
    """Run ``examples`` on the base commit in ``checkout``, which is used up by it, and keep those that
    decide something. Raises SandboxError."""
    seconds = min(timeout_s, SECONDS_EACH * len(examples) + 20)
    suite = run_examples(gates.context, checkout, examples, tracked=gates.tracked, seconds=seconds)
    if not suite.run.finished or suite.wrong or suite.completed.limit is not None:
        how = suite.completed.limit or "; ".join(suite.wrong) or "the process was left"
        return Chosen(not_verified=[f"examples: on the base commit they do not run to their end ({how})"])
    project = Project(Tree(checkout, frozenset(gates.tracked)))
    sorted_out = _Sorting(project, suite)
    for one in examples:
        sorted_out.put(one)
    doubted = [one for one in sorted_out.doubted if one.origin != "request"]
    chosen = Chosen(not_verified=[*_ignored(sorted_out.ignored), *_doubted(doubted)])
    return _with_gate(chosen, sorted_out, gates, timeout_s) if sorted_out.kept else chosen


@dataclass
class _Sorting:
    """Sorts examples by how they went."""

    project: Project
    suite: SuiteRun
    kept: list[Example] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    ignored: list[Example] = field(default_factory=list)
    doubted: list[Example] = field(default_factory=list)

    def put(self, example: Example) -> None:
        """Keep it, ignore it, or drop it without a word."""
        record = self.suite.run.tests.get(example.example_id)
        if record is None or record.outcome not in ("passed", "failed"):
            return
        if record.outcome == "passed":
            (self.doubted if example.doubtful else self.kept).append(example)
        elif self._is_foreign(record, example):
            return
        elif example.about:
            self.kept.append(example)
            self.targets.append(example.example_id)
        else:
            self.ignored.append(example)

    def _is_foreign(self, record: TestRecord, example: Example) -> bool:
        """Whether it fails for a reason that has nothing to do with the task: a package that is not
        installed, or a name that does not exist and that nobody asks for."""
        missing = _NO_MODULE.search(record.message) if record.kind == "ModuleNotFoundError" else None
        if missing is not None:
            top = missing[1].partition(".")[0]
            asked = any(place.startswith(top) for places in example.names.values() for place in places)
            return not (asked or self.project.has(top))
        return record.kind in _NOT_THERE and example.origin != "request" and not record.frames


def _ignored(examples: list[Example]) -> list[str]:
    lines = [
        f"examples: {one.example_id} does not hold on the base commit, and the request is not about it"
        for one in examples[:MAX_NAMED]
    ]
    more = len(examples) - MAX_NAMED
    return [*lines, f"examples: {more} more do not hold on the base commit"] if more > 0 else lines


def _doubted(examples: list[Example]) -> list[str]:
    return [
        f"examples: {one.example_id} holds on the base commit, but the request may want it to change"
        for one in examples[:MAX_NAMED]
    ]


def _with_gate(chosen: Chosen, sorted_out: _Sorting, gates: Gates, timeout_s: int) -> Chosen:
    kept = {one.example_id: one for one in sorted_out.kept}
    run = sorted_out.suite.run
    tests = {name: record for name, record in run.tests.items() if name in kept}
    suite = replace(sorted_out.suite, run=replace(run, tests=tests, collected=set(kept)))
    origins = dict.fromkeys({"readme": "README"}.get(one.origin, one.origin) for one in sorted_out.kept)
    # several times what it took here, so that an endless loop does not take minutes
    seconds = min(timeout_s, max(30, round(suite.completed.seconds * 5) + 15))
    spec = GateSpec(
        gate="examples",
        runner="examples",
        argv=["examples", f"{len(kept)} from: {', '.join(origins)}"],
        timeout_s=seconds,
    )
    failures = [
        example_failure(run.tests[name], kept[name], sorted_out.project) for name in sorted_out.targets
    ]
    chosen.spec = spec
    chosen.result = gates.suite_result(spec, suite, not failures, detail="", failures=failures)
    chosen.facts = ExampleFacts(examples=sorted_out.kept, targets=sorted_out.targets, runs=base_facts(suite))
    return chosen
