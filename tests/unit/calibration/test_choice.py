"""The order of formats that follows from what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.calibration.choice import CHANCE, chance, leads, order_of, score
from swarmd.messages import EditForm, FormTrial

FORMS: tuple[EditForm, ...] = ("symbol", "file", "replace")


def trials(form: EditForm, marks: str, tokens: int = 10) -> list[FormTrial]:
    """``marks``: for each exercise + correct, o well-formed, - no edit."""
    return [
        FormTrial(
            exercise=f"e{number}",
            form=form,
            well_formed=mark in "+o",
            correct=mark == "+",
            completion_tokens=tokens,
        )
        for number, mark in enumerate(marks)
    ]


def order(symbol: str, file: str, replace: str, tokens: tuple[int, int, int] = (10, 10, 10)) -> list[str]:
    marks = zip(FORMS, (symbol, file, replace), tokens, strict=True)
    return [*order_of([trial for one in marks for trial in trials(*one)])]


@pytest.mark.parametrize(
    ("symbol", "file", "replace", "wanted"),
    [
        # the most correct one comes first
        ("++++++------", "------------", "+-----------", ["symbol", "replace", "file"]),
        # a lead of five that nothing stands against is no chance
        ("+++ooooooooo", "------------", "++++++++oooo", ["replace", "symbol", "file"]),
        # one of four may be
        ("++++oooooooo", "------------", "++++++++oooo", ["symbol", "replace", "file"]),
        # as many the other way round: nothing is known
        ("+++++ooooooo", "------------", "ooooo+++++++", ["symbol", "replace", "file"]),
        # equally correct: the one that is well-formed, if that is no chance
        ("++----------", "------------", "++oooooooooo", ["replace", "symbol", "file"]),
        ("++--oooooooo", "------------", "++oooooooooo", ["symbol", "replace", "file"]),
        # what is well-formed does not make up for what is right
        ("++++--------", "------------", "++oooooooooo", ["symbol", "replace", "file"]),
        # two that lead stand in their own order
        ("------------", "+++++++-----", "++++++++----", ["replace", "file", "symbol"]),
        ("------------", "------------", "------------", ["symbol", "file", "replace"]),
    ],
)
def test_the_rule(symbol: str, file: str, replace: str, wanted: list[str]) -> None:
    exercises = max(len(marks) for marks in (symbol, file, replace))
    assert {len(symbol), len(file), len(replace)} == {exercises}
    assert order(symbol, file, replace) == wanted


def test_among_equals_the_one_with_the_fewest_tokens_comes_first() -> None:
    assert order("++", "++", "++", (30, 20, 10)) == ["symbol", "replace", "file"]
    assert order("++", "++", "++", (30, 10, 20)) == ["symbol", "file", "replace"]


def test_four_exercises_cannot_change_the_default() -> None:
    assert order("----", "++++", "++++")[0] == "symbol"
    assert order("-----", "+++++", "-----") == ["file", "symbol", "replace"]


@pytest.mark.parametrize(
    ("wins", "losses", "probability"), [(0, 0, 1), (1, 0, 0.5), (5, 0, 1 / 32), (4, 1, 6 / 32), (0, 5, 1)]
)
def test_the_sign_test(wins: int, losses: int, probability: float) -> None:
    assert chance(wins, losses) == pytest.approx(probability)


def test_a_score_adds_up_its_own_trials() -> None:
    found = score("file", [*trials("file", "+o-", 7), *trials("symbol", "+++", 100)])
    assert (found.form, found.correct, found.well_formed, found.completion_tokens) == ("file", 1, 2, 21)


@given(st.lists(st.tuples(*[st.sampled_from("+o-")] * 3), min_size=1, max_size=14))
def test_whatever_was_measured_each_format_has_one_place(marks: list[tuple[str, str, str]]) -> None:
    columns = ["".join(column) for column in zip(*marks, strict=True)]
    found = order(*columns)
    assert sorted(found) == sorted(FORMS)
    measured = [t for form, column in zip(FORMS, columns, strict=True) for t in trials(form, column)]
    for form in FORMS[1:]:
        assert (found.index(form) < found.index("symbol")) <= leads(form, "symbol", measured)
        if leads(form, "symbol", measured):
            assert not leads("symbol", form, measured) or CHANCE > 0.5
