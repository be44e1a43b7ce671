"""Who is started, who is ended, and what the log says of it; without a process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from swarmd import durable
from swarmd.agents import factory as factories
from swarmd.agents.factory import Kind, Worker
from swarmd.agents.spec import Types
from swarmd.agents.zygote import EXIT_BOOT_FAILURE
from swarmd.audit import read_lines
from swarmd.bus.channel import AsyncChannel, Channel, pair
from swarmd.config import Settings
from swarmd.council.registry import Registry
from swarmd.daemon import resources
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.journal import Journal
from swarmd.daemon.state import State
from swarmd.home import Home
from swarmd.testing import FakeClock

LIMITS = {"heartbeat_s": 2.0, "hung_after_s": 100.0, "max_agents": 4, "restart_failures": 3}


class Signals:
    """Notes who would have been signalled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[int, int]] = []
        monkeypatch.setattr(factories.processes, "send_signal", self._send)

    def _send(self, pid: int, start: int, fd: int | None, number: int, *, group: bool = False) -> bool:
        self.sent.append((pid, number))
        return True


@pytest.fixture(autouse=True)
def calm_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources.Resources, "refusal", lambda self, first: None)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Signals:
    return Signals(monkeypatch)


@asynccontextmanager
async def crew_on(home: Home, clock: FakeClock) -> AsyncIterator[tuple[Crew, Channel]]:
    """A crew, and the zygote's end of its channel."""
    durable.make_dirs(*home.folders())
    settings = Settings.model_validate({"daemon": LIMITS})
    journal = Journal(home, clock, lambda line, offset: None)
    context = Context(home, settings, clock, journal, State(lambda *_: b""), Types({}, {}))

    async def attach(_: str) -> Any:
        ours, theirs = pair()
        ours.close()
        return theirs

    async def ignore(worker: Worker, message: dict[str, Any]) -> None:
        return

    ours, theirs = pair()
    zygote = Channel(theirs)
    async with asyncio.TaskGroup() as background:
        crew = Crew(context, Registry(home, clock, "b"), ignore, background, Random(1))
        crew.factory._attach = attach
        crew.factory._control = AsyncChannel(ours)
        crew.factory._generation = 1
        crew.broker._up.set()
        try:
            yield crew, zygote
        finally:
            context.draining = True
            for worker in crew.factory.workers.values():
                worker.ended.set()
            await crew.close()
            zygote.close()
    journal.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 10))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def ready(crew: Crew, clock: FakeClock, kind: Kind = "agent", agent_type: str = "coding") -> Worker:
    worker = crew.factory.begin(kind, agent_type)
    worker.ready, worker.pid, worker.start_ticks, worker.generation = True, 4_000_000, 7, 1
    worker.idle_since = clock.boot()
    return worker


def lines(home: Home, name: str) -> list[dict[str, Any]]:
    return [line for line, _ in read_lines(home.master_log) if line["event"] == name]


def test_as_many_are_started_as_wait_and_never_more_than_may_live(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, zygote):
            assert crew.take("agent", "coding", 3, waiting=2) is None
            assert crew.factory.count("agent", "coding") == 2  # at once: they are counted while they start
            for _ in range(10):
                crew.take("agent", "coding", 3, waiting=100)
                crew.take("agent", "docs", 100, waiting=100)
                await settle()
            assert (crew.factory.count("agent", "coding"), crew.factory.count("agent")) == (3, 4)
            crew.take("verifier", "verifier", 2, waiting=1)
            crew.take("verifier", "verifier", 2, waiting=1)
            assert crew.factory.count("verifier") == 1
            await settle()
            asked = []
            while (received := zygote.receive(timeout=0)) is not None:
                asked.append(received[0]["name"])
                for fd in received[1]:
                    os.close(fd)
            assert sorted(asked) == ["coding.1", "coding.2", "coding.3", "docs.1", "verifier.1"]

    run(story)
    assert len(lines(home, "agent_spawned")) == 5


