"""In which format an edit is asked for: what suits the model, where the target allows it."""

from __future__ import annotations

import itertools

import pytest

from swarmd.coding import forms
from swarmd.coding.edits import Form, read_edit
from swarmd.coding.evidence import Evidence
from swarmd.coding.prompts import Brief, Framing, Task, build
from swarmd.coding.target import Target
from swarmd.messages import TestFailure

SOURCE = '''"""A shop."""

RATE = 2


class Cart:
    def __init__(self):
        self.items = []

    def total(self):
        return sum(self.items) * RATE


def show(cart):
    return str(cart.total())
'''
ORDERS: list[tuple[Form, ...]] = list(itertools.permutations(("symbol", "file", "replace")))
SHORT, LONG = 700, 60
"""Tokens of a reply into which SOURCE fits, and into which it does not."""


def brief(
    *order: Form,
    path: str = "shop.py",
    source: str | None = SOURCE,
    names: tuple[str, ...] = ("Cart.total",),
    adds: tuple[str, ...] = (),
    reply: int = SHORT,
    way: Framing = "direct",
    evidence: tuple[Evidence, ...] = (),
) -> Brief:
    target = Target(path, source, (names,) if names else (), adds)
    task = Task("Add tax.", "Add tax.", target, evidence=evidence, forms=order)
    return build("Edit.", task, 1, budget=1200, reply=reply, way=way)


def text(found: Brief) -> str:
    return found.prompt.messages[-1].content


@pytest.mark.parametrize("order", ORDERS)
def test_the_preferred_format_is_asked_for(order: tuple[Form, ...]) -> None:
    assert brief(*order).edit.form == order[0]


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_impossible_is_passed_over(order: tuple[Form, ...]) -> None:
    def first(*possible: Form) -> Form:
        return next(form for form in order if form in possible)

    assert brief(*order, reply=LONG).edit.form == first("symbol", "replace")
    assert brief(*order, path="page.md", names=()).edit.form == first("file", "replace")
    assert brief(*order, path="page.md", names=(), reply=LONG).edit.form == "replace"
    broken = "def f(:\n    pass\n" * 3
    assert brief(*order, source=broken, names=()).edit.form == first("file", "replace")
    assert brief(*order, source=None, names=()).edit.form == "file"
    assert brief(*order, source="\n", names=()).edit.form == "file"
    assert brief(*order, source="print(1)\n", names=()).edit.form == first("file", "replace")


def test_without_a_calibration_the_rule_is_as_ever() -> None:
    assert brief().edit.form == "symbol"
    assert brief(path="page.md", names=()).edit.form == "file"
    assert brief(path="page.md", names=(), reply=LONG).edit.form == "replace"
    assert brief(source="print(1)\n", names=()).edit.form == "file"
    assert forms.DEFAULT_ORDER == ("symbol", "file", "replace")


@pytest.mark.parametrize("order", ORDERS)
def test_a_function_whose_body_is_hidden_is_asked_for_by_name(order: tuple[Form, ...]) -> None:
    failing = (Evidence(TestFailure(test_id="t.py::t", message="assert 1 == 2"), code="def t(): ..."),)
    found = brief(*order, way="anew", evidence=failing)
    assert found.edit.form == "symbol"
    assert "sum(self.items)" not in text(found)


def test_only_the_named_definition_is_may_replace_and_only_by_symbol() -> None:
    assert brief("symbol").edit.scope.replaces == {"Cart.total"}
    assert brief("replace").edit.scope.replaces is None


def test_a_block_to_replace_shows_the_lines_as_they_stand_in_the_file() -> None:
    found = text(brief("replace"))
    assert "    def total(self):\n        return sum(self.items) * RATE" in found
    assert "class Cart:\n    def total(self):\n        return" not in found, (
        "those lines do not stand together"
    )
    assert "the edit of the method `total` of `Cart` in this form" in found
    both = text(brief("replace", names=("Cart.total", "show")))
    assert "* RATE\n```\n```python\ndef show(cart):" in both
    whole = text(brief("replace", names=(), adds=("Cart.clear",)))
    assert SOURCE in whole
    assert "the edit that adds the method `clear` of `Cart` in this form" in whole


def test_a_whole_file_is_shown_and_asked_for() -> None:
    found = text(brief("file"))
    assert SOURCE in found
    assert "Write the complete new text of shop.py in one ```python block" in found


@pytest.mark.parametrize(("form", "verb"), [("file", "Then write the"), ("replace", "Then answer with")])
def test_an_explanation_stands_before_the_text(form: Form, verb: str) -> None:
    found = text(brief(form, way="explain"))
    assert f"Say in one sentence what must change there. {verb}" in found
    assert "Say in one" not in text(brief(form, path="page.md", names=(), way="explain"))


def test_an_edit_in_the_preferred_format_is_read() -> None:
    reply = (
        "<<<<<<< SEARCH\n        return sum(self.items) * RATE\n=======\n"
        "        return sum(self.items) * RATE + 1\n>>>>>>> REPLACE"
    )
    assert read_edit(reply, brief("replace").edit) == SOURCE.replace("* RATE\n", "* RATE + 1\n")
