"""From published tasks to problems: what is given, what is asked, and the cases that decide.

*implement*: signature and docstring are there, the body is to be written; all cases are hidden.
*fix*: the solution has one planted bug, half of the cases are a failing test file, the others are hidden.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from swarmd.bench import cases as casework
from swarmd.bench.cases import Cases
from swarmd.bench.dataset import Dataset, Task
from swarmd.bench.judge import Judge
from swarmd.bench.mutate import mutations
from swarmd.errors import UsageError

__all__ = ["MODULE", "TEST_PATH", "Problem", "Suite", "SuiteName", "build", "from_json", "path_of", "to_json"]

SuiteName = Literal["fix", "implement"]

MODULE = "solution"
TEST_PATH = f"tests/test_{MODULE}.py"
MAX_MUTANTS = 25
"""Tried for one task before it is given up."""

REQUESTS: dict[SuiteName, str] = {
    "fix": f"The tests in {TEST_PATH} fail. Fix the bug in {{name}} in {MODULE}.py.",
    "implement": f"Implement {{name}} in {MODULE}.py as its docstring says.",
}


def path_of() -> str:
    """The file that is to be changed."""
    return f"{MODULE}.py"


@dataclass(frozen=True)
class Problem:
    """One problem of a suite."""

    suite: SuiteName
    task_id: str
    entry_point: str
    source: str
    """The file as it is given."""
    request: str
    test: str
    """The test file that is shown; empty: none."""
    cases: Cases
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    mutation: str = ""
    """Kind and line of the planted bug."""

    @property
    def slug(self) -> str:
        """The task's id as a file name and request id."""
        kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in self.task_id.lower())
        return f"{self.suite}-{kept.strip('-')[:40]}"


@dataclass(frozen=True)
class Suite:
    """The problems that were chosen, and why others were not."""

    problems: tuple[Problem, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by task id."""


def build(
    dataset: Dataset,
    suite: SuiteName,
    count: int,
    seed: int,
    judge: Judge,
    on_step: Callable[[int, int], None] = lambda done, of: None,
) -> Suite:
    """The first ``count`` usable tasks, in the order that ``seed`` gives to all of them.

    The same for the same data, seed and suite, whoever solves it; a smaller ``count`` gives a prefix.
    """
    ids = [task.task_id for task in dataset.tasks]
    by_id = {task.task_id: task for task in dataset.tasks}
    made: list[Problem] = []
    skipped: dict[str, str] = {}
    for task_id in random.Random(seed).sample(ids, len(ids)):  # noqa: S311 - to be repeated
        if len(made) == count:
            break
        rng = random.Random(f"{seed}:{suite}:{task_id}")  # noqa: S311
        problem = _make(by_id[task_id], suite, rng, judge)
        if isinstance(problem, Problem):
            made.append(problem)
        else:
            skipped[task_id] = problem
        on_step(len(made), count)
    if not made:
        raise UsageError("no problem can be made of the tasks", code="E-BENCH-DATA", hint="Try other --data.")
    return Suite(tuple(made), skipped)


def _make(task: Task, suite: SuiteName, rng: random.Random, judge: Judge) -> Problem | str:
    """The problem, or why there is none."""
    cases = casework.read(task.test)
    if cases is None:
        return "its test is no check(candidate)"
    solution = f"{task.prompt.lstrip()}{task.canonical_solution}"
    if not _defines(solution, task.entry_point):
        return "its solution does not parse"
    if set(judge.run(solution, task.entry_point, cases, cases.codes)) != {"pass"}:
        return "its own solution fails its cases"
    return _implement(task, cases) if suite == "implement" else _fix(task, cases, solution, rng, judge)


def _defines(source: str, name: str) -> bool:
    try:
        return name in _top_names(source)
    except (SyntaxError, ValueError):
        return False


def _top_names(source: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(source).body if isinstance(node, kinds)}


def _implement(task: Task, cases: Cases) -> Problem | str:
    source = f"{task.prompt.strip()}\n    raise NotImplementedError\n"
    if not _defines(source, task.entry_point):
        return "its signature cannot stand without a body"
    request = REQUESTS["implement"].format(name=task.entry_point)
    return Problem("implement", task.task_id, task.entry_point, source, request, "", cases, (), cases.codes)


def _fix(task: Task, cases: Cases, solution: str, rng: random.Random, judge: Judge) -> Problem | str:
    if not cases.asserts:
        return "its cases cannot be told apart"
    solution = f"{solution.rstrip()}\n"
    for number, mutation in enumerate(mutations(solution, task.entry_point, rng)):
        if number == MAX_MUTANTS:
            break
        outcomes = judge.run(mutation.source, task.entry_point, cases, cases.asserts)
        if "timeout" in outcomes:  # a test that hangs measures patience
            continue
        failing = {place for place, outcome in enumerate(outcomes) if outcome == "fail"}
        dealt = casework.deal(len(cases.asserts), failing, rng)
        if dealt is not None:
            bug = f"{mutation.kind}, line {mutation.line}"
            return _fix_problem(task, cases, mutation.source, dealt, bug)
    return "no bug could be planted that a shown case sees"


def _fix_problem(
    task: Task, cases: Cases, source: str, dealt: tuple[Sequence[int], Sequence[int]], bug: str
) -> Problem:
    shown, hidden = dealt
    test = casework.test_file(MODULE, task.entry_point, _top_names(source), cases, shown)
    return Problem(
        "fix",
        task.task_id,
        task.entry_point,
        source,
        REQUESTS["fix"].format(name=task.entry_point),
        test,
        cases,
        tuple(cases.asserts[number] for number in shown),
        tuple(cases.asserts[number] for number in hidden),
        bug,
    )


def to_json(suite: Suite) -> dict[str, Any]:
    """``suite`` for a file."""
    return asdict(suite)


def from_json(data: dict[str, Any]) -> Suite:
    """The suite that ``to_json`` wrote. Raises KeyError, TypeError or ValueError when it is not one."""
    return Suite(tuple(_problem(one) for one in data["problems"]), dict(data["skipped"]))


def _problem(data: dict[str, Any]) -> Problem:
    cases = Cases(**{**data["cases"], "asserts": tuple(data["cases"]["asserts"])})
    tuples = {name: tuple(data[name]) for name in ("shown", "hidden")}
    return Problem(**{**data, **tuples, "cases": cases})
