"""Docstrings as literals: code never changes with them."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.coding.docstrings import clean, put
from swarmd.coding.failure import FormatError, NothingError

FILE = '''#!/bin/python
import os


def f(x):
    # first
    return x


class A:
    """Old."""

    def g(self): return 1
'''


@pytest.mark.parametrize(
    "reply",
    [
        "Return x.",
        '"Return x."',
        '"""Return x."""',
        '```python\n"""Return x."""\n```',
        'Here is the docstring:\n\n"""\nReturn x.\n"""\n',
        '```python\ndef f(x):\n    """Return x."""\n    return x\n```',
        "```\nReturn x.\n```",
        "Docstring:\nReturn x.",
    ],
)
def test_the_text_is_found(reply: str) -> None:
    assert clean(reply, "f") == "Return x."


@pytest.mark.parametrize("reply", ["", "```python\ndef f(x):\n    return x\n```", "x\n" * 50])
def test_what_is_no_docstring(reply: str) -> None:
    with pytest.raises(FormatError):
        clean(reply, "f")


def doc(source: str, name: str) -> str | None:
    tree = ast.parse(source)
    if not name:
        return ast.get_docstring(tree)
    (node,) = [n for n in ast.walk(tree) if getattr(n, "name", "") == name.rpartition(".")[2]]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(node)


@pytest.mark.parametrize("name", ["", "f", "A", "A.g"])
@pytest.mark.parametrize(
    "text",
    [
        "Short.",
        "First line.\n\nArgs:\n    x: a number.",
        'Says "hi"',
        "A \\d path C:\\new",
        "ends with \\",
        'q"""q',
    ],
)
def test_it_is_read_back_as_it_was_written(name: str, text: str) -> None:
    new = put(FILE, name, text)
    assert (doc(new, name) or "").replace("'''", '"""').strip() == text
    assert new.startswith("#!/bin/python\n")
    assert "    # first\n" in new


def test_a_body_on_the_line_of_its_def_moves_down() -> None:
    assert put(FILE, "A.g", "One.").endswith('    def g(self):\n        """One."""\n        return 1\n')


def test_long_lines_are_filled() -> None:
    new = put(FILE, "f", "word " * 60)
    assert max(len(line) for line in new.split("\n")) <= 96


def test_the_same_docstring_is_nothing_new() -> None:
    with pytest.raises(NothingError):
        put(FILE, "A", "Old.")
    with pytest.raises(FormatError):
        put(FILE, "missing", "x")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=200), st.sampled_from(["", "f", "A", "A.g"]))
def test_no_text_changes_the_code(text: str, name: str) -> None:
    try:
        new = put(FILE, name, text)
    except (FormatError, NothingError):
        return
    bare = ast.parse(new)
    for node in ast.walk(bare):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body.pop(0)
    expected = ast.parse(FILE)
    for node in ast.walk(expected):
        if isinstance(node, ast.ClassDef):
            node.body.pop(0)
    if name == "A":
        assert ast.dump(bare) == ast.dump(expected)
