"""The plan that each kind of request gets when no model has made a better one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from swarmd.messages import Survey
from swarmd.messages.request import Kind
from swarmd.planning.brief import Brief, Step
from swarmd.planning.paths import new_test
from swarmd.planning.typeinfo import of_role

__all__ = ["TEMPLATES", "UNPLANNED", "closing_roles", "steps_for", "testable", "with_tests"]

TEMPLATES: dict[Kind, tuple[str, ...]] = {
    "bugfix": ("work", "review", "git"),
    "feature": ("work", "testing", "review", "git"),
    "project": ("work", "testing", "review", "git"),
    "refactor": ("work", "review", "git"),
    "research": ("work", "review", "git"),
    "test": ("work", "git"),
    "docs": ("work", "git"),
    "review": ("work",),
    "deploy": ("work",),
}
"""``work`` is done by the agent type that serves the kind, the rest by the type of that role, where
one is installed. Tests come after the code that they test, and land together with it."""

UNPLANNED = ("review", "git", "deploy")
"""Roles whose work is one packet, whatever the request says: no model is asked to plan it."""

_TESTABLE = frozenset({".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"})
_GIST = 600


def closing_roles(kind: Kind) -> tuple[str, ...]:
    """The roles that end every plan of ``kind``, added by the harness and not by the model."""
    return tuple(role for role in TEMPLATES[kind] if role in ("review", "git"))


def testable(path: str) -> bool:
    """Whether tests can be written for ``path`` at all."""
    return PurePosixPath(path).suffix in _TESTABLE


def _judged(path: str, survey: Survey) -> bool:
    """Whether there is a runner that could tell whether new tests of ``path`` are any good."""
    return path.endswith(".py") and survey.test_gate is not None


def steps_for(brief: Brief, files: tuple[str, ...], tests: tuple[str, ...]) -> list[Step]:
    """The main steps of the kind's template, on ``files``, with new test files ``tests``.

    The closing steps are not among them.
    """
    return with_tests(brief, [_work(brief, files, tests)], tests)


def with_tests(brief: Brief, steps: Sequence[Step], tests: tuple[str, ...] = ()) -> list[Step]:
    """``steps``, and one for tests where the kind wants some and ``steps`` has none.

    They are written for the first file whose tests can be judged, into ``tests`` if given.
    """
    testing = of_role("testing", brief.types)
    wanted = "testing" in TEMPLATES[brief.kind] and not any(brief.role(s.type) == "testing" for s in steps)
    code = [path for step in steps if brief.role(step.type) == "coding" for path in step.files]
    subjects = [path for path in code if _judged(path, brief.survey)]
    if testing is None or not wanted or not subjects:
        return list(steps)
    added = Step(
        id="harness/tests",
        type=testing.name,
        goal=f"Write tests for what the request asks of {subjects[0]}.",
        files=tests or (new_test(subjects[0], brief.survey, set()),),
    )
    return [*steps, added]


def _work(brief: Brief, files: tuple[str, ...], tests: tuple[str, ...]) -> Step:
    where = ", ".join(files)
    if brief.worker.role == "testing":
        goal = f"Write tests for {where or 'the project'}: {gist(brief)}"
        return Step(id="work", type=brief.worker.name, goal=goal, files=tests or _test_files(brief, files))
    goal = f"{where}: {gist(brief)}" if where else gist(brief)
    return Step(id="work", type=brief.worker.name, goal=goal, files=files)


def _test_files(brief: Brief, sources: tuple[str, ...]) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for source in sources or (None,):
        taken[new_test(source, brief.survey, set(taken))] = None
    return tuple(taken)


def gist(brief: Brief) -> str:
    """The request's first words, on one line."""
    text = " ".join(brief.request.user_request[: 4 * _GIST].split())
    return text if len(text) <= _GIST else text[: _GIST - 2] + " …"
