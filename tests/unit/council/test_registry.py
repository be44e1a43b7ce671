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


def test_rates_and_times_stand_in_both_files(home: Home) -> None:
    council = start(home)
    council.spawned("coding.1", "coding", ["api"], 1, 1)
    council.write()
    active = read_active(home)
    assert active is not None
    assert (active.agents["coding.1"].success_rate, active.agents["coding.1"].mean_latency_ms) == (None, None)
    for done in (True, True, False):
        council.task_ended("coding.1", done=done)
    for seconds in (1.0, 2.0):
        council.answered("coding.1", seconds)
    council.measured("coding.1", 5000, 1.25)
    council.write()
    active, known = read_active(home), read_registry(home)
    assert active is not None
    assert known is not None
    for agent in (active.agents["coding.1"], known.agents["coding.1"]):
        assert (agent.tasks_done, agent.tasks_failed, agent.success_rate) == (2, 1, 0.6667)
        assert (agent.mean_latency_ms, agent.rss_bytes, agent.skills) == (1500, 5000, ["api"])
    again = start(home)
    again.answered("coding.1", 3.0)
    assert again.records["coding.1"].mean_latency_ms == 2000


def test_only_the_file_that_has_something_new_is_written(home: Home) -> None:
    council = start(home)
    council.spawned("coding.1", "coding", [], 1, 1)
    council.write()
    before = home.registry_file.stat().st_ino, home.active_agents_file.stat().st_ino
    assert not council.changed
    council.idle("coding.1")
    council.write()
    between = home.registry_file.stat().st_ino, home.active_agents_file.stat().st_ino
    council.idle("coding.1")
    assert not council.changed
    council.beat("coding.1", 1, "thinks")
    assert council.changed
    council.write()
    after = home.registry_file.stat().st_ino, home.active_agents_file.stat().st_ino
    assert before[0] != between[0] == after[0]
    assert before[1] != between[1] != after[1]


def test_a_file_that_an_older_version_wrote_is_gone_on_from(home: Home) -> None:
    record = {"agent_id": "coding.1", "agent_type": "coding", "first_seen": "a", "last_seen": "b"}
    content = {"v": 1, "updated_at": "x", "agents": {"coding.1": record | {"tasks_done": 7}}}
    home.registry_file.write_bytes(orjson.dumps(content))
    assert start(home).records["coding.1"].tasks_done == 7
