"""Against values that are known from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.bench.stats import mcnemar, ratio_interval, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (8, 10, 0.4902, 0.9433),
        (10, 10, 0.7225, 1.0),
        (15, 148, 0.0624, 0.1605),  # R. G. Newcombe, 1998, table I
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_without_trials_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (0, 5, 0.0625), (5, 0, 0.0625), (1, 9, 0.021484375), (3, 3, 1.0), (2, 10, 0.03857421875)],
)
def test_mcnemar(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_symmetric_and_a_probability(one: int, two: int) -> None:
    assert mcnemar(one, two) == mcnemar(two, one)
    assert 0 < mcnemar(one, two) <= 1


def test_the_ratio_is_inside_its_interval() -> None:
    pairs = [(True, True)] * 15 + [(False, True)] * 15 + [(False, False)] * 30
    interval = ratio_interval(pairs)
    assert interval is not None
    assert 1.2 < interval[0] < 2.0 < interval[1] < 4.0
    assert ratio_interval(pairs) == interval


def test_a_ratio_to_nothing_is_unknown() -> None:
    assert ratio_interval([(False, True)] * 5) is None
    assert ratio_interval([]) is None
