"""Reads unified diffs that the harness made: which paths, lines and symbols they change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError

__all__ = [
    "DiffLine",
    "FileCount",
    "changed_paths",
    "changed_symbols",
    "counts",
    "is_small",
    "lines",
    "shorten",
]

_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class DiffLine:
    """One changed line."""

    path: str
    sign: str
    """``+`` or ``-``."""
    text: str
    line: int
    """Its number in the new file; of a removed line, where it was."""


@dataclass(frozen=True)
class FileCount:
    """How much of one file changed."""

    path: str
    added: int
    removed: int


def lines(diff: str) -> Iterator[DiffLine]:
    """The added and removed lines of ``diff``."""
    path, number, old_left, new_left = "", 0, 0, 0
    for line in diff.split("\n"):
        if old_left <= 0 and new_left <= 0:
            hunk = _HUNK.match(line)
            if hunk:
                old_left, number = int(hunk[1] or 1), int(hunk[2])
                new_left = int(hunk[3] or 1)
            elif line.startswith(("+++ ", "--- ")):
                path = _path(line) or path
            continue
        sign = line[:1]
        if sign in "+-" and sign:
            yield DiffLine(path, sign, line[1:], number)
        old_left -= sign != "+" and sign != "\\"
        new_left -= sign != "-" and sign != "\\"
        number += sign not in ("-", "\\")


def _path(header: str) -> str:
    """The path of a ``---`` or ``+++`` line; empty for /dev/null."""
    path = header[4:].split("\t")[0].strip()
    return "" if path == "/dev/null" else re.sub(r"^[ab]/", "", path)


def changed_paths(diff: str) -> list[str]:
    """The paths that ``diff`` changes, in order."""
    return list(dict.fromkeys(line.path for line in lines(diff)))


def counts(diff: str) -> list[FileCount]:
    """Added and removed lines of each file."""
    changed = list(lines(diff))
    return [
        FileCount(
            path,
            sum(line.path == path and line.sign == "+" for line in changed),
            sum(line.path == path and line.sign == "-" for line in changed),
        )
        for path in dict.fromkeys(line.path for line in changed)
    ]


def is_small(diff: str, most: int) -> bool:
    """Whether ``diff``, which is whole, changes at most ``most`` lines and nothing but lines: no binary
    file, name or mode."""
    counted = counts(diff)
    files = len(re.findall(r"^diff --git ", diff, re.MULTILINE))
    return files == len(counted) and sum(one.added + one.removed for one in counted) <= most


def changed_symbols(diff: str, path: str, source: str) -> list[str]:
    """Functions and methods of ``source``, the new text of ``path``, in which ``diff`` added lines."""
    try:
        known = [symbol for symbol in symbols.read(source) if symbol.kind in ("function", "method")]
    except SyntaxFailedError:
        return []
    touched = [
        symbols.at_line(known, line.line) for line in lines(diff) if line.path == path and line.sign == "+"
    ]
    return list(dict.fromkeys(symbol.name for symbol in touched if symbol is not None))


def shorten(diff: str, limit: int) -> str:
    """At most about ``limit`` characters: without the lines around the changes, then cut at the end."""
    if len(diff) <= limit:
        return diff
    bare = [line for line in diff.split("\n") if line[:1] in ("+", "-", "@")]
    kept, room = [], limit
    for line in bare:
        room -= len(line) + 1
        if room < 0:
            kept.append("… (the diff goes on)")
            break
        kept.append(line)
    return "\n".join(kept)
