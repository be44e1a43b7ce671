"""Inputs like those of the examples."""

from __future__ import annotations

import ast

import pytest

from swarmd.messages.example import Example, Step
from swarmd.verify.examples.probes import MAX_PROBES, probes


def example(*sources: str, symbol: str = "f") -> Example:
    steps = [Step(source=source, expects="value", expected="1") for source in sources]
    names = {"f": ["mod:f"]}
    return Example(example_id=sources[0], steps=steps, names=names, symbol=symbol, origin="docstring")


def made(*sources: str, seed: str = "r") -> list[str]:
    found = probes([example(source) for source in sources], seed)
    assert all(one.steps[0].expects == "told" and one.names == {"f": ["mod:f"]} for one in found)
    assert len({one.example_id for one in found}) == len(found)
    return [one.steps[0].source for one in found]


def arguments(call: str) -> list[object]:
    tree = ast.parse(call).body[0]
    assert isinstance(tree, ast.Expr)
    assert isinstance(tree.value, ast.Call)
    return [ast.literal_eval(one) for one in tree.value.args]


def test_they_are_other_calls_of_the_same_kinds() -> None:
    found = made("f([1, 2, 3], 'abc')", "f([5], 'x y')")
    assert len(found) == MAX_PROBES
    assert not set(found) & {"f([1, 2, 3], 'abc')", "f([5], 'x y')"}
    for call in found:
        numbers, text = arguments(call)
        assert isinstance(numbers, list)
        assert numbers
        assert all(type(one) is int for one in numbers)
        assert isinstance(text, str)


def test_they_are_the_same_for_the_same_request() -> None:
    assert made("f(5, 9)") == made("f(5, 9)")
    assert made("f(5, 9)") != made("f(5, 9)", seed="other")


@pytest.mark.parametrize(("source", "least"), [("f(3)", 3), ("f(1.5)", 1.5)])
def test_numbers_do_not_go_below_what_the_examples_show(source: str, least: float) -> None:
    found = made(source)
    assert found
    assert all(arguments(call)[0] >= least for call in found)  # type: ignore[operator]


def test_nothing_becomes_empty_that_no_example_shows_empty() -> None:
    assert all(arguments(call)[0] for call in made("f('a')", "f('bc')"))
    assert all(arguments(call)[0] for call in made("f([1])", "f([2, 3])"))


def test_arguments_with_names_keep_them() -> None:
    assert all(call.startswith("f(") and ", base=" in call for call in made("f(10, base=2)"))


@pytest.mark.parametrize(
    "source", ["f(x)", "f(*[1])", "f(**{'a': 1})", "f()", "g(3)", "f(None)", "obj.f(3)", "f(open('x'))"]
)
def test_what_cannot_be_varied_gives_none(source: str) -> None:
    assert made(source) == []


def test_methods_are_left_alone() -> None:
    assert probes([example("c = Cart()", "c.total(3)", symbol="Cart.total")], "r") == []


def test_they_are_bounded() -> None:
    assert all(len(call) <= 400 for call in made(f"f({'x' * 350!r})"))
    assert made(f"f({'x' * 500!r})") == []
