"""What is given out first: by priority, with ageing, and fairly between the requests of one priority."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.agents.spec import Types
from swarmd.config import DaemonSettings, LimitSettings, Settings
from swarmd.daemon.context import Context
from swarmd.daemon.limits import Limits
from swarmd.daemon.state import RequestState
from swarmd.daemon.work import Rank, Work, WorkQueue
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Priority, Usage
from swarmd.messages.request import Limits as Wanted
from swarmd.testing import FakeClock

RECEIVED = "2026-01-01T00:00:00.000Z"
AGEING = 100.0


def order(request_id: str, task: int = 1) -> Work:
    return Work("order", "coding", request_id, f"task-{task:03d}")


def popped(queue: WorkQueue) -> list[str]:
    found = []
    while (work := queue.pop("coding")) is not None:
        found.append(f"{work.request_id}/{work.task_id}")
    return found


def test_the_least_rank_goes_first_and_the_same_work_waits_once() -> None:
    ranks: dict[str, Rank] = {"low": (3, 0, 1), "high": (1, 0, 3), "normal": (2, 0, 2)}
    queue = WorkQueue(ranks.get)
    for name in ("low", "high", "normal", "low"):
        queue.add(order(name))
    assert popped(queue) == ["high/task-001", "normal/task-001", "low/task-001"]


def test_a_request_with_much_in_hand_lets_others_of_its_priority_go_first() -> None:
    running = {"big": 0, "small": 0}
    queue = WorkQueue(lambda name: (2, running[name], 1 if name == "big" else 2))
    for task in (1, 2, 3):
        queue.add(order("big", task))
    queue.add(order("small"))
    first = queue.pop("coding")
    assert first is not None
    assert first.request_id == "big"
    running["big"] = 1
    assert [name.split("/")[0] for name in popped(queue)] == ["small", "big", "big"]


def test_what_has_aged_comes_forward_and_what_has_ended_is_passed_over() -> None:
    ranks: dict[str, Rank | None] = {"old": (3, 0, 1), "new": (1, 0, 2), "ended": (0, 0, 3)}
    queue = WorkQueue(ranks.get)
    for name in ranks:
        queue.add(order(name))
    ranks["old"] = (0, 0, 1)
    ranks["ended"] = None
    queue.rerank()
    assert popped(queue) == ["old/task-001", "new/task-001"]


def test_discarded_work_is_not_given_out_and_may_wait_again() -> None:
    queue = WorkQueue(lambda _: (0, 0, 0))
    queue.add(order("one"))
    queue.add(order("two"))
    queue.discard("one", iter(["task-001"]))
    assert [work.request_id for work in queue.shown()] == ["two"]
    queue.add(order("one"))
    assert sorted(popped(queue)) == ["one/task-001", "two/task-001"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=40))
def test_nothing_is_lost_or_given_out_twice(steps: list[tuple[int, int, bool]]) -> None:
    ranks = {f"r{n}": (n % 3, 0, n) for n in range(6)}
    queue = WorkQueue(ranks.get)
    waiting: set[tuple[str, str | None]] = set()
    for number, rank, add in steps:
        name = f"r{number}"
        if add:
            ranks[name] = (rank, 0, number)
            queue.add(order(name))
            waiting.add(order(name).key)
        elif (work := queue.pop("coding")) is not None:
            waiting.remove(work.key)
    while (work := queue.pop("coding")) is not None:
        waiting.remove(work.key)
    assert not waiting


def make_limits(tmp_path: Path, clock: FakeClock) -> Limits:
    chosen = Settings(daemon=DaemonSettings(ageing_s=AGEING), limits=LimitSettings(seconds=500, tokens=1000))
    context = Context(Home(tmp_path), chosen, clock, None, None, Types())  # type: ignore[arg-type]
    return Limits(context)


def request(priority: Priority = "low", **limits: int) -> RequestState:
    accepted = AcceptedRequest(
        user_request="x",
        request_id="r",
        priority=priority,
        received_at=RECEIVED,
        source_name="",
        content_sha256="",
        limits=Wanted(**limits),
    )
    return RequestState(accepted, 1, 0, RECEIVED)


def test_low_priority_becomes_critical_by_waiting(tmp_path: Path) -> None:
    clock = FakeClock()
    limits, waiting = make_limits(tmp_path, clock), request("low")
    levels = []
    for _ in range(5):
        levels.append(limits.level(waiting))
        clock.advance(AGEING)
    assert levels == [3, 2, 1, 0, 0]


def test_a_moved_wall_clock_neither_ages_nor_ends_a_request(tmp_path: Path) -> None:
    clock = FakeClock()
    limits, active = make_limits(tmp_path, clock), request("normal", seconds=60)
    assert limits.exceeded(active) is None
    for jump in (86_400.0, -172_800.0):
        clock.jump(jump)
        assert limits.exceeded(active) is None
        assert limits.level(active) == 2
    clock.advance(61)
    assert limits.is_over(active)
    assert limits.exceeded(active) == ("E-LIMIT-SECONDS", "it took longer than its limit of 60 s")


def test_a_request_from_before_the_restart_is_as_old_as_the_wall_clock_says(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.advance(70)
    limits = make_limits(tmp_path, clock)
    assert limits.is_over(request(seconds=60))
    assert not limits.is_over(request(seconds=80))


def test_tokens_count_over_all_calls_and_the_homes_limit_holds_over_the_requests(tmp_path: Path) -> None:
    limits, active = make_limits(tmp_path, FakeClock()), request(tokens=5000)
    active.usage = Usage(prompt_tokens=600, completion_tokens=300)
    assert limits.exceeded(active) is None
    active.cloud_usage = Usage(prompt_tokens=101)
    found = limits.exceeded(active)
    assert found is not None
    assert found[0] == "E-LIMIT-TOKENS"
