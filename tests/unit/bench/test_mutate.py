"""Planted bugs: one, in the function, and always the same for the same seed."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.bench.mutate import KINDS, mutations
from tests.unit.bench.invented import FENCE, SHELVES

SOURCES = {
    "fence_posts": FENCE.prompt + FENCE.canonical_solution,
    "heaviest": SHELVES.prompt + SHELVES.canonical_solution,
    "grade": '''
def other(x):
    return x + 1


def grade(points, most=100):
    """Ünïcode before the code: «é»."""
    label = "ß"; share = (points + 1) * 2 // most  # a remark
    if not points or share > most and 0 < points <= most:
        share -= 1
    return [one * share for one in range(3)] if label in "abcß" else share
''',
}


def differences(old: ast.AST, new: ast.AST) -> int:
    """In how many smallest places two trees differ."""
    if type(old) is not type(new):
        return 1
    count = 0
    for (name, one), (_, two) in zip(ast.iter_fields(old), ast.iter_fields(new), strict=True):
        if isinstance(one, ast.AST) and isinstance(two, ast.AST):
            count += differences(one, two)
        elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            pairs = zip(one, two, strict=True)
            count += sum(differences(a, b) if isinstance(a, ast.AST) else a != b for a, b in pairs)
        elif one != two and name != "ctx":
            count += 1
    return count


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(sorted(SOURCES)), st.integers())
def test_each_differs_in_one_place_and_is_made_again(name: str, seed: int) -> None:
    source = SOURCES[name]
    found = list(mutations(source, name, random.Random(seed)))
    assert found == list(mutations(source, name, random.Random(seed)))
    without = {"operator"} if name == "heaviest" else set()
    assert {one.kind for one in found} == set(KINDS) - without
    tree = ast.parse(source)
    for one in found:
        changed = [
            (old, new)
            for old, new in zip(source.splitlines(), one.source.splitlines(), strict=True)
            if old != new
        ]
        assert len(changed) == 1
        assert source.splitlines()[one.line - 1] == changed[0][0]
        assert differences(tree, ast.parse(one.source)) == 1


def test_other_functions_and_docstrings_are_left_alone() -> None:
    source = SOURCES["grade"]
    head = source[: source.index("    label")]
    for one in mutations(source, "grade", random.Random(3)):
        assert one.source.startswith(head)
        assert "# a remark" in one.source


def test_another_seed_has_another_order() -> None:
    source = SOURCES["fence_posts"]
    first = [next(mutations(source, "fence_posts", random.Random(seed))).source for seed in range(20)]
    assert len(set(first)) > 3


def test_parentheses_keep_the_meaning() -> None:
    source = "def area(a, b):\n    return a * (b + 1)\n"
    texts = {one.source.splitlines()[1] for one in mutations(source, "area", random.Random(0))}
    assert "    return a * (b - 1)" in texts
    assert "    return a + (b + 1)" in texts
    source = "def volume(a, b, c):\n    return a * b * c\n"
    assert "    return (a + b) * c" in {
        one.source.splitlines()[1] for one in mutations(source, "volume", random.Random(0))
    }


def test_a_function_that_is_not_there_has_none() -> None:
    assert list(mutations("x = 1 + 2\n", "area", random.Random(0))) == []
    with pytest.raises(SyntaxError):
        list(mutations("def area(", "area", random.Random(0)))
