"""The fault walk's own judgement: which points there are, and that it sees what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.fault_walk import spread
from scripts.faults.injection import FAULTS, Point, applies, points_of, syncs_after
from scripts.faults.invariants import after_the_end, at_the_crash
from swarmd import home as homes
from swarmd.audit import Chain
from swarmd.audit.chain import Head
from swarmd.home import Home

TRACE = """\
100  openat(AT_FDCWD, "/h/logs/master.jsonl", O_RDONLY|O_CLOEXEC) = 5</h/logs/master.jsonl>
100  openat(AT_FDCWD, "/h/bus/.a.tmp", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</h/bus/.a.tmp>
100  write(5</h/bus/.a.tmp>, "x", 1) = 1
101  write(7<pipe:[12]>, "y", 1) = 1
100  write(5</h/bus/.a.tmp>, "z", 1) = 1
101  fdatasync(5</h/bus/.a.tmp>) = 0
"""


def test_points_are_numbered_in_each_thread_as_strace_counts() -> None:
    names = [point.name for point in points_of("master", TRACE, "/h")]
    assert [n for n in names if ":kill:" in n] == [
        "master:kill:write:1",
        "master:kill:write:2",
        "master:kill:fdatasync:1",
    ]
    assert [n for n in names if ":short:" in n] == [f"master:short:write:{n}" for n in (1, 2, 3)]
    assert [n for n in names if ":enospc:" in n] == [
        "master:enospc:write:1",
        "master:enospc:write:2",
        "master:enospc:openat:2",
    ]


def test_a_full_disk_meets_only_what_needs_the_disk() -> None:
    opened, made, written, piped = TRACE.splitlines()[:4]
    assert [applies(line, "/h") for line in (opened, made, written, piped)] == [False, True, True, False]


def test_syncs_after_a_failed_one_are_seen() -> None:
    failed = "100  fdatasync(5</h/a>) = -1 EIO (Input/output error) (INJECTED)\n"
    assert syncs_after(TRACE + failed) == []
    assert syncs_after(failed + TRACE) == ["101  fdatasync(5</h/bus/.a.tmp>) = 0"]


def test_a_sample_has_some_of_each_kind() -> None:
    kill, eio = FAULTS["kill"], FAULTS["eio"]
    points = [Point("master", kill, "write", n) for n in range(100)] + [Point("agent", eio, "fsync", 1)]
    assert {point.target for point in spread(points, 2, 1)} == {"master", "agent"}
    assert spread(points, 5, 1) == spread(points, 5, 1)


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """A home on which one request, "one", was received and ended as it should."""
    home = Home(tmp_path / "home")
    homes.init(home, {"XDG_STATE_HOME": str(tmp_path / "state")})
    _log(home, "request_received", "one")
    head = _log(home, "request_complete", "one")
    audit = {"log": "master.jsonl", "seq": head.seq, "hash": head.hash}
    (home.outbox / "one.json").write_text(
        json.dumps({"request_id": "one", "status": "succeeded", "audit": audit})
    )
    return home.root


def _log(home: Home, event: str, request_id: str) -> Head:
    chain = Chain(home.master_log, "test")
    line = {"ts": "2026-01-01T00:00:00.000Z", "level": "info", "actor": "master", "data": {}}
    chain.append([{**line, "event": event, "request_id": request_id}])
    chain.close()
    return chain.head


EXPECTED = {"one": ("succeeded",)}


def test_a_home_on_which_all_is_well_has_no_problems(ended: Path) -> None:
    assert after_the_end(ended, EXPECTED, ()) == []
    assert at_the_crash(ended, ["bus/inbox/high/one.json"]) == []


def test_a_lost_request_is_seen(ended: Path) -> None:
    (lost,) = at_the_crash(ended, ["bus/inbox/high/one.json", "bus/inbox/high/two.json"])
    assert "two.json is lost" in lost
    assert "two has no result" in after_the_end(ended, {**EXPECTED, "two": ("succeeded",)}, ())


def test_what_was_done_twice_is_seen(ended: Path) -> None:
    _log(Home(ended), "request_complete", "one")
    assert after_the_end(ended, EXPECTED, ()) == ["one has 2 lines request_complete instead of 1"]
    _log(Home(ended), "request_reopened", "one")
    assert after_the_end(ended, EXPECTED, ()) == []


def test_the_wrong_status_and_a_changed_log_are_seen(ended: Path) -> None:
    (ended / "bus/outbox/one.json").write_text('{"status": "failed"}')
    log = ended / "logs/master.jsonl"
    log.write_text(log.read_text().replace('"info"', '"wrong"', 1))
    problems = after_the_end(ended, EXPECTED, ())
    assert any("one has failed" in problem for problem in problems)
    assert any("does not hold" in problem for problem in problems)


@pytest.mark.parametrize(
    "left",
    [
        "bus/inbox/low/late.json",
        "bus/active/one/request.json",
        "bus/agents/noop.1/out/x.json",
        "bus/done/.x.tmp",
        "workspaces/one/checkouts/task-001/a.py",
        "../tmp/canary",
        "../run/engine.sock",
        ".swarmd.daemon.json",
    ],
)
def test_what_is_left_is_seen(ended: Path, left: str) -> None:
    path = ended / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({}))
    assert any("left" in problem for problem in after_the_end(ended, EXPECTED, ()))
