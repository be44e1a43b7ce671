"""The registry files follow the crew, and are not written more often than that is of use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.agents.handle import Worker
from swarmd.council.registry import Registry, read_active, read_registry
from swarmd.daemon.roster import Roster
from swarmd.home import Home
from swarmd.testing import FakeClock

EVERY_S = 0.5


class Counted(Registry):
    writes = 0

    def write(self) -> None:
        self.writes += 1
        super().write()


def worker(name: str, clock: FakeClock, **fields: Any) -> Worker:
    known = {"pid": 4_000_000, "start_ticks": 7, "ready": True, "started": clock.boot()} | fields
    return Worker(name, "agent", "coding", None, **known)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.keys.mkdir(parents=True)
    return home


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 10))


def roster_of(
    home: Home, clock: FakeClock, every_s: float = EVERY_S
) -> tuple[Roster, Counted, dict[str, Worker]]:
    registry, workers = Counted(home, clock, "b"), dict[str, Worker]()
    return Roster(registry, clock, workers, lambda _: ["api"], lambda: every_s), registry, workers


def test_a_thousand_passes_write_once_and_the_last_change_is_not_forgotten(home: Home) -> None:
    clock = FakeClock()

    async def story() -> None:
        roster, registry, workers = roster_of(home, clock, 0.02)
        workers["coding.1"] = worker("coding.1", clock)
        for number in range(1000):
            workers["coding.1"].work, workers["coding.1"].request_id = "o", f"r{number}"
            roster.publish()
        assert registry.writes == 1
        await asyncio.sleep(0.1)
        assert registry.writes == 2
        active = read_active(home)
        assert active is not None
        assert active.agents["coding.1"].request_id == "r999"
        roster.close()

    run(story)


def test_nothing_new_writes_nothing(home: Home) -> None:
    clock = FakeClock()

    async def story() -> None:
        roster, registry, workers = roster_of(home, clock)
        workers["coding.1"] = worker("coding.1", clock)
        roster.publish()
        for _ in range(9):
            clock.advance(EVERY_S)
            roster.publish()
        assert registry.writes == 1
        workers["coding.1"].last_beat = clock.boot()
        clock.advance(EVERY_S)
        roster.publish()
        assert registry.writes == 2
        roster.close()

    run(story)


def test_who_starts_is_shown_from_the_moment_its_process_is_known(home: Home) -> None:
    clock = FakeClock()

    async def story() -> None:
        roster, _, workers = roster_of(home, clock)
        workers["coding.1"] = worker("coding.1", clock, ready=False)
        workers["coding.2"] = worker("coding.2", clock, ready=False, pid=0)
        roster.publish()
        active = read_active(home)
        assert active is not None
        assert {name: agent.status for name, agent in active.agents.items()} == {"coding.1": "starting"}
        assert active.agents["coding.1"].skills == ["api"]
        lost = workers.pop("coding.1")
        clock.advance(EVERY_S)
        roster.remove(lost, lost=True)
        active, known = read_active(home), read_registry(home)
        assert active is not None
        assert known is not None
        assert active.agents == {}
        assert known.agents["coding.1"].status == "lost"
        roster.close()

    run(story)


def test_a_disk_that_takes_nothing_is_tried_again_the_next_time(home: Home) -> None:
    clock = FakeClock()

    async def story() -> None:
        roster, _, workers = roster_of(home, clock)
        workers["coding.1"] = worker("coding.1", clock)
        home.keys.rename(home.keys.with_name("elsewhere"))
        roster.publish()
        home.keys.mkdir()
        clock.advance(EVERY_S)
        roster.publish()
        active = read_active(home)
        assert active is not None
        assert set(active.agents) == {"coding.1"}
        roster.close()

    run(story)
