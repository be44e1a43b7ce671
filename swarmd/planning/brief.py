"""What a plan is made from: the request, the project, the agent types, and the files that are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.errors import PlanError
from swarmd.messages import AcceptedRequest, Survey
from swarmd.messages.request import Kind
from swarmd.planning import mentions
from swarmd.planning.mentions import Read
from swarmd.planning.paths import SOURCES, is_test, problem_with, subject_of_test, tidy
from swarmd.planning.typeinfo import TypeInfo

__all__ = ["Brief", "Named", "Step", "named_files"]


@dataclass(frozen=True)
class Step:
    """One piece of work of a plan that is being made."""

    id: str
    """Its name inside the plan; with a "/" where no model gave it."""
    type: str
    goal: str
    files: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    """Ids of the steps that come before it."""
    skill: str | None = None
    gates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Brief:
    """Everything that planning knows before it begins."""

    request: AcceptedRequest
    survey: Survey
    types: dict[str, TypeInfo]
    kind: Kind
    worker: TypeInfo
    """The type that does the main work of the request's kind."""
    read: Read

    def role(self, type_name: str) -> str:
        """The built-in behaviour that agents of that type follow."""
        return self.types[type_name].role


@dataclass(frozen=True)
class Named:
    """The files that a request points at."""

    subjects: tuple[str, ...] = ()
    """What is to be changed, or tested, or reviewed."""
    tests: tuple[str, ...] = ()
    """New test files that it asks for by name."""
    binding: bool = False
    """The request lists its files: nothing else may be changed."""
    suspected: bool = False
    """The defect is in one of them, by what the failing tests call: there is nothing to plan."""


def named_files(brief: Brief) -> Named:
    """The files that the request lists, else that its text names, else that define what its text
    names, else that its failing tests point at.

    Raises PlanError when it lists a file that no plan may change.
    """
    if brief.request.files:
        return _listed(brief)
    found = mentions.find(brief.request.user_request, brief.survey)
    if brief.worker.role == "review":
        return Named(tuple(found.existing))
    tests = tuple(p for p in found.new if problem_with(p, brief.survey, testing=True) is None)
    subjects = _changeable(found.existing, brief)
    fresh = [p for p in _changeable(found.new, brief) if not _is_document(p) or brief.kind == "docs"]
    if brief.kind not in ("bugfix", "docs") or not subjects:
        subjects += fresh
    if not subjects and brief.worker.role == "testing":
        subjects = _subjects(found.existing, brief)
    if not subjects and brief.kind in ("bugfix", "docs", "test"):
        subjects = mentions.definers(brief.request.user_request, brief.survey, brief.read)
    if not subjects and brief.kind == "bugfix":
        suspects = _changeable(mentions.suspected(brief.survey), brief)
        if suspects:
            return Named(tuple(suspects), tests, suspected=True)
        pointed = mentions.culprits(brief.request.user_request, brief.survey, brief.read)
        subjects = _changeable(pointed, brief)
    return Named(tuple(subjects), tests)


def _listed(brief: Brief) -> Named:
    paths = list(dict.fromkeys(tidy(path, brief.survey) for path in brief.request.files))
    if brief.worker.role == "review":
        return Named(tuple(paths), binding=True)
    tests = [path for path in paths if is_test(path)]
    subjects = [path for path in paths if not is_test(path)]
    for path in subjects:
        _refuse(path, problem_with(path, brief.survey, testing=False))
    new_tests = [path for path in tests if path not in brief.survey.files]
    for path in new_tests:
        _refuse(path, problem_with(path, brief.survey, testing=True))
    if not subjects and brief.worker.role == "testing":
        subjects = _subjects(tests, brief)
    elif not subjects:
        _refuse(tests[0], "is a test file: only a testing agent may write it")
    return Named(tuple(subjects), tuple(new_tests), binding=True)


def _refuse(path: str, problem: str | None) -> None:
    if problem:
        raise PlanError(
            f"the request lists {path!r}, which {problem}",
            code="E-PLAN-FILES",
            hint='Correct "files" in the request; docs/security.md lists what only a warrant can change.',
            field="files",
        )


def _subjects(tests: list[str], brief: Brief) -> list[str]:
    found = (subject_of_test(path, brief.survey) for path in tests if is_test(path))
    return list(dict.fromkeys(path for path in found if path))


def _changeable(paths: list[str], brief: Brief) -> list[str]:
    """Those of ``paths`` that the main work may change; for code, pages only if nothing else is named."""
    fine = [path for path in paths if problem_with(path, brief.survey, testing=False) is None]
    code = [path for path in fine if not _is_document(path)]
    return code if code and brief.worker.role != "docs" else fine


def _is_document(path: str) -> bool:
    return PurePosixPath(path).suffix.removeprefix(".") not in SOURCES
