"""Applies search/replace edits: exactly, else without regard to indentation, else to blank lines.

A search text that fits several places is refused: guessing would edit the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarmd.coding.failure import FormatError, NothingError
from swarmd.coding.reply import Replacement
from swarmd.coding.splice import indent_of

__all__ = ["apply_replacements"]


def apply_replacements(text: str, changes: Sequence[Replacement]) -> str:
    """``text`` after all ``changes``, in order. Raises FormatError or NothingError."""
    for change in changes:
        if not change.closed:
            raise FormatError("A search/replace block has no end; close it with >>>>>>> REPLACE.")
        text = _apply_one(text, change)
    return text


def _apply_one(text: str, change: Replacement) -> str:
    if change.search == change.replace:
        raise NothingError("SEARCH and REPLACE are the same: that changes nothing.")
    lines, search, replace = text.split("\n"), change.search.split("\n"), change.replace.split("\n")
    if not change.search.strip():
        if text.strip():
            raise FormatError("SEARCH is empty; copy the lines to change from the file.")
        return change.replace
    for plain, trim in ((str.rstrip, False), (str.strip, False), (str.strip, True)):
        wanted = [plain(line) for line in search if line.strip() or not trim]
        places = _places(lines, wanted, plain, skip_blank=trim)
        if len(places) > 1:
            raise FormatError(f"SEARCH fits {len(places)} places; copy more lines around it.")
        if places:
            start, end = places[0]
            new = [] if change.replace == "" else _shift(replace, search, lines[start:end])
            return "\n".join([*lines[:start], *new, *lines[end:]])
    first = next(line.strip() for line in search if line.strip())
    raise FormatError(f"SEARCH is not in the file: {first[:200]!r}. Copy the lines exactly.")


def _places(
    lines: Sequence[str], wanted: Sequence[str], plain: Callable[[str], str], *, skip_blank: bool
) -> list[tuple[int, int]]:
    """Every (start, end) of ``lines`` that ``wanted`` fits, lines being compared as ``plain`` makes them."""
    rows = [(number, plain(line)) for number, line in enumerate(lines) if line.strip() or not skip_blank]
    texts, count = [text for _, text in rows], len(wanted)
    return [
        (rows[start][0], rows[start + count - 1][0] + 1)
        for start in range(len(texts) - count + 1)
        if texts[start] == wanted[0] and texts[start : start + count] == wanted
    ]


def _shift(replace: Sequence[str], search: Sequence[str], place: Sequence[str]) -> list[str]:
    """``replace`` moved by as much as the file's lines are off from the model's."""
    wrote = next((indent_of(line) for line in search if line.strip()), "")
    has = next((indent_of(line) for line in place if line.strip()), "")
    if wrote == has:
        return list(replace)
    return [
        has + line.removeprefix(wrote) if line.startswith(wrote) and line.strip() else line
        for line in replace
    ]
