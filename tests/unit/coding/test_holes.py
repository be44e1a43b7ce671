"""Statements that a model writes anew, and what is made of its answers."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.coding.evidence import Evidence
from swarmd.coding.holes import MAX_BEFORE, Hole, fill, find
from swarmd.coding.target import Target
from swarmd.messages import Spectrum, Suspect, TestFailure

SOURCE = '''import math
from os import path


class Cart:
    """Holds things."""

    def total(self, items, tax):
        """Sums up.

        Twice.
        """
        result = 0
        for item in items:
            if item > 0:
                result += item * tax
            elif item < -1: result -= 1
        return max(
            result,
            0,
        )

    def show(self):
        return str(self)


def other():
    return 1
'''


def evidence(*lines: int, path: str = "cart.py") -> Evidence:
    failure = TestFailure(test_id="t", path="tests/t.py", message="assert 1 == 2")
    return Evidence(failure, frames=tuple((path, line) for line in lines))


def holes(
    *names: str, source: str = SOURCE, spectrum: Spectrum | None = None, lines: tuple[int, ...] = ()
) -> list[Hole]:
    target = Target("cart.py", source, tuple((name,) for name in names))
    return find([target], spectrum, [evidence(*lines)])


def spectrum(name: str, *lines: tuple[int, float], first: int = 8, end: int = 21) -> Spectrum:
    suspect = Suspect(
        path="cart.py", name=name, line=first, end=end, failed=1, passed=0, score=1.0, lines=list(lines)
    )
    return Spectrum(failed=1, passed=1, suspects=[suspect])


def test_each_statement_is_a_hole_and_of_those_with_a_body_the_head() -> None:
    texts = {hole.text.strip() for hole in holes("Cart.total")}
    assert texts == {
        "result = 0",
        "for item in items:",
        "if item > 0:",
        "result += item * tax",
        "elif item < -1: result -= 1",
        "return max(\n            result,\n            0,\n        )",
    }


def test_what_stands_around_it_is_shown_and_what_stands_there_is_not() -> None:
    (hole,) = (hole for hole in holes("Cart.total") if "tax" in hole.text)
    assert hole.before.startswith("import math\nfrom os import path\nclass Cart:\n    def total(self")
    assert "Sums up." in hole.before
    assert hole.before.endswith("            if item > 0:\n                ")
    assert hole.behind.startswith("\n            elif item < -1")
    assert hole.behind.endswith("        )\n")
    assert "item * tax" not in hole.before + hole.behind
    assert "def show" not in hole.before + hole.behind


def test_lines_that_failing_tests_run_come_first_and_others_not_at_all() -> None:
    found = holes("Cart.total", spectrum=spectrum("Cart.total", (15, 0.5), (16, 1.0), (18, 0.9), (20, 0.9)))
    assert [hole.start for hole in found] == [16, 18, 15]


def test_a_function_that_another_task_moved_is_found_again() -> None:
    moved = spectrum("Cart.total", (25, 0.5), (26, 1.0), first=18, end=31)
    assert [hole.start for hole in holes("Cart.total", spectrum=moved)] == [16, 15]


def test_a_function_that_another_task_changed_is_not_what_was_traced() -> None:
    changed = spectrum("Cart.total", (16, 1.0), first=8, end=24)
    assert len(holes("Cart.total", spectrum=changed)) == 6


def test_where_nobody_looked_the_frames_come_first() -> None:
    found = holes("Cart.total", lines=(14, 16))
    assert [hole.start for hole in found][:2] == [16, 14]
    assert len(found) == 6


def test_without_either_the_statement_comes_first_that_has_most_in_it() -> None:
    assert "item * tax" in holes("Cart.total")[0].text
    assert holes("Cart.total")[-1].text.strip() in ("result = 0", "for item in items:")


def test_earlier_targets_come_first() -> None:
    found = holes("Cart.show", "Cart.total")
    assert found[0].text.strip() == "return str(self)"


def test_nothing_is_suspect_where_no_test_fails() -> None:
    assert find([Target("cart.py", SOURCE, (("Cart.total",),))], None, []) == []


@pytest.mark.parametrize(
    "target",
    [
        Target("cart.js", SOURCE, (("total",),)),
        Target("cart.py", None, (("total",),)),
        Target("cart.py", "def broken(:\n", (("broken",),)),
        Target("cart.py", SOURCE, (("Cart",),)),
        Target("cart.py", SOURCE, (("Cart.total",),), adds=("Cart.new",)),
        Target("cart.py", "def f():\r\n    return 1\n", (("f",),)),
        Target("cart.py", 'def f():\n    """Only words."""\n', (("f",),)),
        Target("cart.py", "x = 1\rdef f():\r    return 1\r", (("f",),)),
        Target("cart.py", "s = 'a'  # one\rt = 2\n\ndef f(a):\n    return a + 1\n", (("f",),)),
        Target("cart.py", "def f(): return 1\n", (("f",),)),
    ],
    ids=[
        "no python",
        "not there",
        "broken",
        "a class",
        "to be added",
        "mixed line ends",
        "no statement",
        "old line ends",
        "one of them",
        "one line",
    ],
)
def test_what_cannot_be_filled_has_no_holes(target: Target) -> None:
    assert find([target], None, [evidence()]) == []


def hole(text: str, source: str = SOURCE, name: str = "Cart.total") -> Hole:
    (found,) = (one for one in holes(name, source=source) if text in one.text)
    return found


def test_one_line_is_taken_for_one_line() -> None:
    new = fill(hole("item > 0"), "if item >= 0:\n                pass\n            return 3")
    assert new is not None
    assert new.source == SOURCE.replace("if item > 0:", "if item >= 0:")


def test_a_statement_of_several_lines_takes_as_many_as_make_sense() -> None:
    new = fill(hole("max("), "return min(\n            result,\n            0,\n        )\n\n    def more(")
    assert new is not None
    assert new.source == SOURCE.replace("max(", "min(")


@pytest.mark.parametrize(
    "reply", ["result = 0", "result = 0  # as it was", "result = (", "if result:", "é\x00"]
)
def test_what_changes_nothing_or_does_not_parse_is_no_answer(reply: str) -> None:
    assert fill(hole("result = 0"), reply) is None


def test_a_head_and_its_body_on_one_line_are_one_statement() -> None:
    source = "def f(a):\n    if a > 0: raise ValueError(a)\n    return a\n"
    new = fill(hole("if a > 0", source, "f"), "if a > 9: raise ValueError(a)\n    a += 1")
    assert new is not None
    assert new.source == source.replace("> 0", "> 9")


def test_what_has_little_in_common_with_what_stood_there_passes_by_chance() -> None:
    place = hole("item * tax")
    assert fill(place, "return True") is None
    near, far = fill(place, "result -= item * tax"), fill(place, "result += item")
    assert near is not None
    assert far is not None
    assert near.likeness > far.likeness > 0.4


def test_long_functions_are_shown_in_part() -> None:
    body = "".join(f"    value_{number} = {number} + 1\n" for number in range(190))
    source = f"def f():\n{body}    return 3\n"
    middle = hole("value_120 =", source, "f")
    assert len(middle.before) <= MAX_BEFORE
    assert middle.before.endswith("value_119 = 119 + 1\n    ")
    assert middle.before.startswith("    value_")
    assert middle.behind.startswith("\n    value_121 = ")


def test_nested_functions_and_handlers_have_statements_too() -> None:
    source = textwrap.dedent(
        """
        def f(a):
            def g(b):
                return b + 1
            try:
                return g(a)
            except ValueError:
                a -= 1
            finally:
                a *= 2
            match a:
                case 1:
                    a = 5
            return a
        """
    )
    texts = {one.text.strip() for one in holes("f", source=source)}
    assert {"return b + 1", "return g(a)", "a -= 1", "a *= 2", "a = 5", "return a", "def g(b):"} <= texts
    assert "try:" not in texts


COMMENTED = textwrap.dedent(
    """
    def f(xs):
        for x in xs:
            # skip what is empty

            if (x
                and x > 0):
                yield x

        def g():
            @cached
            def h():
                return 1
            return h
    """
)


def test_a_head_ends_where_it_ends() -> None:
    texts = {one.text.strip() for one in holes("f", source=COMMENTED)}
    assert {"for x in xs:", "if (x\n            and x > 0):", "def g():"} <= texts
    new = fill(hole("for x", COMMENTED, "f"), "for x in sorted(xs):\n        # skip")
    assert new is not None
    assert new.source == COMMENTED.replace("in xs", "in sorted(xs)")


def test_each_of_several_functions_of_one_name_has_statements() -> None:
    source = textwrap.dedent(
        """
        class C:
            @property
            def x(self):
                return self._x + 1

            @x.setter
            def x(self, value):
                self._x = value
        """
    )
    texts = {one.text.strip() for one in holes("C.x", source=source)}
    assert texts == {"return self._x + 1", "self._x = value"}


def test_the_ends_of_lines_in_a_reply_are_taken_as_such() -> None:
    crlf = fill(hole("max("), "return min(\r\n            result,\r\n            0,\r\n        )")
    assert crlf is not None
    assert crlf.source == SOURCE.replace("max(", "min(")
    smuggled = fill(hole("item * tax"), "result += item * 2\r    import os")
    assert smuggled is not None
    assert smuggled.source == SOURCE.replace("item * tax", "item * 2")


def test_a_reply_may_begin_with_an_empty_line() -> None:
    new = fill(hole("max("), "\n        return min(\n            result,\n            0,\n        )")
    assert new is not None
    assert new.source == SOURCE.replace("max(", "min(")


SAID = st.text(alphabet="item >=<0-1ax\n\r\t #:()", max_size=20)


@given(st.text(max_size=80) | SAID.map("if item {}".format) | SAID.map("if item > 1:{}".format))
def test_whatever_a_model_writes_the_rest_of_the_file_stays(reply: str) -> None:
    place = hole("item > 0")
    new = fill(place, reply)
    if new is not None:
        lines, before = new.source.split("\n"), SOURCE.split("\n")
        assert lines[: place.start - 1] == before[: place.start - 1]
        assert new.source.endswith("\n".join(before[place.end :]))
        compile(new.source, "cart.py", "exec")
