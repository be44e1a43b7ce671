"""A server that keeps failing is left alone for a while."""

from __future__ import annotations

from swarmd.models.breaker import Breaker, Breakers


class Time:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def failing(breaker: Breaker, times: int) -> list[bool]:
    opened = []
    for _ in range(times):
        breaker.begin()
        opened.append(breaker.failed())
    return opened


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(3, 30.0, Time())
    assert failing(breaker, 2) == [False, False]
    breaker.succeeded()
    assert failing(breaker, 3) == [False, False, True]
    assert breaker.wait_s() == 30.0


def test_after_the_pause_one_call_tries_and_decides() -> None:
    time = Time()
    breaker = Breaker(1, 30.0, time)
    failing(breaker, 1)
    time.at = 12.0
    assert breaker.wait_s() == 18.0
    time.at = 31.0
    assert breaker.wait_s() == 0.0
    breaker.begin()
    assert breaker.wait_s() == 30.0, "while one tries, no other does"
    assert breaker.failed() is False, "it was open before"
    assert breaker.wait_s() == 30.0
    time.at = 62.0
    breaker.begin()
    breaker.succeeded()
    assert breaker.wait_s() == 0.0
    assert failing(breaker, 1) == [True]


def test_a_try_that_was_ended_by_its_asker_leaves_the_next_one_free() -> None:
    time = Time()
    breaker = Breaker(1, 30.0, time)
    failing(breaker, 1)
    time.at = 40.0
    breaker.begin()
    breaker.gave_up()
    assert breaker.wait_s() == 0.0


def test_each_model_on_each_server_has_its_own() -> None:
    breakers = Breakers(1, 30.0, Time())
    failing(breakers.of("m", "here"), 1)
    assert breakers.of("m", "here").wait_s() == 30.0
    assert breakers.of("m", "there").wait_s() == breakers.of("n", "here").wait_s() == 0.0
