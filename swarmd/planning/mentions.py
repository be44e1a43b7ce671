"""Which files a request points at, by their names in its text or by its failing tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from swarmd.messages import Survey, TestFailure
from swarmd.planning.paths import DOCUMENTS, SOURCES, changeable, is_test, subject_of_test

__all__ = ["Mentions", "Read", "culprits", "definers", "find", "suspected"]

Read = Callable[[str], str | None]
"""The text of a project file at the base commit; None when there is none or it is not text."""

_FILE = re.compile(r"(?<![\w/.:-])(?:\./)?((?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z]{1,5})(?![\w/])")
_DOTTED = re.compile(r"(?<![\w/.-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w/])")
_MODULE = re.compile(r"\bmodule\s+[`'\"]?(\w+)|[`'\"]?\b(\w+)[`'\"]?\s+module\b")
_WELL_KNOWN = re.compile(r"\b(readme|changelog|contributing)\b(?!\.)", re.IGNORECASE)
_IMPORT = re.compile(r"^\s*(?:from\s+(\.*[\w.]+)\s+import\b|import\s+([\w.]+))", re.MULTILINE)
_PRODUCTS = frozenset({"node.js", "vue.js", "next.js", "react.js", "express.js", "three.js", "d3.js"})
"""Names that look like files and are none."""
_IDENTIFIER = re.compile(
    r"`([A-Za-z_]\w*)(?:\(\))?`|\b([A-Za-z_]\w*)\(|\b(\w+_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*)\b"
)
_DEFINITION = re.compile(
    r"^[ \t]*(?:export[ \t]+(?:default[ \t]+)?)?(?:async[ \t]+)?(?:def|class|function\*?)[ \t]+(\w+)",
    re.MULTILINE,
)
MAX_SOURCES = 200
"""Most source files that are searched for a definition."""
MAX_SUSPECTED = 3
"""Most files that one packet owns because the failing tests run through them."""
_CLOSE = 0.4
"""A file whose best function has at least this share of the most suspicious one's score is suspected."""
_READ = 16_000
"""Characters of a request that are searched."""


@dataclass(frozen=True)
class Mentions:
    """The files that a text names, in the order of their first mention."""

    existing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    """Named like files of a sort that is written here, but not in the project."""


def find(text: str, survey: Survey) -> Mentions:
    """The files that ``text`` names: paths, bare file names that are unique, and module names."""
    text = text[:_READ].replace(survey.workspace.rstrip("/") + "/", "")
    found = Mentions()
    for match in _FILE.finditer(text):
        token = match[1].rstrip(".")
        path = _resolve(token, survey)
        if path is not None:
            _add(found.existing, path)
        elif _could_be_new(token):
            _add(found.new, token)
    for match in _DOTTED.finditer(text):
        _add(found.existing, _module(match[0], survey))
    for match in _MODULE.finditer(text):
        _add(found.existing, _module(match[1] or match[2], survey))
    for match in _WELL_KNOWN.finditer(text):
        _add(found.existing, _well_known(match[1].lower(), survey))
    return found


def _add(paths: list[str], path: str | None) -> None:
    if path is not None and path not in paths:
        paths.append(path)


def _resolve(token: str, survey: Survey) -> str | None:
    """The file that ``token`` names; of several of that name, the only one that is not a test."""
    if token in survey.files:
        return token
    found = [path for path in survey.files if path == token or path.endswith(f"/{token}")]
    if len(found) > 1:
        found = [path for path in found if not is_test(path)]
    return found[0] if len(found) == 1 else None


def _could_be_new(token: str) -> bool:
    suffix = PurePosixPath(token).suffix.removeprefix(".")
    return suffix in SOURCES | DOCUMENTS and token.lower() not in _PRODUCTS


def _module(name: str, survey: Survey) -> str | None:
    """The file of the module ``name`` (or of the module before ``name``'s last parts)."""
    parts = name.strip(".").split(".")
    for length in range(len(parts), 0, -1):
        stem = "/".join(parts[:length])
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            resolved = _resolve(path, survey)
            if resolved is not None:
                return resolved
        if length == 2:  # `os.path`: its first part alone says nothing about a file
            break
    return None


def _well_known(word: str, survey: Survey) -> str | None:
    found = [p for p in survey.files if "/" not in p and PurePosixPath(p).stem.lower() == word]
    return found[0] if found else None


def definers(text: str, survey: Survey, read: Read) -> list[str]:
    """The source files that define the functions and classes which ``text`` names.

    A name counts when it is written as code: with an underscore, with inner capitals, in backticks, or
    with parentheses. One that several files define points at none. In a project of more than
    ``MAX_SOURCES`` files nothing is looked for.
    """
    names = {next(filter(None, match.groups())) for match in _IDENTIFIER.finditer(text[:_READ])}
    sources = [p for p in changeable(survey) if PurePosixPath(p).suffix.removeprefix(".") in SOURCES]
    if not names or len(sources) > MAX_SOURCES:
        return []
    defined: dict[str, list[str]] = {}
    for path in sources:
        for name in {match[1] for match in _DEFINITION.finditer(read(path) or "")} & names:
            defined.setdefault(name, []).append(path)
    return sorted({paths[0] for paths in defined.values() if len(paths) == 1})


def culprits(text: str, survey: Survey, read: Read) -> list[str]:
    """The source files that the failing tests point at: those in the failures' frames, else those
    that the failing test files import, else those that they are named after.

    When ``text`` names failing tests, only those count.
    """
    failures = [f for result in survey.base_results for f in result.failures]
    failures = [f for f in failures if not survey.base_failed or f.test_id in survey.base_failed]
    named = [f for f in failures if _is_named(f, text)]
    found: list[str] = []
    for failure in named or failures:
        for path in _framed(failure, survey) or _behind(failure, survey, read):
            _add(found, path)
    return found


def suspected(survey: Survey) -> list[str]:
    """The source files in which one defect can be that all failing tests run into, the likeliest first, by
    the functions that they call; empty when that is not known, or there is no such function."""
    spectrum = survey.spectrum
    if spectrum is None or not any(one.failed == spectrum.failed for one in spectrum.suspects):
        return []
    least = spectrum.suspects[0].score * _CLOSE
    paths = [one.path for one in spectrum.suspects if one.score >= least and one.path in survey.files]
    return list(dict.fromkeys(paths))[:MAX_SUSPECTED]


def _is_named(failure: TestFailure, text: str) -> bool:
    name = re.split(r"::|\.", re.sub(r"\[.*", "", failure.test_id))[-1]
    pieces = [failure.test_id, name, *([PurePosixPath(failure.path).name] if failure.path else [])]
    return any(piece and piece in text for piece in pieces)


def _framed(failure: TestFailure, survey: Survey) -> list[str]:
    found: list[str] = []
    for frame in failure.frames:
        path = frame.partition(":")[0].removeprefix("./")
        if path in survey.files and not is_test(path) and path not in survey.protected:
            _add(found, path)
    return found


def _behind(failure: TestFailure, survey: Survey, read: Read) -> list[str]:
    test = failure.path or failure.test_id.partition("::")[0]
    found: list[str] = []
    for match in _IMPORT.finditer(read(test) or ""):
        path = _module((match[1] or match[2]).strip("."), survey)
        if path is not None and not is_test(path):
            _add(found, path)
    subject = subject_of_test(test, survey)
    if subject in found or not found:
        return [subject] if subject else []
    return found
