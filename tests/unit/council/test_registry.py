from pathlib import Path

import orjson
import pytest

from swarmd.council import registry
from swarmd.council.registry import Registry, read_active, read_registry
from swarmd.home import Home
from swarmd.testing import FakeClock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.keys.mkdir(parents=True)
    return made


def start(home: Home, clock: FakeClock | None = None) -> Registry:
    return Registry(home, clock or FakeClock(), boot_id="b")


def test_a_running_agent_stands_in_both_files(home: Home) -> None:
    clock = FakeClock()
    council = start(home, clock)
    council.spawned("coding.1", "coding", ["api"], pid=41, start_ticks=7)
    council.working("coding.1", "login", "task-001")
    clock.advance(5)
    council.beat("coding.1", progress=3, doing="asking the model")
    council.measured("coding.1", rss_bytes=1_000_000, cpu_percent=12.345)
    council.write()
    active = read_active(home)
    assert active is not None
    agent = active.agents["coding.1"]
    assert (agent.pid, agent.start_ticks, agent.boot_id, agent.status) == (41, 7, "b", "working")
    assert (agent.request_id, agent.task_id, agent.progress) == ("login", "task-001", 3)
    assert (agent.rss_bytes, agent.cpu_percent) == (1_000_000, 12.3)
    assert (agent.started_at, agent.heartbeat_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.000Z")
    known = read_registry(home)
    assert known is not None
    assert known.agents["coding.1"].skills == ["api"]


def test_an_agent_that_ended_stays_in_the_registry_only(home: Home) -> None:
    council = start(home)
    for agent_id in ("coding.1", "coding.2"):
        council.spawned(agent_id, "coding", [], 1, 1)
        council.idle(agent_id)
    council.task_ended("coding.1", done=True)
    council.task_ended("coding.2", done=False)
    council.ended("coding.1", lost=False)
    council.ended("coding.2", lost=True)
    council.write()
    active, known = read_active(home), read_registry(home)
    assert active is not None
    assert known is not None
    assert active.agents == {}
    first, second = known.agents["coding.1"], known.agents["coding.2"]
    assert (first.status, first.tasks_done, first.tasks_failed) == ("terminated", 1, 0)
    assert (second.status, second.tasks_done, second.tasks_failed) == ("lost", 0, 1)


def test_counters_go_on_after_a_restart_and_what_ran_is_lost(home: Home) -> None:
    before = start(home)
    before.spawned("coding.1", "coding", [], 1, 1)
    before.task_ended("coding.1", done=True)
    before.write()
    after = start(home)
    assert after.active == {}
    assert after.records["coding.1"].status == "lost"
    after.spawned("coding.1", "coding", [], 2, 2)
    assert (after.records["coding.1"].spawned, after.records["coding.1"].tasks_done) == (2, 1)


@pytest.mark.parametrize("content", [b"", b"{", b'{"v": 99, "updated_at": "x"}', b'{"agents": 1}'])
def test_a_spoilt_file_costs_the_counters_and_nothing_else(home: Home, content: bytes) -> None:
    home.registry_file.write_bytes(content)
    council = start(home)
    council.spawned("coding.1", "coding", [], 1, 1)
    council.write()
    assert orjson.loads(home.registry_file.read_bytes())["agents"]["coding.1"]["spawned"] == 1


def test_news_of_an_unknown_agent_changes_nothing(home: Home) -> None:
    council = start(home)
    council.beat("ghost.1", 1, "haunting")
    council.measured("ghost.1", 1, 1.0)
    council.task_ended("ghost.1", done=True)
    council.ended("ghost.1", lost=True)
    assert (council.active, council.records) == ({}, {})


def test_the_oldest_are_forgotten_before_the_file_grows_without_end(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_RECORDS", 3)
    clock = FakeClock()
    council = start(home, clock)
    for number in range(1, 7):
        clock.advance(1)
        council.spawned(f"coding.{number}", "coding", [], number, number)
        if number > 1:
            council.ended(f"coding.{number}", lost=False)
    council.write()
    assert set(council.records) == {"coding.1", "coding.5", "coding.6"}  # the first still runs