def test_an_idle_one_is_given_the_one_that_was_busy_last(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            ready(crew, clock)
            clock.advance(1)
            second = ready(crew, clock)
            assert crew.take("agent", "coding", 4, waiting=9) is second
            assert crew.factory.count("agent") == 2
            assert crew.take("agent", "docs", 4) is None

    run(story)


def test_when_all_places_are_taken_an_idle_agent_of_another_type_makes_room(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            workers = []
            for _ in range(4):
                workers.append(ready(crew, clock))
                clock.advance(1)
            workers[0].work = "o1"
            for _ in range(3):
                assert crew.take("agent", "docs", 4, waiting=3) is None
            assert [w.stopping for w in workers] == [False, True, False, False]

    run(story)


def test_a_lack_of_memory_holds_all_back_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            monkeypatch.setattr(resources.Resources, "refusal", lambda self, first: "no memory")
            for _ in range(5):
                assert crew.take("agent", "coding", 3) is None
            assert crew.factory.count("agent") == 0
            monkeypatch.setattr(resources.Resources, "refusal", lambda self, first: None)
            crew.take("agent", "coding", 3)
            assert crew.factory.count("agent") == 1
            await settle()

    run(story)
    assert [line["data"] for line in lines(home, "workers_held_back")] == [{"reason": "no memory"}]
    assert len(lines(home, "workers_resumed")) == 1


def test_a_worker_is_hung_when_its_work_stands_still_whatever_the_wall_clock_says(
    tmp_path: Path, signals: Signals
) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            worker = ready(crew, clock)
            worker.work = "o1"
            for seconds in (10**7, -(10**8)):
                clock.jump(seconds)
                await crew.check()
            assert not worker.stopping
            clock.advance(101)  # the machine may have slept: it gets two heartbeats to say something
            await crew.check()
            assert not worker.stopping
            worker.moved = clock.boot()
            clock.advance(5)
            await crew.check()
            assert not worker.stopping
            for seconds in (101, 3, 1.5):
                assert not worker.stopping
                clock.advance(seconds)
                await crew.check()
            assert worker.stopping
            assert "hung" in worker.fault

    run(story)
    assert (4_000_000, signal.SIGABRT) in signals.sent


def test_a_beat_counts_as_getting_on_only_with_a_higher_progress(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            worker = ready(crew, clock)
            moved = worker.moved
            for progress, moves in ((5, True), (5, False), (3, False), (6, True)):
                clock.advance(1)
                worker.last_beat = clock.boot()
                await crew.factory._hear(worker, {"op": "beat", "progress": progress})
                assert (worker.moved > moved) == moves
                moved = worker.moved

    run(story)


def test_how_a_lost_one_ended_and_what_it_did_stands_in_the_log(tmp_path: Path, signals: Signals) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            worker = ready(crew, clock)
            worker.work, worker.request_id, worker.task_id = "o1", "r", "task-001"
            worker.progress, worker.doing = 9, "asks the deep model"
            assert worker.last_words_fd is not None
            os.write(worker.last_words_fd, b"Fatal Python error: Aborted")
            await crew.factory._forget(worker, int(signal.SIGSEGV))
            other = ready(crew, clock)
            await crew.factory._forget(other, 64)  # a signal that has no name

    run(story)
    lost = lines(home, "agent_lost")[0]
    assert (lost["request_id"], lost["task_id"]) == ("r", "task-001")
    data = lost["data"]
    assert (data["signal"], data["exit_code"]) == ("SIGSEGV", -signal.SIGSEGV)
    assert (data["work"], data["progress"], data["doing"]) == ("o1", 9, "asks the deep model")
    assert (tmp_path / data["dump"]).read_text() == "Fatal Python error: Aborted"
    assert lines(home, "agent_lost")[1]["data"]["signal"]


def test_a_type_that_keeps_failing_pauses_and_resumes_by_itself(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            for _ in range(3):
                await crew.factory._forget(ready(crew, clock), 1 << 8)
            assert crew.take("agent", "coding", 3) is None
            assert crew.factory.count("agent") == 0
            crew.take("agent", "docs", 3)
            assert crew.factory.count("agent", "docs") == 1
            clock.advance(60)
            await crew.check()
            crew.take("agent", "coding", 3)
            assert crew.factory.count("agent", "coding") == 1

    run(story)
    assert [line["data"]["agent_type"] for line in lines(home, "type_paused")] == ["coding"]
    assert [line["data"]["agent_type"] for line in lines(home, "type_resumed")] == ["coding"]


@pytest.mark.parametrize("why", ["asked", "cancelled", "zygote"])
def test_an_end_that_is_not_its_own_is_no_failure_of_its_type(
    tmp_path: Path, why: str, signals: Signals
) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            for _ in range(5):
                worker = ready(crew, clock)
                if why == "asked":
                    crew.factory.stop(worker)
                elif why == "cancelled":
                    worker.work, worker.request_id = "o1", "r"
                    assert not crew.release("r")
                await crew.factory._forget(worker, None if why == "zygote" else 9)
            crew.take("agent", "coding", 3)
            assert crew.factory.count("agent") == 1

    run(story)
    assert not lines(home, "type_paused")


def test_what_cannot_boot_is_waited_with_then_called_broken(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            for round_ in range(3):
                assert not crew.broken("coding")
                worker = crew.factory.begin("agent", "coding")
                worker.pid = 4_000_000
                await crew.factory._forget(worker, EXIT_BOOT_FAILURE << 8)
                assert crew.take("agent", "coding", 3) is None
                assert crew.factory.count("agent") == 0, f"round {round_}"
                clock.advance(3)
            assert crew.broken("coding")

    run(story)


def test_one_that_does_not_become_ready_is_ended_and_a_zygote_that_does_not_fork_too(
    tmp_path: Path, signals: Signals
) -> None:
    home, clock = Home(tmp_path), FakeClock()
    ended: list[int] = []

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            crew.factory.end_zygote = lambda: ended.append(1)  # type: ignore[method-assign]
            born = crew.factory.begin("agent", "coding")
            born.pid, born.generation = 4_000_000, 1
            clock.advance(31)
            await crew.check()
            assert born.killed
            assert not ended
            unborn = crew.factory.begin("agent", "coding")
            unborn.generation = 1
            clock.advance(31)
            await crew.check()
            assert unborn.killed
            assert ended

    run(story)


def test_how_long_answers_take_and_how_tasks_end_is_counted(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()

    def line(name: str) -> Any:
        return {"event": name, "actor": "coding.1", "request_id": None, "task_id": None, "data": {}}

    async def story() -> None:
        async with crew_on(home, clock) as (crew, _):
            crew._roster.add(ready(crew, clock))
            for seconds in (2, 4):
                crew.count(line("task_assigned"))
                clock.jump(10**6)
                clock.advance(seconds)
                crew.count(line("proposal_received"))
            crew.count(line("proposal_received"))
            record = crew._registry.records["coding.1"]
            assert (record.orders, record.busy_ms, record.mean_latency_ms) == (2, 6000, 3000)

    run(story)
