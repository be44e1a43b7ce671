"""Waiting names: in order whatever comes in between, each once, and small."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.bus import backlog as backlog_module
from swarmd.bus.backlog import Backlog


def drained(backlog: Backlog) -> list[str]:
    names = []
    while backlog.first() is not None:
        names.append(backlog.pop())
    return names


def test_many_names_come_out_by_arrival_and_then_by_name() -> None:
    pairs = [(random.Random(7).randrange(50), f"n{number}") for number in range(5000)]
    pairs += [(number % 97, f"m{number}") for number in range(5000)]
    backlog = Backlog()
    for arrival, name in pairs:
        backlog.push(arrival, name)
    assert len(backlog) == 10_000
    assert drained(backlog) == [name for _, name in sorted(pairs)]
    assert len(backlog) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 12), st.just(None)), max_size=80))
def test_it_behaves_like_a_sorted_list(steps: list[int | None]) -> None:
    """None takes one out; a number puts one in with that arrival. Runs are short, so that they mix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog_module, "_RUN", 3)
        backlog, model, known = Backlog(), [], set()
        for number, step in enumerate(steps):
            if step is not None:
                backlog.push(step, f"{number}")
                model.append((max(step, 0), f"{number}"))
                known.add(f"{number}")
            elif model:
                model.sort()
                assert backlog.first() == model[0]
                name = backlog.pop()
                assert name == model.pop(0)[1]
                assert name in backlog
                if number % 2:
                    backlog.forget(name)
                    known.discard(name)
            assert len(backlog) == len(model)
        assert all(name in backlog for name in known)
        assert drained(backlog) == [name for _, name in sorted(model)]


def test_an_empty_one_has_no_first_and_gives_nothing() -> None:
    backlog = Backlog()
    assert backlog.first() is None
    with pytest.raises(IndexError):
        backlog.pop()


@pytest.mark.parametrize("arrival", [-(2**70), 2**70])
def test_an_impossible_time_is_moved_into_the_range(arrival: int) -> None:
    backlog = Backlog()
    for number in range(backlog_module._RUN + 1):
        backlog.push(arrival, f"{number:05}")
    assert drained(backlog)[0] == "00000"


def test_a_waiting_name_takes_less_than_two_hundred_bytes_and_leaves_none() -> None:
    count = 30_000
    tracemalloc.start()
    try:
        backlog = Backlog()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            backlog.push(10**18 + number * 1000, f"request-{number:06}.json")
        held = tracemalloc.get_traced_memory()[0] - before
        for name in drained(backlog):
            backlog.forget(name)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / count < 200
    assert left < held / 50
