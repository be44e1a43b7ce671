"""Which file and which symbols a task is about, from its words and its failing tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.coding import evidence
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.target import Target, choose
from swarmd.coding.words import code_words
from swarmd.messages import GateResult, Survey, TestFailure

CART = """from shop.money import rounded


class Cart:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)

    def total(self):
        return rounded(_sum(self.items))


def _sum(items):
    return sum(items) - 1


def show(cents):
    return str(cents)
"""
FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": CART,
    "shop/money.py": "def rounded(x):\n    return round(x)\n",
    "tests/test_cart.py": """from shop import cart
from shop.cart import Cart, show


def test_total():
    c = Cart()
    c.add(3)
    assert c.total() == 3


def test_show():
    assert show(1) == "1"
""",
    "README.md": "# Shop\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Snapshot:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Snapshot(tmp_path)


def survey(*failures: TestFailure) -> Survey:
    result = GateResult(
        gate="tests", argv=[], ok=False, exit_code=1, seconds=0, failures=list(failures), sandbox_level="none"
    )
    return Survey(
        request_id="r", workspace="/x", base_commit="", base_name="", files=list(FILES), base_results=[result]
    )


def failing(name: str = "test_total", message: str = "assert 2 == 3", *frames: str) -> TestFailure:
    return TestFailure(
        test_id=f"tests/test_cart.py::{name}", path="tests/test_cart.py", message=message, frames=list(frames)
    )


def find(project: Snapshot, text: str, *failures: TestFailure, owned: tuple[str, ...] = ()) -> list[Target]:
    known = survey(*failures)
    found = evidence.collect(evidence.relevant(known, text), known, project)
    return choose(owned, text, known, project, found)


def first(project: Snapshot, text: str, *failures: TestFailure, owned: tuple[str, ...] = ()) -> Target:
    return find(project, text, *failures, owned=owned)[0]


def test_names_in_the_words_decide(project: Snapshot) -> None:
    target = first(project, "`show` should put a comma in", failing(), owned=("shop/cart.py",))
    assert (target.path, target.symbols_for(1)) == ("shop/cart.py", ("show",))


@pytest.mark.parametrize("text", ["Fix Cart.total", "total() is wrong", "the total of the cart is wrong"])
def test_names_may_be_spelled_in_many_ways(project: Snapshot, text: str) -> None:
    assert first(project, text).symbols_for(1) == ("Cart.total",)


def test_the_failed_statement_points_at_what_it_calls(project: Snapshot) -> None:
    target = first(project, "Fix the failing test", failing())
    assert target.path == "shop/cart.py"
    assert target.symbols_for(1) == ("Cart.total",)


def test_other_samples_try_other_suspects(project: Snapshot) -> None:
    target = first(project, "Fix the failing test", failing())
    suspects = {target.symbols_for(sample) for sample in (1, 2, 3)}
    assert ("_sum",) in suspects, "what the suspect calls in its file"
    assert target.symbols_for(1) == target.symbols_for(1 + len(target.choices))


def test_the_innermost_frame_comes_first(project: Snapshot) -> None:
    frames = ("tests/test_cart.py:8 test_total", "shop/cart.py:12 total", "shop/cart.py:16 _sum")
    target = first(project, "Fix the failing test", failing("test_total", "TypeError: x", *frames))
    assert target.symbols_for(1) == ("_sum",)


def test_only_the_tests_that_are_named_count(project: Snapshot) -> None:
    target = first(project, "Fix test_show", failing(), failing("test_show", "assert '2' == '1'"))
    assert target.symbols_for(1) == ("show",)


@pytest.mark.parametrize(
    ("message", "added"),
    [
        ("ImportError: cannot import name 'tax' from 'shop.cart' (/x/shop/cart.py)", "tax"),
        ("AttributeError: module 'shop.cart' has no attribute 'tax'", "tax"),
        ("AttributeError: 'Cart' object has no attribute 'clear'", "Cart.clear"),
        ("AttributeError: type object 'Cart' has no attribute 'of'", "Cart.of"),
    ],
)
def test_what_a_test_misses_is_added(project: Snapshot, message: str, added: str) -> None:
    target = first(project, "Make the tests pass", failing("test_total", message), owned=("shop/cart.py",))
    assert target.adds == (added,)
    assert target.symbols_for(1) == ()


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("Add a function discount(total, percent) to shop/cart.py", "discount"),
        ("Create a helper function `discount` in shop/cart.py", "discount"),
        ("Add a method `clear` to the class Cart in shop/cart.py", "Cart.clear"),
        ("Implement Cart.clear() in shop/cart.py", "Cart.clear"),
        ("Write a function named discount in shop/cart.py", "discount"),
        ("Implement def discount(x: int) -> int in shop/cart.py", "discount"),
    ],
)
def test_what_the_words_want_new_is_added(project: Snapshot, text: str, added: str) -> None:
    target = first(project, text)
    assert (target.path, target.adds) == ("shop/cart.py", (added,))


@pytest.mark.parametrize(
    "text",
    ["Add a function that shows prices to shop/cart.py", "show() should support None", "Make print(x) nicer"],
)
def test_plain_words_are_no_names(project: Snapshot, text: str) -> None:
    assert first(project, text, owned=("shop/cart.py",)).adds == ()


def test_a_file_that_is_not_there_is_made(project: Snapshot) -> None:
    targets = find(project, "Move show to shop/text.py", owned=("shop/cart.py", "shop/text.py"))
    assert {target.path: target.source is None for target in targets} == {
        "shop/cart.py": False,
        "shop/text.py": True,
    }


def test_owned_files_are_the_only_ones(project: Snapshot) -> None:
    assert [one.path for one in find(project, "Fix Cart.total", owned=("shop/money.py",))] == [
        "shop/money.py"
    ]


def test_tests_are_never_chosen_and_nothing_means_nothing(project: Snapshot) -> None:
    assert find(project, "Make it better") == []
    assert all("test" not in one.path for one in find(project, "Fix tests/test_cart.py", failing()))


def test_code_words() -> None:
    text = "Use `Cart.total()` and snake_case, camelCase, shop.money or f(x), but not words"
    assert code_words(text) == ["Cart.total", "snake_case", "camelCase", "shop.money", "f"]


def test_a_broken_file_can_still_be_the_target(project: Snapshot) -> None:
    (project.root / "shop/cart.py").write_text("def f(:\n")
    target = first(project, "Fix the SyntaxError in shop/cart.py")
    assert (target.path, target.choices, target.source) == ("shop/cart.py", (), "def f(:\n")
