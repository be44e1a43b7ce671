"""Runs examples in the sandbox and says what their outcomes mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from swarmd.messages import TestFailure
from swarmd.messages.example import Example
from swarmd.verify.compare import Demand, Judgement, judge_tests
from swarmd.verify.context import GateContext
from swarmd.verify.digest import test_failure
from swarmd.verify.discover import Tree
from swarmd.verify.examples.project import Definition, Project
from swarmd.verify.facts import ExampleFacts
from swarmd.verify.runners.report import TestRecord
from swarmd.verify.runners.suites import SuiteRun, run_suite

__all__ = ["SECONDS_EACH", "example_failure", "judge_examples", "run_examples"]

SECONDS_EACH = 10
"""Most seconds that one example may take."""


def run_examples(
    context: GateContext,
    checkout: Path,
    examples: Sequence[Example],
    *,
    tracked: Collection[str],
    seconds: float,
) -> SuiteRun:
    """Run ``examples`` on the code in ``checkout``. Raises SandboxError when there is no sandbox.

    A name that has moved since the base commit is looked for where it is now.
    """
    project = Project(Tree(checkout, frozenset(tracked)))
    told = [_with_places(one, project).model_dump(mode="json") for one in examples]
    return run_suite(
        context,
        checkout,
        "examples",
        test_files=(),
        tracked=tracked,
        seconds=seconds,
        more={"examples": told, "seconds": min(SECONDS_EACH, seconds)},
    )


def _with_places(example: Example, project: Project) -> Example:
    names = {name: [*places, *_moved(name, places, project)] for name, places in example.names.items()}
    return example.model_copy(update={"names": names})


def _moved(name: str, places: Sequence[str], project: Project) -> list[str]:
    """Where else ``name`` is defined, if it is not where it was."""
    if places and all(":" not in place for place in places):
        return []
    inner = places[0].partition(":")[2] if places else name
    for place in places:
        path = project.modules.get(place.partition(":")[0])
        if path is not None and project.binds(path, inner):
            return []
    found = [project.module(path) for path in project.defining(inner)]
    return [f"{module}:{inner}" for module in found if module][:5]


def judge_examples(suite: SuiteRun, facts: ExampleFacts, demand: Demand, checkout: Path) -> Judgement:
    """The verdict on one run: what held on the base commit holds, and so do the demanded targets."""
    wanted = Demand(green=demand.examples & frozenset(facts.targets))
    judged = judge_tests(suite, facts.runs, wanted)
    if judged.ok or not judged.failures:
        return judged if judged.ok else replace(judged, detail=_of_examples(judged.detail))
    known = {one.example_id: one for one in facts.examples}
    records = [suite.run.tests[item.test_id] for item in judged.failures if item.test_id in suite.run.tests]
    project = Project(Tree(checkout, _python_files(checkout)))
    failures = [example_failure(record, known[record.test_id], project) for record in records]
    detail = (
        f"{len(failures)} of {len(suite.run.tests)} examples of the request, docstrings or README do not hold"
    )
    return replace(judged, detail=detail, failures=failures)


def _of_examples(detail: str) -> str:
    return detail.replace("the tests ", "the examples ").replace("the test run ", "the run of the examples ")


def _python_files(checkout: Path) -> frozenset[str]:
    found = checkout.rglob("*.py")
    return frozenset(str(path.relative_to(checkout)) for path, _ in zip(found, range(10_000), strict=False))


def example_failure(record: TestRecord, example: Example, project: Project) -> TestFailure:
    """``record`` as evidence: what the example says, what came, and where the called function stands."""
    shown = test_failure(record)
    message = re.sub(r"\A(?:[\w.]*\.)?AssertionError: (?=Failed example:)", "", shown.message)
    if not message.startswith("Failed example:"):
        message = "\n".join(["Failed example:", *_said(example), "Got:", _indented(message[:400])])
    frames = shown.frames
    if not frames:
        place = _definition(example, project)
        frames = [f"{place.path}:{place.line} {place.short}"] if place else []
    # Its place is in its id: a page of prose is no test file, and no file that is to be changed.
    return shown.model_copy(update={"message": message, "frames": frames, "path": None, "line": None})


def _said(example: Example) -> list[str]:
    lines = [_indented(step.source) for step in example.steps[-8:]]
    last = example.steps[-1]
    return [*lines, "Expected:", _indented(last.expected[:200])] if last.expected else lines


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


def _definition(example: Example, project: Project) -> Definition | None:
    """Where the called function is defined: it has no frame when it came back with a wrong value."""
    for places in example.names.values():
        for place in places:
            path = project.modules.get(place.partition(":")[0])
            for one in project.definitions(path) if path else ():
                if one.short == example.symbol or one.name == example.symbol:
                    return one
    return None
