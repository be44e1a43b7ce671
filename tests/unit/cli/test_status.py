"""``swarmd status``: everything from files, whatever they hold."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from swarmd import __version__
from swarmd.cli.exit_codes import ExitCode
from swarmd.clock import SystemClock, boot_id, rfc3339
from swarmd.daemon import presence
from swarmd.home import Home

from .conftest import Run


def drop(home: Home, priority: str, *names: str) -> None:
    for name in names:
        (home.inbox / priority / name).write_text("{}")


def ended(request_id: str, status: str = "succeeded", **more: Any) -> str:
    line = {"event": "request_complete", "ts": "2026-01-01T00:00:00.000Z", "request_id": request_id}
    return json.dumps(line | {"status": status} | more, separators=(",", ":")) + "\n"


def say(home: Home, **fields: Any) -> None:
    """What the daemon says of itself: this very process."""
    view = {
        "at": rfc3339(datetime.now(UTC) + timedelta(seconds=1)),
        "pid": os.getpid(),
        "durability": "power",
        "paused": False,
        "intake": "open",
        "active": 0,
        "waiting_for_space": False,
    }
    home.status_file.write_text(json.dumps(view | fields))


def test_without_a_daemon_the_files_tell(run: Run, home: Home) -> None:
    drop(home, "critical", "a.json")
    drop(home, "normal", "b.json", ".hidden.json", "c.json.tmp", "d.part", "e~")
    drop(home, ".", "loose.json")
    for name, plan in (("login", True), ("search", False)):
        (home.active / name).mkdir()
        if plan:
            (home.active / name / "plan.json").write_text("{}")
    (home.outbox / "old.json").write_text("{}")
    (home.deadletter / "x.json").write_text("?")
    (home.deadletter / "x.json.error.json").write_text("{}")
    (home.warrants / "pending/deploy-1.json").write_text("{}")
    home.master_log.write_text(
        ended("first") + '{"event":"other"}\n' + ended("second", "failed") + '{"event":"re'
    )
    home.active_agents_file.write_text('{"agents": {"coding.1": {"agent_id": "coding.1", "status": "idle"}}}')
    say(home)  # by nobody that runs
    ran = run("status", "--json")
    document = ran.document
    assert ran.code == ExitCode.DAEMON_DOWN
    assert (document["daemon"], document["live"], document["agents"]) == (None, None, [])
    assert document["waiting"] == {"critical": 1, "high": 0, "normal": 2, "low": 0}
    assert document["active_count"] == 2
    assert document["active"] == [
        {"request_id": "login", "state": "running"},
        {"request_id": "search", "state": "planning"},
    ]
    assert (document["results"], document["dead_letters"], document["warrants"]) == (1, 1, ["deploy-1"])
    assert [(r["request_id"], r["status"]) for r in document["last_results"]] == [
        ("second", "failed"),
        ("first", "succeeded"),
    ]
    assert document["service"] is None
    assert document["free_mib"] >= 0
    assert "swarmd up -d" in run("status").err


def test_a_running_daemon_with_all_its_troubles(run: Run, home: Home) -> None:
    home.active_agents_file.write_text('{"agents": {"coding.1": {"agent_id": "coding.1", "status": "idle"}}}')
    with presence.hold(home, SystemClock()):
        say(home, paused=True, intake="disk: 12 MiB are free", waiting_for_space=True, durability="process")
        ran = run("status", "--json")
        text = run("status").out
    assert ran.code == ExitCode.OK
    assert ran.document["daemon"]["pid"] == os.getpid()
    assert ran.document["live"]["intake"] == "disk: 12 MiB are free"
    for words in (
        f"pid {os.getpid()}",
        f"version {__version__}",
        "durability  process",
        "paused      yes",
        "stopped: disk: 12 MiB are free",
        "the disk is full: it waits for room",
        "coding.1 idle",
    ):
        assert words in text


@pytest.mark.parametrize(
    "fields",
    [{"pid": 1}, {"at": "2020-01-01T00:00:00Z"}, {"at": "yesterday"}, {"at": None}],
    ids=["another process", "an earlier daemon", "no time", "nothing"],
)
def test_words_of_an_earlier_daemon_are_not_shown(run: Run, home: Home, fields: dict[str, Any]) -> None:
    with presence.hold(home, SystemClock()):
        say(home, durability="off", **fields)
        assert run("status", "--json").document["live"] is None


@pytest.mark.parametrize(("known", "shown"), [(100_000, 100_000), (3, 1)])
def test_of_very_many_files_the_daemons_own_count_is_shown(
    run: Run, home: Home, known: int, shown: int
) -> None:
    (home.inbox / "normal/a.json").write_text("{}")
    with presence.hold(home, SystemClock()):
        say(home, waiting={"normal": known, "critical": "x"})
        assert run("status", "--json").document["waiting"]["normal"] == shown


def test_a_daemon_that_has_gone_silent_is_told(run: Run, home: Home) -> None:
    with presence.hold(home, SystemClock()) as mine:
        started = datetime.fromisoformat(mine.started_at) - timedelta(hours=1)
        document = mine.document() | {"started_at": rfc3339(started)}
        home.daemon_file.write_text(json.dumps(document))
        say(home, at=rfc3339(datetime.now(UTC) - timedelta(minutes=5)))
        assert "has not said anything for 300 s" in run("status").out


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"[]", b"null", b'{"agents": []}', b'{"agents": {"a": 5}}', b"{" * 100_000]
)
def test_files_that_are_not_what_they_should_be(run: Run, home: Home, junk: bytes) -> None:
    with presence.hold(home, SystemClock()):
        for path in (home.status_file, home.active_agents_file, home.master_log):
            path.write_bytes(junk)
        assert run("status").code == ExitCode.OK
    home.daemon_file.write_bytes(junk)
    assert run("status").code == ExitCode.DAEMON_DOWN


def test_hostile_names_do_not_draw_on_the_terminal(run: Run, home: Home) -> None:
    (home.active / "a\x1b[2Jb").mkdir()
    home.master_log.write_text(ended("\x1b]0;owned\x07", "\x1b[31mgood"))
    assert "\x1b" not in run("status").out


def test_results_are_found_in_the_segment_before(run: Run, home: Home) -> None:
    archive = home.logs / "archive"
    archive.mkdir()
    (archive / "master.000000000001.jsonl").write_text(ended("oldest"))
    (archive / "master.000000000900.jsonl").write_text(ended("older"))
    home.master_log.write_text(ended("newest"))
    found = run("status", "--json").document["last_results"]
    assert [result["request_id"] for result in found] == ["newest", "older"]


@pytest.mark.parametrize(
    "change",
    [{"pid": "1"}, {"pid": -1}, {"pid": 2**70}, {"start": "x"}, {"v": 2}, {"boot_id": 3}, {"more": 1}],
)
def test_a_daemon_file_of_another_kind_is_nobody(run: Run, home: Home, change: dict[str, Any]) -> None:
    good = {"v": 1, "pid": os.getpid(), "start": 0.0, "boot_id": boot_id(), "started_at": "?", "version": "1"}
    home.daemon_file.write_text(json.dumps(good | change))
    assert presence.read(home) is None


def test_status_does_not_wait_for_pydantic_to_load(home: Home) -> None:
    """It would double the time that it takes. A fresh interpreter: this one has loaded it."""
    code = "import sys; from swarmd.cli import main; main(['status']); sys.stderr.write(str([*sys.modules]))"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert "'swarmd.cli.status_facts'" in done.stderr
    for name in ("pydantic", "asyncio", "rich", "filelock"):
        assert f"'{name}'" not in done.stderr
