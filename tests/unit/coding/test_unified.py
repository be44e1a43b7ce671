"""Unified diffs as models write them."""

from __future__ import annotations

import pytest

from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError
from swarmd.coding.merge import Scope
from swarmd.coding.unified import apply_hunks, hunks

TEXT = "def f(x):\n    a = 1\n\n    return x\n\n\ndef g(x):\n    return x\n"


@pytest.mark.parametrize(
    ("diff", "old", "new"),
    [
        ("@@ -90,2 +7,3 @@\n     a = 1\n+    b = 2\n", "    a = 1\n", "    a = 1\n    b = 2\n"),
        ("@@ ... @@ def f\n-    a = 1\n+    a = 2", "a = 1", "a = 2"),
        (
            "     a = 1\n-    return x\n+    return a",
            "    a = 1\n\n    return x",
            "    a = 1\n\n    return a",
        ),
        ("    a = 1\n+    b = 2\n", "    a = 1\n", "    a = 1\n    b = 2\n"),
        ("-a = 1\n+if x:\n+    a = 2", "    a = 1", "    if x:\n        a = 2"),
        (
            "@@ -1 +1 @@\n-    a = 1\n+    a = 3\n@@ -8 +8 @@\n def g(x):\n-    return x\n+    return 1",
            "    a = 1\n\n    return x\n\n\ndef g(x):\n    return x",
            "    a = 3\n\n    return x\n\n\ndef g(x):\n    return 1",
        ),
    ],
    ids=["numbers", "no-numbers", "blank-left-out", "no-leading-space", "no-indentation", "two"],
)
def test_what_fits(diff: str, old: str, new: str) -> None:
    assert apply_hunks(TEXT, hunks(diff)) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("diff", "error", "words"),
    [
        ("-    return x\n+    return 1", FormatError, "2 places"),
        ("-    zzz\n+    return 1", FormatError, "not in the file"),
        ("+    return 1", FormatError, "where it goes"),
        ("@@ -1 +1 @@\n def f(x):\n", NothingError, "nothing"),
    ],
)
def test_what_is_refused(diff: str, error: type[EditError], words: str) -> None:
    with pytest.raises(error, match=words):
        apply_hunks(TEXT, hunks(diff))


def test_a_reply_may_be_a_diff_of_the_target_alone() -> None:
    edit = Edit("a/b.py", TEXT, "symbol", Scope(frozenset({"f"})))
    diff = "--- a/a/b.py\n+++ b/a/b.py\n@@ -1 +1 @@\n-    a = 1\n+    a = 2\n"
    for reply in (f"```diff\n{diff}```", f"Here:\n```\n{diff}```", diff):
        assert read_edit(reply, edit) == TEXT.replace("a = 1", "a = 2")
    with pytest.raises(RefusedError, match=r"other.py; only a/b.py"):
        read_edit(f"```diff\n{diff}```".replace("b.py", "other.py"), edit)
    with pytest.raises(RefusedError, match="drops g"):
        read_edit("```diff\n-def g(x):\n-    return x\n```", edit)


def test_the_definition_beside_a_diff_counts_more() -> None:
    edit = Edit("b.py", TEXT, "symbol", Scope(frozenset({"f"})))
    reply = "```diff\n-    a = 1\n+    a = 2\n```\nso that it is\n```python\ndef f(x):\n    return 3\n```"
    assert "return 3" in read_edit(reply, edit)


def test_a_removed_comment_line_is_no_file_header() -> None:
    old = "select 1;\n-- drop me\nselect 2;\n"
    diff = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,1 @@\n-select 1;\n--- drop me\n+select 9;"
    assert apply_hunks(old, hunks(diff)) == "select 9;\nselect 2;\n"
    two = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/x\n+++ b/x\n@@ -2 +2 @@\n-c\n+d"
    assert apply_hunks("a\nc\n", hunks(two)) == "b\nd\n"
