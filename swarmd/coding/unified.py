"""Unified diffs as small models write them: wrong line numbers, context without its leading space.

What a hunk says is taken from its lines alone: the lines that it keeps or takes away say where it goes,
and must be in the file, once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.coding.failure import FormatError, NothingError
from swarmd.coding.splice import indent_of

__all__ = ["Hunk", "apply_hunks", "hunks", "is_diff", "path_in"]

_HUNK = re.compile(r"^@@.*?(?:@@|$)")
_HEADER = re.compile(r"^(?:diff --git |index [0-9a-f]+\.\.|--- |\+\+\+ |new file mode|similarity )")
_NEW_PATH = re.compile(r"^\+\+\+ (?:b/)?(\S+)", re.MULTILINE)
_DIFF_LANGUAGES = frozenset({"diff", "patch"})


@dataclass(frozen=True)
class Hunk:
    """One place of a diff: (sign, line) pairs, the sign one of space, ``-`` and ``+``."""

    lines: tuple[tuple[str, str], ...]

    @property
    def old(self) -> list[str]:
        """What must be in the file."""
        return [line for sign, line in self.lines if sign != "+"]


def is_diff(text: str, language: str) -> bool:
    """True when ``text``, a block in ``language``, is a diff that changes something."""
    marked = language in _DIFF_LANGUAGES or _HUNK.match(text.lstrip()) or _NEW_PATH.search(text)
    return bool(marked) and any(sign != " " for hunk in hunks(text) for sign, _ in hunk.lines)


def path_in(text: str) -> str | None:
    """The file that the diff says it is for, as spelled there."""
    match = _NEW_PATH.search(text)
    return match[1] if match else None


def hunks(text: str) -> list[Hunk]:
    """The hunks of ``text``; without any header, all of it is one."""
    found: list[list[tuple[str, str]]] = [[]]
    lines = text.split("\n")
    for line, before, after in zip(lines, ["", *lines], [*lines[1:], ""], strict=False):
        if _HUNK.match(line):
            found.append([])
        elif not _is_header(line, before, after, begun=len(found) > 1) and not line.startswith(
            "\\ No newline"
        ):
            sign = line[:1] if line[:1] in ("+", "-") else " "
            found[-1].append((sign, line[1:] if line[:1] in ("+", "-", " ") else line))
    return [Hunk(tuple(lines)) for lines in found if any(line.strip() for _, line in lines)]


def _is_header(line: str, before: str, after: str, *, begun: bool) -> bool:
    """Inside a hunk, ``--- x`` alone takes away a line ``-- x``: there file names come in pairs."""
    if not _HEADER.match(line):
        return False
    if not begun or not line.startswith(("--- ", "+++ ")):
        return True
    return after.startswith("+++ ") if line.startswith("--- ") else before.startswith("--- ")


def apply_hunks(text: str, changes: Sequence[Hunk]) -> str:
    """``text`` after all ``changes``. Raises FormatError when one has no place, or several; NothingError
    when none changes anything."""
    before = text
    for change in changes:
        text = _apply(text, change)
    if text == before:
        raise NothingError("The diff changes nothing.")
    return text


def _apply(text: str, change: Hunk) -> str:
    if all(sign == " " for sign, _ in change.lines):
        return text
    wanted = [line for line in change.old if line.strip()]
    if not wanted:
        raise FormatError("The diff does not say where it goes; show the lines around the change.")
    lines = text.split("\n")
    starts = _places(lines, wanted)
    if len(starts) != 1:
        fits = f"fits {len(starts)} places" if starts else f"is not in the file: {wanted[0].strip()[:200]!r}"
        raise FormatError(f"The diff {fits}. Write the complete new text instead.")
    end = _end(lines, starts[0], len(wanted))
    return "\n".join([*lines[: starts[0]], *_merged(lines[starts[0] : end], change), *lines[end:]])


def _places(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the lines ``wanted`` stand in ``lines``, without regard to indentation and blank lines."""
    filled = [(number, line.strip()) for number, line in enumerate(lines) if line.strip()]
    plain, bare = [line.strip() for line in wanted], [line for _, line in filled]
    return [
        filled[start][0]
        for start in range(len(bare) - len(plain) + 1)
        if bare[start] == plain[0] and bare[start : start + len(plain)] == plain
    ]


def _end(lines: Sequence[str], start: int, count: int) -> int:
    """The line after the ``count``-th that is not blank, from ``start``."""
    for number in range(start, len(lines)):
        count -= bool(lines[number].strip())
        if not count:
            return number + 1
    return len(lines)


def _merged(place: Sequence[str], change: Hunk) -> list[str]:
    """The file's lines with what the diff adds, at the file's indentation, less what it takes away."""
    rest = list(place)
    shift = ("", "")
    new: list[str] = []
    for sign, line in change.lines:
        if sign == "+":
            new.append(_shifted(line, *shift))
        elif line.strip():
            while rest and not rest[0].strip():
                new.append(rest.pop(0))
            wrote, has = indent_of(line), indent_of(rest[0])
            # One space less is the sign that models leave out before a line that stays.
            shift = ("", "") if sign == " " and len(has) - len(wrote) == 1 else (wrote, has)
            kept = rest.pop(0)
            new += [kept] if sign == " " else []
    return new


def _shifted(line: str, wrote: str, has: str) -> str:
    """``line`` moved by as much as the line before it is off from the file's."""
    if not line.strip():
        return ""
    if line.startswith(wrote):
        return has + line.removeprefix(wrote)
    return " " * max(len(indent_of(line)) + len(has) - len(wrote), 0) + line.lstrip()
