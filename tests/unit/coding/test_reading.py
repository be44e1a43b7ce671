"""Outlines, diffs, imports and the snapshot reader."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmd.coding import diffs, imports
from swarmd.coding.imports import Import
from swarmd.coding.modules import dotted, file_of, is_test
from swarmd.coding.outline import outline
from swarmd.coding.snapshot import MAX_FILE_BYTES, Snapshot, clean_path

SOURCE = '''"""Doc."""
import os
LIMIT: int = 3
TABLE = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}


@cache
async def f(a, b: int = 1, *, c) -> str:
    """Doc."""
    return ""


class A(B, C):
    x: int = 1

    @property
    def y(self): return 1


class Empty(Exception):
    """Doc."""
'''


def test_an_outline_has_signatures_and_no_bodies() -> None:
    assert outline(SOURCE).split("\n") == [
        "LIMIT: int = 3",
        "TABLE = {'a': 1, 'b': 2, 'c': 3, 'd':  …",
        "@cache",
        "async def f(a, b: int=1, *, c) -> str: ...",
        "class A(B, C):",
        "    x: int = 1",
        "    @property",
        "    def y(self): ...",
        "class Empty(Exception): ...",
    ]


def test_an_outline_can_be_narrowed() -> None:
    assert outline(SOURCE, only={"y"}) == "class A(B, C):\n    @property\n    def y(self): ..."
    assert "def f" not in outline(SOURCE, skip={"f"})
    assert outline("def f(:") == ""


DIFF = """diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,4 +1,5 @@
 def f():
-    return 1
+    x = 1
+    return x
 #
 def g():
@@ -9 +10 @@
---- not a header
++++ nor this
\\ No newline at end of file
diff --git a/b c.md b/b c.md
new file mode 100644
--- /dev/null
+++ b/b c.md
@@ -0,0 +1,1 @@
+# Title
"""


def test_changed_lines_are_numbered_in_the_new_file() -> None:
    found = [(line.path, line.sign, line.text, line.line) for line in diffs.lines(DIFF)]
    assert found == [
        ("a.py", "-", "    return 1", 2),
        ("a.py", "+", "    x = 1", 2),
        ("a.py", "+", "    return x", 3),
        ("a.py", "-", "--- not a header", 10),
        ("a.py", "+", "+++ nor this", 10),
        ("b c.md", "+", "# Title", 1),
    ]
    assert [(one.path, one.added, one.removed) for one in diffs.counts(DIFF)] == [
        ("a.py", 3, 2),
        ("b c.md", 1, 0),
    ]


def test_changed_symbols() -> None:
    assert diffs.changed_symbols(
        DIFF, "a.py", "def f():\n    x = 1\n    return x\n\ndef g():\n    pass\n"
    ) == ["f"]


def test_a_shortened_diff_says_so() -> None:
    assert diffs.shorten(DIFF, 10_000) == DIFF
    short = diffs.shorten(DIFF, 60)
    assert short.endswith("… (the diff goes on)")
    assert "def f" not in short


@pytest.mark.parametrize(
    ("before", "item", "after"),
    [
        ("import os\nimport sys\n", Import("re", None), "import os\nimport re\nimport sys\n"),
        ("import os\n\nimport numpy\n", Import("re", None), "import os\nimport re\n\nimport numpy\n"),
        ("import numpy\n", Import("re", None), "import re\n\nimport numpy\n"),
        ("import os\n", Import("numpy", None, "np"), "import os\n\nimport numpy as np\n"),
        ("from a import B, c\n", Import("a", "D"), "from a import B, D, c\n"),
        ("from a import (\n    b,\n)\n", Import("a", "c"), "from a import (\n    b,\n)\nfrom a import c\n"),
        ("from . import x\n", Import("os", None), "import os\n\nfrom . import x\n"),
        ("import os.path\n", Import("os", None), "import os.path\n"),
        ("try:\n    import re\nexcept ImportError:\n    re = None\n", Import("re", None), None),
    ],
)
def test_imports_go_where_a_linter_wants_them(before: str, item: Import, after: str | None) -> None:
    assert imports.add(before, [item]) == (after or before)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("shop/cart.py", "shop.cart"),
        ("src/shop/cart.py", "shop.cart"),
        ("src/shop/__init__.py", "shop"),
        ("cart.py", "cart"),
        ("tools/run.py", "tools.run"),
        ("a/b/c.py", "c"),
    ],
)
def test_the_name_under_which_a_file_is_imported(path: str, name: str) -> None:
    assert dotted(path, ["shop/__init__.py", "src/shop/__init__.py"]) == name


def test_modules_are_found_in_any_root() -> None:
    files = ["src/shop/cart.py", "src/shop/__init__.py", "vendor/x/shop/cart.py"]
    assert file_of("shop.cart", files) == "src/shop/cart.py"
    assert file_of("shop", files) == "src/shop/__init__.py"
    assert file_of("cart2", files) is None


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("tests/a.py", True),
        ("a/test_b.py", True),
        ("b_test.py", True),
        ("x.test.js", True),
        ("testing.py", False),
    ],
)
def test_tests_are_known_by_name_or_folder(path: str, test: bool) -> None:
    assert is_test(path) == test


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("a/b.py", "a/b.py"),
        ("./a//b.py", "a/b.py"),
        ("../a", None),
        ("a/../b", None),
        ("/etc/passwd", None),
        (".git/config", None),
        ("a/.GIT/x", None),
        ("", None),
        ("a\nb", None),
    ],
)
def test_paths_stay_inside(path: str, clean: str | None) -> None:
    assert clean_path(path) == clean


def test_the_snapshot_follows_no_link_and_waits_for_nothing(tmp_path: Path) -> None:
    root, outside = tmp_path / "p", tmp_path / "secret"
    (root / "d").mkdir(parents=True)
    outside.mkdir()
    (outside / "key").write_text("secret")
    (root / "d" / "ok.py").write_text("é")
    (root / "link").symlink_to(outside / "key")
    (root / "folder").symlink_to(outside)
    os.mkfifo(root / "fifo")
    (root / "binary").write_bytes(b"\xff\x00")
    (root / "large").write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    read = Snapshot(root).read
    assert read("d/ok.py") == "é"
    for path in ("link", "folder/key", "fifo", "binary", "large", "d", "none", "../secret/key", "d/ok.py/x"):
        assert read(path) is None, path
    assert Snapshot(root).exists("link")
    assert not Snapshot(root).exists("none")


ONE_LINE = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"
RENAMED = "diff --git a/b.py b/c.py\nsimilarity index 100%\nrename from b.py\nrename to c.py\n"
BINARY = "diff --git a/x.png b/x.png\nindex 1..2 100644\nBinary files a/x.png and b/x.png differ\n"


@pytest.mark.parametrize(
    ("diff", "most", "small"),
    [
        (ONE_LINE, 2, True),
        (ONE_LINE, 1, False),
        (ONE_LINE + ONE_LINE.replace("a.py", "d.py"), 4, True),
        (ONE_LINE + RENAMED, 9, False),
        (ONE_LINE + BINARY, 9, False),
    ],
)
def test_a_diff_is_small_by_its_lines_and_nothing_else(diff: str, most: int, small: bool) -> None:
    assert diffs.is_small(diff, most) == small
