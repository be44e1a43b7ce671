"""The hash that tells whether two answers are the same program."""

from __future__ import annotations

import pytest

from swarmd.coding.canonical import canonical, canonical_of_all

ONE = '''
def total(items, tax=0.0):
    """The sum."""
    result = 0
    for item in items:
        result += item.price  # each
    return result * (1 + tax)
'''
ALIKE = {
    "names": ONE.replace("result", "amount").replace("item ", "thing ").replace("item.", "thing."),
    "comments and layout": ONE.replace("  # each", "\n").replace("(1 + tax)", "( 1+tax )"),
    "line ends": ONE.replace("\n", "\r\n"),
}
OTHERS = {
    "operator": ONE.replace("1 + tax", "1 - tax"),
    "argument's name": ONE.replace("tax", "rate"),
    "default": ONE.replace("0.0", "0.1"),
    "attribute": ONE.replace("price", "cost"),
    "swapped variables": ONE.replace("return result", "return item"),
    "name": ONE.replace("total", "sum_of"),
    "docstring, whose examples are run": ONE.replace('"""The sum."""', '"""What it costs."""'),
    "global": ONE.replace("    result = 0", "    global result\n    result = 0"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_the_same_program_has_one_hash(name: str) -> None:
    assert ALIKE[name] != ONE
    assert canonical("a.py", ALIKE[name]) == canonical("a.py", ONE)


@pytest.mark.parametrize("name", OTHERS)
def test_another_program_has_another(name: str) -> None:
    assert canonical("a.py", OTHERS[name]) != canonical("a.py", ONE)


def test_what_is_seen_from_outside_keeps_its_name() -> None:
    assert canonical("a.py", "LIMIT = 1\n") != canonical("a.py", "BOUND = 1\n")
    made = "def make():\n    def inner(a): return a\n    return inner\n"
    assert canonical("a.py", made) != canonical("a.py", made.replace("(a): return a", "(b): return b"))


def test_files_that_do_not_parse_and_other_languages_are_compared_as_text() -> None:
    assert canonical("a.py", "def (\n") == canonical("a.py", "def (  ")
    assert canonical("a.js", "let a = 1;\n") == canonical("a.js", "let a = 1; ")
    assert canonical("a.yaml", "a:\n  b: 1\nc: 2\n") != canonical("a.yaml", "a:\n  b: 1\n  c: 2\n")
    assert canonical("a.js", "let a = 1;") != canonical("a.js", "let b = 1;")
    deep = "x = " + "(" * 5000 + ")" * 5000
    assert canonical("a.py", deep) == canonical("a.py", deep)
    nested = "x = " + "-" * 3000 + "1"
    assert canonical("a.py", nested) == canonical("a.py", nested)
    assert canonical("a.txt", "\udc80")


def test_several_files_in_any_order_under_their_paths() -> None:
    one, two = ("a.py", "x = 1\n"), ("b.py", "x = 2\n")
    assert canonical_of_all([one, two]) == canonical_of_all([two, one])
    assert canonical_of_all([one]) != canonical_of_all([("b.py", one[1])])
