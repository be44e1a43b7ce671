"""What the failing tests of the base commit say about where the defect is."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.modules import imported_files, is_test
from swarmd.coding.snapshot import Snapshot
from swarmd.messages import Survey, TestFailure

__all__ = ["Evidence", "collect", "relevant"]

MAX_FAILURES = 4
"""More failing tests say little that is new."""
MAX_VALUE, MAX_VALUES = 160, 7
"""Most characters of one local value, and most of them."""
MAX_HOPS = 3
"""Most packages through which a name is traced to its file."""
_FRAME = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+)(?:\s+(?:in\s+)?(?P<function>\S+))?")
_ABSENT = (
    re.compile(r"cannot import name ['\"](?P<name>\w+)['\"] from ['\"](?P<module>[\w.]+)['\"]"),
    re.compile(r"module ['\"](?P<module>[\w.]+)['\"] has no attribute ['\"](?P<name>\w+)['\"]"),
    re.compile(r"['\"](?P<owner>\w+)['\"](?: object)? has no attribute ['\"](?P<name>\w+)['\"]"),
)


@dataclass(frozen=True)
class Evidence:
    """One failing test, and what it touches."""

    failure: TestFailure
    code: str = ""
    """The test function's source; empty when it cannot be found."""
    frames: tuple[tuple[str, int], ...] = ()
    """(project file, line) outside the tests, innermost last."""
    called: tuple[str, ...] = ()
    """Names that the test calls."""
    judged: tuple[str, ...] = ()
    """Names in the statement that failed."""
    files: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """What the test file imports from the project: local name -> (file, name in it)."""
    values: tuple[str, ...] = ()
    """The innermost frame of the project, its line and its local values, where they say more than the test
    and its output do."""
    absent: tuple[tuple[str, str], ...] = ()
    """(class or module or "", name) that the failure says does not exist."""

    @property
    def paths(self) -> set[str]:
        """The project's files that it touches."""
        return {path for path, _ in (*self.frames, *self.files.values())}


def relevant(survey: Survey, text: str) -> list[TestFailure]:
    """The base commit's failing tests that ``text`` names; if it names none, all of them."""
    failures = [failure for result in survey.base_results for failure in result.failures]
    named = [failure for failure in failures if _is_named(failure, text)]
    return (named or failures)[:MAX_FAILURES]


def _is_named(failure: TestFailure, text: str) -> bool:
    name = re.split(r"::|\.", re.sub(r"\[.*", "", failure.test_id))[-1]
    pieces = [failure.test_id, name, PurePosixPath(failure.path).name if failure.path else ""]
    return any(piece and piece in text for piece in pieces)


def collect(failures: Sequence[TestFailure], survey: Survey, snapshot: Snapshot) -> list[Evidence]:
    """What each of ``failures`` touches."""
    return [_evidence(failure, survey, snapshot) for failure in failures]


def _evidence(failure: TestFailure, survey: Survey, snapshot: Snapshot) -> Evidence:
    frames = [_frame(text) for text in failure.frames]
    known = set(survey.files)
    source_frames = tuple((path, line) for path, line in frames if path in known and not is_test(path))
    absent = tuple(_absent(failure.message))
    values = _values(failure)
    path = failure.path or failure.test_id.partition("::")[0]
    source = snapshot.read(path)
    try:
        tree = symbols.parse(source or "")
    except SyntaxFailedError:
        return Evidence(failure, frames=source_frames, values=values, absent=absent)
    test = _find_test(tree, failure.test_id)
    lines = [line for frame_path, line in frames if frame_path == path]
    return Evidence(
        failure,
        code=symbols.segment(source or "", test) if test else "",
        frames=source_frames,
        called=tuple(symbols.calls_in(test.node)) if test else (),
        judged=tuple(_judged(test, lines)) if test else (),
        files=_origins(imported_files(tree, survey.files), survey, snapshot),
        values=values,
        absent=absent,
    )


def _values(failure: TestFailure) -> tuple[str, ...]:
    """The frames come first; then, indented, the innermost one's line and its values."""
    places = [text for text in failure.frames if not text.startswith(" ")]
    line, *values = [text.strip() for text in failure.frames if text.startswith("    ")] or [""]
    in_test = not places or is_test(_frame(places[-1])[0])
    if not line or (in_test and not values):
        return ()
    head = [] if in_test else [f"at {places[-1]}: {line}"]
    return tuple(text[:MAX_VALUE] for text in [*head, *values[:MAX_VALUES]])


def _origins(
    bound: dict[str, tuple[str, str | None]], survey: Survey, snapshot: Snapshot
) -> dict[str, tuple[str, str | None]]:
    """``bound``, with names that a package only passes on traced to the file that defines them."""
    return {name: _origin(path, inner, survey, snapshot) for name, (path, inner) in bound.items()}


def _origin(path: str, name: str | None, survey: Survey, snapshot: Snapshot) -> tuple[str, str | None]:
    for _ in range(MAX_HOPS):
        if name is None or not path.endswith("__init__.py"):
            break
        try:
            passed_on = imported_files(symbols.parse(snapshot.read(path) or ""), survey.files)
        except SyntaxFailedError:
            break
        if name not in passed_on:
            break
        path, name = passed_on[name]
    return path, name


def _frame(text: str) -> tuple[str, int]:
    match = _FRAME.match(text.strip().removeprefix("./"))
    return (match["path"], int(match["line"])) if match else ("", 0)


def _absent(message: str) -> list[tuple[str, str]]:
    found = []
    for pattern in _ABSENT:
        for match in pattern.finditer(message):
            groups = match.groupdict()
            found.append((groups.get("module") or groups.get("owner") or "", groups["name"]))
    return found


def _find_test(tree: ast.Module, test_id: str) -> symbols.Symbol | None:
    """The function of ``tests/test_a.py::TestB::test_c[x]`` or ``tests.test_a.TestB.test_c``."""
    plain = re.sub(r"\[.*", "", test_id)
    name = re.split(r"::|\.", plain)[-1]
    found = [symbol for symbol in symbols.read(tree) if symbol.short == name and symbol.kind != "constant"]
    inside = [symbol for symbol in found if symbol.owner and symbol.owner in plain]
    return next(iter(inside or found), None)


def _judged(test: symbols.Symbol, lines: Sequence[int]) -> list[str]:
    """Names in the statement of ``test`` at the last of ``lines``, else in its assertions."""
    inside = [node for node in ast.walk(test.node) if isinstance(node, ast.stmt) and node is not test.node]
    last = lines[-1] if lines else 0
    at = [node for node in inside if node.lineno <= last <= (node.end_lineno or node.lineno)]
    chosen = at[-1:] or [node for node in inside if isinstance(node, ast.Assert)]
    return [name for node in chosen for name in symbols.calls_in(node)]
