"""Examples that were written by people become tests without a model."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from swarmd.coding.exampletests import write
from swarmd.coding.testfile import Subject
from swarmd.messages.example import Example, Step

SOURCE = "def ratio(a, b):\n    return a / b\n"
RATIO = Subject("shop/maths.py", SOURCE, ("ratio",), ["shop/__init__.py", "shop/maths.py"])


def example(*steps: tuple[str, str, str], symbol: str = "ratio") -> Example:
    made: list[Any] = [Step(source=source, expects=how, expected=what) for source, how, what in steps]  # type: ignore[arg-type]
    return Example(example_id="e", steps=made, symbol=symbol, origin="docstring")


def told(*steps: tuple[str, str, str], **more: Any) -> str:
    return write([example(*steps, **more)], RATIO, "pytest") or ""


@pytest.mark.parametrize(
    ("how", "expected", "line"),
    [
        ("value", "3", "    assert ratio(6, 2) == 3"),
        ("output", "[1, 'a']", "    assert ratio(6, 2) == [1, 'a']"),
        ("value", "True", "    assert ratio(6, 2) is True"),
        ("value", "None", "    assert ratio(6, 2) is None"),
        ("output", "Decimal('3')", "    assert repr(ratio(6, 2)) == \"Decimal('3')\""),
        ("value", "0.1", "    assert abs(ratio(6, 2) - 0.1) <= 1e-09"),
        ("value", "-0.33", "    assert abs(ratio(6, 2) - (-0.33)) <= 0.005001"),
        ("output", "1, 2", "    assert ratio(6, 2) == (1, 2)"),
    ],
)
def test_what_is_expected_is_compared_as_its_kind_asks(how: str, expected: str, line: str) -> None:
    text = told(("ratio(6, 2)", how, expected))
    assert text == f"from shop.maths import ratio\n\n\ndef test_ratio_as_in_example_1():\n{line}\n"


def test_an_error_that_is_expected_must_be_raised() -> None:
    text = told(("ratio(1, 0)", "raises", "ZeroDivisionError: division by zero"))
    assert "    with pytest.raises(ZeroDivisionError):\n        ratio(1, 0)\n" in text
    assert "import pytest\n" in text
    ast.parse(text)


def test_a_session_stays_one_test_and_each_example_is_one_of_its_own() -> None:
    session = example(("x = 6", "nothing", ""), ("ratio(x, 2)", "output", "3.0"))
    text = write([session, example(("ratio(1, 1)", "value", "1"))], RATIO, "pytest") or ""
    names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert names == ["test_ratio_as_in_example_1", "test_ratio_as_in_example_2"]
    assert "    x = 6\n    assert abs(ratio(x, 2) - 3.0) <= 3e-09" in text


@pytest.mark.parametrize(
    "steps",
    [
        [("ratio(6, 2)", "output", "<object at ...>")],
        [("print(ratio(6, 2))", "output", "3")],
        [("ratio(unknown, 2)", "value", "3")],
        [("ratio(6, 2)", "value", "[0.1, 0.2]")],
        [("ratio(6, 2)", "told", "")],
        [("x = ratio(6, 2)", "nothing", "")],
        [("ratio(1, 0)", "raises", "shop.OwnError")],
        [("ratio(1, 0)", "raises", "print")],
        [("ratio(6, 2)", "output", "three it is")],
        [("ratio(6, 2)", "value", "2 ** 10")],
        [("ratio = ratio(6, 2)", "nothing", ""), ("ratio", "value", "3")],
        [('x = """a\nb"""', "nothing", ""), ("ratio(6, 2)", "value", "3")],
    ],
)
def test_what_cannot_be_told_as_a_test_is_none(steps: list[tuple[str, str, str]]) -> None:
    assert told(*steps) == ""


def test_only_examples_of_the_subject_count() -> None:
    assert told(("other(1)", "value", "1"), symbol="other") == ""


def test_a_unittest_project_gets_a_class() -> None:
    text = write([example(("ratio(6, 2)", "value", "3"))], RATIO, "unittest") or ""
    assert "class " in text
    assert "unittest.TestCase" in text
    ast.parse(text)


def test_what_a_function_prints_may_be_what_is_shown() -> None:
    printing = Subject("shop/maths.py", "def ratio(a, b):\n    print(a / b)\n", ("ratio",), RATIO.files)
    assert write([example(("ratio(6, 2)", "output", "3"))], printing, "pytest") is None


def test_the_words_of_an_example_stay_as_they_are() -> None:
    text = told(("ratio('<think>a</think>b', '1\u00a0000')", "value", "'<think>a</think>\u00a0'"))
    assert "ratio('<think>a</think>b', '1\u00a0000') == '<think>a</think>\\xa0'" in text
