"""The client: what it drops, what it waits for, and what it reads from the folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from swarmd import client
from swarmd.errors import ConfigError, RequestError
from swarmd.home import Home
from swarmd.messages import (
    SHORT_ID,
    AcceptedRequest,
    AuditPoint,
    Command,
    DeadLetter,
    Packet,
    Plan,
    Request,
    Result,
    dump,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home


def result(request_id: str, **fields: Any) -> Result:
    return Result(
        request_id=request_id,
        status="succeeded",
        summary="done",
        tokens={"local": 1, "cloud": 0},
        cost_micro_usd={"local": 0, "cloud": 0},
        seconds=1.5,
        audit=AuditPoint(log="master", seq=1, hash="0" * 64),
        finished_at="2026-01-01T00:00:00.000Z",
    ).model_copy(update=fields)


def accept(home: Home, request_id: str, folder: Path | None = None, **fields: Any) -> Path:
    folder = folder or home.request_folder(request_id)
    folder.mkdir(parents=True)
    request = AcceptedRequest(
        **{"user_request": "x", **fields},
        request_id=request_id,
        priority="high",
        received_at="t",
        source_name="a",
        content_sha256="0" * 64,
    )
    (folder / "request.json").write_bytes(dump(request))
    return folder


class Ticks:
    """Time that passes by sleeping; ``at`` runs things at moments."""

    def __init__(self, **at: Any) -> None:
        self.now = 0.0
        self.plans = sorted(((float(when[1:]), what) for when, what in at.items()), key=lambda plan: plan[0])

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.plans and self.plans[0][0] <= self.now:
            self.plans.pop(0)[1]()

    def wait(self, home: Home, request_id: str, timeout: float | None = 10, **more: Any) -> Result:
        return client.wait(home, request_id, timeout, sleep=self.sleep, monotonic=lambda: self.now, **more)


def test_what_is_submitted_is_whole_private_and_names_its_id(home: Home) -> None:
    request_id = client.submit(home, {"user_request": "Füge einen Login hinzu, bitte! Jetzt."}, "high")
    assert re.fullmatch(SHORT_ID, request_id)
    assert request_id.startswith("fuge-einen-login-hinzu-bitte-")
    [path] = (home.inbox / "high").iterdir()
    assert path.name.startswith(f"{request_id}.")
    assert not path.name.startswith(".")
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_bytes())["request_id"] == request_id


def test_an_id_of_ones_own_is_kept(home: Home) -> None:
    assert client.submit(home, Request(user_request="x", request_id="fix-1")) == "fix-1"
    assert client.submit(home, {"user_request": "y", "request_id": "fix-1"}) == "fix-1"
    assert len(list((home.inbox / "normal").iterdir())) == 2, "the daemon judges, nothing is overwritten"


def test_an_id_is_made_of_any_text(home: Home) -> None:
    for text in ("修正", "-", "x" * 500, "a" * 64 + " b", "1"):
        assert re.fullmatch(SHORT_ID, client.submit(home, {"user_request": text}))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "user_request"),
        ({"user_request": "x", "limits": {"seconds": "1"}}, "limits.seconds"),
        ({"a": 1}, ""),
    ],
)
def test_what_is_no_request_is_refused_before_it_is_dropped(
    home: Home, request_: dict[str, Any], field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        client.submit(home, request_)
    assert field in str(caught.value.field)
    assert list((home.inbox / "normal").iterdir()) == []


def test_an_id_that_belongs_to_another_request_is_refused_and_a_repeat_is_not(home: Home) -> None:
    accept(home, "fix-1", user_request="one")
    accept(home, "fix-2", home.done / "2026-01-01/fix-2", user_request="two")
    for request_id in ("fix-1", "fix-2"):
        with pytest.raises(RequestError, match="belongs to another") as caught:
            client.submit(home, {"user_request": "other", "request_id": request_id})
        assert caught.value.code == "E-REQUEST-DUPLICATE"
    assert client.submit(home, {"user_request": "one", "request_id": "fix-1"}) == "fix-1"


def test_a_folder_that_is_no_home_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        client.submit(home, {"user_request": "x"})
    with pytest.raises(ConfigError):
        client.command(home, Command(command="pause"))
    assert client.requests(home) == []
    assert not home.root.exists()


def test_waiting_ends_with_the_result(home: Home) -> None:
    ticks = Ticks(t3=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix").status == "succeeded"
    assert ticks.now == pytest.approx(3, abs=0.1)


def test_waiting_ends_with_the_time(home: Home) -> None:
    with pytest.raises(TimeoutError, match="fix has no result after 10 seconds"):
        Ticks().wait(home, "fix")


def test_waiting_gives_the_requests_own_lines_once_and_the_last_ones_too(home: Home) -> None:
    def log(*lines: dict[str, Any]) -> None:
        with home.master_log.open("ab") as file:
            file.writelines(orjson.dumps(line) + b"\n" for line in lines)

    def finish() -> None:
        log({"n": 4, "request_id": "fix"})
        (home.outbox / "fix.json").write_bytes(dump(result("fix")))

    log({"n": 1, "request_id": "fix"}, {"n": 2, "request_id": "other"})
    ticks = Ticks(t1=lambda: log({"n": 3, "request_id": "fix"}), t2=finish)
    lines: list[int] = []
    ticks.wait(home, "fix", on_line=lambda line: lines.append(line["n"]))
    assert lines == [1, 3, 4]


def test_only_the_end_of_a_long_log_is_read(home: Home) -> None:
    with home.master_log.open("wb") as file:
        for number in range(40_000):
            file.write(b'{"n":%d,"request_id":"fix","pad":"%s"}\n' % (number, b"x" * 60))
    (home.outbox / "fix.json").write_bytes(dump(result("fix")))
    lines: list[int] = []
    Ticks().wait(home, "fix", on_line=lambda line: lines.append(line["n"]))
    assert 5_000 < len(lines) < 20_000
    assert lines[-1] == 39_999


def test_a_damaged_log_does_not_hide_the_result(home: Home) -> None:
    home.master_log.write_bytes(b"no json\n")
    ticks = Ticks(t1=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix", on_line=lambda line: None).status == "succeeded"


def bury(home: Home, name: str) -> None:
    letter = DeadLetter(name=name, original_name=name, code="E-REQUEST-X", message="bad", hint="h", at="t")
    (home.deadletter / f"{name}.error.json").write_bytes(dump(letter))


def test_waiting_for_a_request_that_was_refused_raises_the_reason(home: Home) -> None:
    client.submit(home, {"user_request": "x", "request_id": "fix"})
    [path] = (home.inbox / "normal").iterdir()
    with pytest.raises(RequestError, match="bad") as caught:
        Ticks(t1=lambda: bury(home, path.name)).wait(home, "fix")
    assert caught.value.code == "E-REQUEST-X"


def test_the_refused_second_file_of_an_accepted_request_is_not_its_end(home: Home) -> None:
    accept(home, "fix")
    bury(home, "fix.12345678.json")
    bury(home, "fixture.json")
    ticks = Ticks(t3=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix").request_id == "fix"


def test_a_command_is_a_file(home: Home) -> None:
    paths = {client.command(home, Command(command="cancel", request_id="fix")) for _ in range(3)}
    assert len(paths) == 3
    assert all(json.loads(path.read_bytes())["request_id"] == "fix" for path in paths)


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
