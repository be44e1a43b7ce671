"""What fails is started again later each time; a type that fails too often pauses, and then goes on."""

from __future__ import annotations

from random import Random

import pytest

from swarmd.config import DaemonSettings
from swarmd.daemon.backoff import MAX_BOOT_FAILURES, Delays, Restarts
from swarmd.testing import FakeClock

LIMITS = DaemonSettings(restart_failures=4, restart_window_s=60, restart_pause_s=20)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def restarts_on(clock: FakeClock, seed: int = 1) -> Restarts:
    return Restarts(clock, lambda: LIMITS, Random(seed))


def test_the_delays_of_a_process_grow_up_to_half_a_minute_and_begin_anew_once_it_runs() -> None:
    delays = Delays(Random(1))
    waits = [delays.next() for _ in range(8)]
    assert waits[0] == 0
    for wait, middle in zip(waits[1:], [0.2, 1, 3, 10, 30, 30, 30], strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle
    delays.settled()
    assert delays.next() <= 0.25


def test_two_daemons_do_not_wait_alike() -> None:
    first, second = (Delays(Random(seed)) for seed in (1, 2))
    assert [first.next() for _ in range(5)][1:] != [second.next() for _ in range(5)][1:]


def test_a_worker_that_did_its_work_and_died_is_replaced_at_once_the_next_ones_later(
    clock: FakeClock,
) -> None:
    restarts = restarts_on(clock)
    assert restarts.wait("coding") == 0
    assert restarts.failed("coding", booting=False) is None
    assert restarts.wait("coding") == 0
    restarts.failed("coding", booting=False)
    assert 0.25 <= restarts.wait("coding") <= 0.5
    restarts.failed("coding", booting=False)
    assert 0.5 <= restarts.wait("coding") <= 1.0
    assert restarts.wait("docs") == 0


def test_one_that_cannot_boot_is_not_tried_again_at_once(clock: FakeClock) -> None:
    restarts = restarts_on(clock)
    restarts.failed("coding", booting=True)
    assert restarts.wait("coding") > 0
    assert not restarts.broken("coding")


def test_too_many_failures_in_the_window_pause_the_type_until_it_resumes_by_itself(clock: FakeClock) -> None:
    restarts = restarts_on(clock)
    pauses = [restarts.failed("coding", booting=False) for _ in range(4)]
    assert pauses[:3] == [None, None, None]
    assert pauses[3] is not None
    assert 15 <= pauses[3] <= 25
    assert restarts.wait("coding") == pytest.approx(pauses[3])
    assert not restarts.broken("coding")
    assert restarts.resumed() == []
    clock.advance(pauses[3])
    assert restarts.wait("coding") == 0
    assert (restarts.resumed(), restarts.resumed()) == (["coding"], [])
    assert restarts.failed("coding", booting=False) is None


def test_failures_far_apart_never_pause_a_type(clock: FakeClock) -> None:
    restarts = restarts_on(clock)
    for _ in range(50):
        assert restarts.failed("coding", booting=False) is None
        clock.advance(LIMITS.restart_window_s / 2.5)


def test_a_type_whose_workers_never_become_ready_is_broken_until_the_pause_is_over(clock: FakeClock) -> None:
    restarts = restarts_on(clock)
    for _ in range(MAX_BOOT_FAILURES):
        assert not restarts.broken("coding")
        pause = restarts.failed("coding", booting=True)
    assert restarts.broken("coding")
    assert pause is not None
    clock.advance(pause)
    assert not restarts.broken("coding")
    assert restarts.failed("coding", booting=True) is not None
    clock.advance(30)
    restarts.started("coding")
    assert restarts.failed("coding", booting=True) is None


def test_a_moved_wall_clock_changes_no_wait(clock: FakeClock) -> None:
    restarts = restarts_on(clock)
    for _ in range(4):
        pause = restarts.failed("coding", booting=False)
    for seconds in (10**7, -(10**8)):
        clock.jump(seconds)
        assert restarts.wait("coding") == pytest.approx(pause)
