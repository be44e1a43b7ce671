"""Replies that were begun for the model: the head of a function that is to be written."""

from __future__ import annotations

import pytest

from swarmd.coding import prompts
from swarmd.coding.edits import read_edit
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import EditError
from swarmd.coding.prompts import Task
from swarmd.coding.reply import continued
from swarmd.coding.target import Target
from swarmd.messages import Failure, TestFailure

STUB = '''class Cart:
    """A cart."""

    def total(self, prices):
        """Say what all prices come to.

        >>> Cart().total([1, 2])
        3
        """
'''
DONE = STUB + "        return 0\n"
BEGUN = '''```python
class Cart:
    def total(self, prices):
        """Say what all prices come to.

        >>> Cart().total([1, 2])
        3
        """
'''


def brief(source: str, **more: object) -> prompts.Brief:
    target = Target("cart.py", source, choices=(("Cart.total",),))
    said = {"action": "Implement total.", "user_request": "Implement total.", **more}
    task = Task(target=target, continues=True, **said)  # type: ignore[arg-type]
    return prompts.build("Be good.", task, 1, budget=2000, reply=500)


def whole(made: prompts.Brief, reply: str) -> str:
    assert made.begun is not None
    return continued(made.begun.text, reply, made.begun.indent)


def said(made: prompts.Brief) -> str:
    return made.prompt.messages[1].content


def test_the_head_of_what_has_no_body_is_the_replys_beginning_and_stands_nowhere_else() -> None:
    made = brief(STUB)
    assert made.begun is not None
    assert made.begun.text == BEGUN
    assert [one.role for one in made.prompt.messages] == ["system", "user", "assistant"]
    assert made.prompt.messages[-1].content == BEGUN
    assert "Say what all prices" not in said(made)
    assert "To be written for cart.py." in said(made)


@pytest.mark.parametrize(
    ("source", "more"),
    [
        (STUB, {"continues": False}),
        (DONE, {}),  # it has a body, and no failing test says that it is wrong
        ("def total(prices): ...\n", {}),
        (STUB.replace(">>>", "```"), {}),  # it would end the block
        (STUB.replace("all prices", "all</think>"), {}),
        (STUB.replace("all prices", "all\u00a0prices"), {}),
        (STUB, {"user_request": "Implement total(prices, currency)."}),
        (STUB, {"user_request": "Give total a parameter for the currency."}),
        (STUB, {"user_request": "Implement total as a staticmethod."}),
        (STUB, {"user_request": "Implement total and improve its docstring."}),
    ],
)
def test_a_reply_is_not_begun(source: str, more: dict[str, object]) -> None:
    target = Target("cart.py", source, choices=(("Cart.total" if "Cart" in source else "total",),))
    said = {"action": "Implement total.", "user_request": "Implement total.", "continues": True, **more}
    task = Task(target=target, **said)  # type: ignore[arg-type]
    made = prompts.build("", task, 1, budget=2000, reply=500)
    assert made.begun is None
    assert [one.role for one in made.prompt.messages] == ["user"]


@pytest.mark.parametrize(
    "words",
    [
        "Implement the method total in cart.py as its docstring says.",
        "Write total in cart.py as the docstring describes; prices is its only argument.",
        "Implement total(prices): total([1, 2]) == 3, and total('ab') raises a TypeError.",
    ],
)
def test_a_request_that_only_speaks_of_the_head_does_not_change_it(words: str) -> None:
    assert brief(STUB, user_request=words).begun is not None


@pytest.mark.parametrize("more", [{"tier": "reviewer"}, {"nth": 3}])
def test_others_are_begun_with_a_comment_on_the_first_step(more: dict[str, object]) -> None:
    nth = more.pop("nth", 1)
    target = Target("cart.py", STUB, choices=(("Cart.total",),))
    task = Task("Implement total.", "", target, continues=True, **more)  # type: ignore[arg-type]
    made = prompts.build("", task, int(str(nth)), budget=2000, reply=500)
    assert made.begun is not None
    assert made.begun.text == BEGUN + "        #"
    new = read_edit(whole(made, " Add.\n        return sum(prices)\n```"), made.edit)
    assert new == STUB + "        # Add.\n        return sum(prices)\n"


@pytest.mark.parametrize(
    "reply",
    [
        "\n        return sum(prices)\n```",
        " Add.\n\n        return sum(prices)\n```",
    ],
)
def test_what_follows_a_comment_is_not_commented_out(reply: str) -> None:
    made = brief(STUB, tier="reviewer")
    assert "\n        return sum(prices)\n" in read_edit(whole(made, reply), made.edit) + "\n"


@pytest.mark.parametrize(
    "reply", ["        pass\n```", "        # Add them.\n```", "        raise NotImplementedError"]
)
def test_a_body_that_is_left_out_again_is_no_edit(reply: str) -> None:
    for stub in (STUB, STUB + "        raise NotImplementedError\n"):
        made = brief(stub)
        with pytest.raises(EditError):
            read_edit(whole(made, reply), made.edit)


def test_a_method_of_an_inner_class_is_not_begun() -> None:
    source = "class Outer:\n" + "\n".join("    " + line for line in STUB.split("\n")) + "\n"
    target = Target("cart.py", source, choices=(("Outer.Cart.total",),))
    made = prompts.build("", Task("Implement it.", "", target, continues=True), 1, budget=2000, reply=500)
    assert made.begun is None


def test_a_repair_of_what_had_no_body_is_begun_and_shown_what_was_wrong() -> None:
    why = Failure(kind="assertion", digest="it came to 0", signature="s")
    made = brief(STUB, asked="repair", feedback=why, previous_patch="+++ b/cart.py\n+        return 0\n")
    assert made.begun is not None
    assert made.begun.text == BEGUN
    assert "it came to 0" in said(made)
    assert "return 0" in said(made)


def test_an_example_that_stands_in_the_head_is_not_said_twice_and_another_is() -> None:
    def evidence(call: str) -> Evidence:
        text = f"Failed example:\n    {call}\nExpected:\n    3\nGot:\n    None"
        return Evidence(TestFailure(test_id="e", message=text))

    assert "Failed example" not in said(brief(STUB, evidence=[evidence("Cart().total([1, 2])")]))
    assert "Failed example" in said(brief(STUB, evidence=[evidence("Cart().total([5])")]))


@pytest.mark.parametrize(
    "reply",
    [
        "        return sum(prices)\n```",
        "        return sum(prices)",
        "\n        return sum(prices)\n```\nThat adds them.",
        "```python\nclass Cart:\n    def total(self, prices):\n        return sum(prices)\n```",
        "Here it is:\n```python\n    def total(self, prices):\n        return sum(prices)\n```",
        "class Cart:\n    def total(self, prices):\n        return sum(prices)\n",
        "def total(self, prices):\n    return sum(prices)\n",
        "return sum(prices)\n```",
        "Let me see.\n</think>\n        return sum(prices)\n```",
        "<think>What now?</think>\n        return sum(prices)\n```",
        "Here is the function:\n\n```\ndef total(self, prices):\n    return sum(prices)\n```",
        "Sure!\n```python\nclass Cart:\n    def total(self, prices):\n        return sum(prices)\n```",
    ],
)
def test_a_reply_is_read_whether_it_goes_on_or_begins_anew(reply: str) -> None:
    made = brief(STUB)
    assert read_edit(whole(made, reply), made.edit) == STUB + "        return sum(prices)\n"
