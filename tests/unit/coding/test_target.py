"""Which file and which symbols a task is about, from its words and its failing tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.coding import evidence
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.target import Target, choose
from swarmd.coding.words import code_words
from swarmd.messages import GateResult, Spectrum, Survey, Suspect, TestFailure

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


# what the tests call


def traced(*suspects: tuple[str, str, int, int, float], failed: int = 1, passed: int = 5) -> Spectrum:
    found = [
        Suspect(path=path, name=name, line=1, end=2, failed=ef, passed=ep, score=score)
        for path, name, ef, ep, score in suspects
    ]
    return Spectrum(failed=failed, passed=passed, suspects=found)


ROUNDED = ("shop/money.py", "rounded", 1, 0, 1.0)
SUM = ("shop/cart.py", "_sum", 1, 1, 0.7)
BEGIN = ("shop/cart.py", "Cart.__init__", 1, 9, 0.3)


def suspected(
    project: Snapshot,
    spectrum: Spectrum,
    *,
    text: str = "Fix the failing test",
    sample: int = 1,
    repaired: tuple[str, ...] = (),
    owned: tuple[str, ...] = (),
) -> list[tuple[str, tuple[str, ...]]]:
    known = survey(failing()).model_copy(update={"spectrum": spectrum})
    found = evidence.collect(evidence.relevant(known, text), known, project)
    targets = choose(owned, text, known, project, found, sample=sample, repaired=repaired)
    return [(target.path, target.symbols_for(sample)) for target in targets]


def test_a_function_that_no_traceback_shows_is_found_in_another_file(project: Snapshot) -> None:
    assert suspected(project, traced(ROUNDED, SUM)) == [("shop/money.py", ("rounded",))]


def test_samples_go_down_the_ranking_from_file_to_file(project: Snapshot) -> None:
    spectrum = traced(ROUNDED, SUM, BEGIN)
    found = [suspected(project, spectrum, sample=sample)[0] for sample in (1, 2, 3)]
    assert found == [
        ("shop/money.py", ("rounded",)),
        ("shop/cart.py", ("_sum",)),
        ("shop/money.py", ("rounded",)),
    ], "what is much less suspicious is not tried"


def test_only_owned_files_are_chosen(project: Snapshot) -> None:
    spectrum = traced(ROUNDED, SUM)
    assert suspected(project, spectrum, owned=("shop/cart.py",)) == [("shop/cart.py", ("_sum",))]


def test_a_file_of_several_that_is_owned_is_edited_alone(project: Snapshot) -> None:
    owned = ("shop/cart.py", "shop/money.py")
    text = "shop/cart.py, shop/money.py: Fix the failing test"
    assert suspected(project, traced(SUM), text=text, owned=owned) == [("shop/cart.py", ("_sum",))]


def test_names_in_the_words_win_over_what_the_tests_call(project: Snapshot) -> None:
    assert suspected(project, traced(ROUNDED), text="Fix Cart.total")[0] == ("shop/cart.py", ("Cart.total",))


def test_of_equally_suspicious_ones_the_judged_comes_first(project: Snapshot) -> None:
    total = ("shop/cart.py", "Cart.total", 1, 1, 0.7)
    assert suspected(project, traced(SUM, total))[0] == ("shop/cart.py", ("Cart.total",))


def test_a_repair_stays_in_the_file_that_it_repairs(project: Snapshot) -> None:
    found = suspected(project, traced(ROUNDED, SUM), repaired=("shop/cart.py",))
    assert found == [("shop/cart.py", ("_sum",))]
    assert suspected(project, traced(ROUNDED, SUM), repaired=("gone.py",))[0][0] == "shop/money.py"


def test_several_defects_are_no_reason_to_edit_one_function_only(project: Snapshot) -> None:
    spectrum = traced(ROUNDED, SUM, failed=2)
    owned = ("shop/cart.py", "shop/money.py")
    text = "shop/cart.py, shop/money.py: Fix the failing tests"
    found = suspected(project, spectrum, text=text, owned=owned)
    assert sorted(found) == [("shop/cart.py", ("_sum",)), ("shop/money.py", ("rounded",))]


def test_suspects_that_do_not_exist_change_nothing(project: Snapshot) -> None:
    forged = traced(("../etc/passwd", "f", 1, 0, 1.0), ("shop/cart.py", "gone", 1, 0, 1.0))
    assert suspected(project, forged) == [("shop/cart.py", ("Cart.total",))]


def test_without_failing_tests_the_calls_do_not_count(project: Snapshot) -> None:
    known = survey().model_copy(update={"spectrum": traced(ROUNDED)})
    assert choose((), "Fix it", known, project, ()) == []


def test_the_values_at_the_failure_are_kept() -> None:
    frames = ("shop/cart.py:16 _sum", "    return sum(items) - 1", "    items = [1, 2]")
    known = survey(failing("test_total", "TypeError: x", *frames))
    (item,) = evidence.collect(evidence.relevant(known, ""), known, Snapshot(Path("/nonexistent")))
    assert item.values == ("at shop/cart.py:16 _sum: return sum(items) - 1", "items = [1, 2]")
    frames = ("tests/test_cart.py:8 test_total", "    assert c.total() == n", "    n = 3")
    known = survey(failing("test_total", "assert 2 == 3", *frames))
    (item,) = evidence.collect(evidence.relevant(known, ""), known, Snapshot(Path("/nonexistent")))
    assert item.values == ("n = 3",)


def test_an_attribute_that_the_projects_own_code_misses_is_no_reason_to_add_it(project: Snapshot) -> None:
    missing = "AttributeError: 'Cart' object has no attribute 'cost'"
    inside = failing("test_total", missing, "tests/test_cart.py:8 test_total", "shop/cart.py:12 total")
    known = survey(inside).model_copy(update={"spectrum": traced(SUM)})
    found = evidence.collect(evidence.relevant(known, "Fix it"), known, project)
    assert choose((), "Fix it", known, project, found)[0].adds == ()
    assert choose((), "Add the cost to Cart", known, project, found)[0].adds == ("Cart.cost",)
    in_test = failing("test_total", missing, "tests/test_cart.py:8 test_total")
    known = survey(in_test).model_copy(update={"spectrum": traced(SUM)})
    found = evidence.collect(evidence.relevant(known, "Fix it"), known, project)
    assert choose((), "Fix it", known, project, found)[0].adds == ("Cart.cost",)
