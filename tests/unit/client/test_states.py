"""What the client reads from the folders."""

from __future__ import annotations

import os

import pytest

from swarmd import client
from swarmd.home import Home
from swarmd.messages import Packet, Plan, dump
from tests.unit.client.builders import accept, result


def test_the_state_of_a_request_is_read_from_the_folders(home: Home) -> None:
    packet = Packet(
        packet_id="pkt-1",
        task_id="task-001",
        request_id="fix",
        agent_type="coding",
        action="x",
        status="running",
    )
    assert client.status(home, "fix") is None
    client.submit(home, {"user_request": "x", "request_id": "fix"}, "low")
    waiting = client.status(home, "fix")
    assert waiting is not None
    assert (waiting.state, waiting.priority) == ("waiting", "low")
    folder = accept(home, "fix")
    assert client.status(home, "fix").state == "planning"  # type: ignore[union-attr]
    (folder / "plan.json").write_bytes(
        dump(Plan(request_id="fix", origin="direct", kind="bugfix", packets=[packet]))
    )
    (folder / "tasks").mkdir()
    (folder / "tasks/task-001.json").write_bytes(dump(packet))
    (folder / "tasks/.task-001.json.tmp").write_bytes(b"{")
    running = client.status(home, "fix")
    assert running is not None
    assert (running.state, running.tasks, running.priority) == ("running", [packet], "high")
    (home.outbox / "fix.json").write_bytes(dump(result("fix")))
    folder.rename(home.done / "fix")
    done = home.done / "2026-01-01"
    done.mkdir()
    (home.done / "fix").rename(done / "fix")
    ended = client.status(home, "fix")
    assert ended is not None
    assert (ended.state, ended.tasks, ended.result) == ("succeeded", [packet], result("fix"))


def test_all_requests_are_listed_once(home: Home) -> None:
    for number in range(5):
        path = home.outbox / f"old-{number}.json"
        path.write_bytes(dump(result(f"old-{number}")))
    accept(home, "busy")
    accept(home, "old-4", home.request_folder("old-4"))
    client.submit(home, {"user_request": "x", "request_id": "new"})
    client.submit(home, {"user_request": "x", "request_id": "busy"})
    (home.request_folder("broken")).mkdir()
    states = {state.request_id: state.state for state in client.requests(home)}
    assert states == {**{f"old-{n}": "succeeded" for n in range(5)}, "busy": "planning", "new": "waiting"}
    assert len(client.requests(home)) == 7
    assert len(client.requests(home, limit=2)) == 4


def test_of_many_that_wait_the_first_of_each_priority_are_listed(home: Home) -> None:
    for number in range(30):
        for priority in ("high", "low"):
            path = home.inbox / priority / f"{priority}-{number:02}.json"
            path.write_bytes(b"{}")
            os.utime(path, ns=(0, number))
    ids = [state.request_id for state in client.requests(home, limit=3)]
    assert ids == ["high-00", "high-01", "high-02", "low-00", "low-01", "low-02"]


def test_the_state_of_one_looks_at_no_other_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (home.inbox / "normal" / f"a-{number}.json").write_bytes(b"{}")
    seen: list[object] = []
    monkeypatch.setattr("os.lstat", lambda path: seen.append(path))
    state = client.status(home, "a-7")
    assert state is not None
    assert (state.state, state.priority) == ("waiting", "normal")
    assert client.status(home, "a") is None
    assert seen == []


def test_a_result_that_was_cleared_is_read_from_the_folder_of_the_request(home: Home) -> None:
    folder = accept(home, "fix", home.done / "2026-01-01/fix")
    (folder / "result.json").write_bytes(dump(result("fix", status="failed")))
    state = client.status(home, "fix")
    assert state is not None
    assert state.state == "failed"


def test_a_result_of_an_earlier_try_does_not_count_while_it_is_active(home: Home) -> None:
    (accept(home, "fix") / "result.json").write_bytes(dump(result("fix", status="failed")))
    state = client.status(home, "fix")
    assert state is not None
    assert (state.state, state.result) == ("planning", None)
