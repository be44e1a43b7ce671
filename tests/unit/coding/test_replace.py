"""Search/replace edits, from exact to tolerant, never ambiguous."""

from __future__ import annotations

import pytest

from swarmd.coding.failure import EditError, FormatError, NothingError
from swarmd.coding.replace import apply_replacements
from swarmd.coding.reply import Replacement

TEXT = "a\n    b\n\n    c\nd\n    b\n"


@pytest.mark.parametrize(
    ("search", "replace", "result"),
    [
        ("a\n    b", "A\n    B", "A\n    B\n\n    c\nd\n    b\n"),
        ("d  ", "D", "a\n    b\n\n    c\nD\n    b\n"),
        ("c", "x\n  y", "a\n    b\n\n    x\n      y\nd\n    b\n"),
        ("b\nc", "e", "a\n    e\nd\n    b\n"),
        ("    c\n", "", "a\n    b\n\nd\n    b\n"),
    ],
    ids=["exact", "trailing-space", "indentation", "blank-line", "deletion"],
)
def test_what_fits(search: str, replace: str, result: str) -> None:
    assert apply_replacements(TEXT, [Replacement(search, replace)]) == result


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (Replacement("    b", "x"), FormatError, "2 places"),
        (Replacement("zzz", "x"), FormatError, "not in the file"),
        (Replacement(" ", "x"), FormatError, "empty"),
        (Replacement("a", "a"), NothingError, "same"),
        (Replacement("a", "x", closed=False), FormatError, "no end"),
    ],
)
def test_what_is_refused(change: Replacement, error: type[EditError], words: str) -> None:
    with pytest.raises(error, match=words):
        apply_replacements(TEXT, [change])


def test_changes_follow_each_other() -> None:
    changes = [Replacement("a", "x"), Replacement("x\n    b", "y")]
    assert apply_replacements(TEXT, changes).startswith("y\n\n")
