"""What the client waits for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from swarmd import client
from swarmd.audit import Chain, Follower
from swarmd.client.letter import Refusal
from swarmd.errors import DaemonDownError, RequestError
from swarmd.home import Home
from swarmd.messages import dump
from tests.unit.client.builders import (
    Ticks,
    accept,
    bury,
    end,
    log,
    result,
    run_daemon,
    waiting_file,
)


def test_waiting_ends_with_the_result(home: Home) -> None:
    ticks = Ticks(t3=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix").status == "succeeded"
    assert ticks.now == pytest.approx(3, abs=0.1)


def test_waiting_ends_with_the_time(home: Home) -> None:
    with pytest.raises(TimeoutError, match="fix has no result after 10 seconds"):
        Ticks().wait(home, "fix")


def test_waiting_gives_the_requests_own_lines_once_and_the_last_ones_too(home: Home) -> None:
    def finish() -> None:
        log(home, {"n": 4, "request_id": "fix"})
        (home.outbox / "fix.json").write_bytes(dump(result("fix")))

    log(home, {"n": 1, "request_id": "fix"}, {"n": 2, "request_id": "other"})
    ticks = Ticks(t1=lambda: log(home, {"n": 3, "request_id": "fix"}), t2=finish)
    lines: list[int] = []
    ticks.wait(home, "fix", on_line=lambda line: lines.append(line["n"]))
    assert lines == [1, 3, 4]


def test_only_the_end_of_a_long_log_is_read(home: Home) -> None:
    with home.master_log.open("wb") as file:
        for number in range(40_000):
            file.write(b'{"seq":%d,"n":%d,"request_id":"fix","pad":"%s"}\n' % (number, number, b"x" * 60))
    (home.outbox / "fix.json").write_bytes(dump(result("fix")))
    lines: list[int] = []
    Ticks().wait(home, "fix", on_line=lambda line: lines.append(line["n"]))
    assert 5_000 < len(lines) < 20_000
    assert lines[-1] == 39_999


def test_a_damaged_log_does_not_hide_the_result(home: Home) -> None:
    home.master_log.write_bytes(b"no json\n")
    ticks = Ticks(t1=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix", on_line=lambda line: None).status == "succeeded"


def test_waiting_for_a_request_that_was_refused_raises_the_reason(home: Home) -> None:
    client.submit(home, {"user_request": "x", "request_id": "fix"})
    [path] = (home.inbox / "normal").iterdir()
    with pytest.raises(RequestError, match="bad") as caught:
        Ticks(t1=lambda: (bury(home, path.name), path.unlink())).wait(home, "fix")
    assert caught.value.code == "E-REQUEST-X"


def test_the_refused_second_file_of_an_accepted_request_is_not_its_end(home: Home) -> None:
    accept(home, "fix")
    bury(home, "fix.12345678.json")
    bury(home, "fixture.json")
    ticks = Ticks(t3=lambda: (home.outbox / "fix.json").write_bytes(dump(result("fix"))))
    assert ticks.wait(home, "fix").request_id == "fix"


def test_the_lines_go_on_when_the_log_is_rotated(home: Home) -> None:
    chain = Chain(home.master_log, "1/2")

    def add(number: int) -> None:
        chain.append([{"event": "step", "request_id": "fix", "data": {"n": number}}])

    add(1)
    ticks = Ticks(
        t1=lambda: add(2),
        t2=lambda: (add(3), chain.rotate(), add(4)),
        t3=lambda: (add(5), end(home, result("fix"))),
    )
    seen: list[int] = []
    ticks.wait(home, "fix", on_line=lambda line: seen.append(line["data"]["n"]))
    chain.close()
    assert seen == [1, 2, 3, 4, 5]


def test_a_result_that_was_cleared_from_the_outbox_is_found_in_its_folder(home: Home) -> None:
    folder = accept(home, "fix", home.done / "2026-01-01/fix")
    (folder / "result.json").write_bytes(dump(result("fix")))
    assert Ticks().wait(home, "fix").status == "succeeded"
    busy = accept(home, "busy")

    def finish() -> None:
        (busy / "result.json").write_bytes(dump(result("busy")))
        busy.rename(home.done / "2026-01-01/busy")

    ticks = Ticks(t2=finish)
    assert ticks.wait(home, "busy").status == "succeeded"
    assert ticks.now < 3


def test_a_result_of_an_earlier_try_in_an_active_folder_is_none(home: Home) -> None:
    folder = accept(home, "fix")
    (folder / "result.json").write_bytes(dump(result("fix")))
    with pytest.raises(TimeoutError):
        Ticks().wait(home, "fix")


def test_waiting_ends_when_the_daemon_has_gone_for_longer_than_wanted(home: Home) -> None:
    run_daemon(home)
    known = home.daemon_file.read_bytes()
    ticks = Ticks(
        t3=home.daemon_file.unlink,
        t8=lambda: home.daemon_file.write_bytes(known),
        t20=home.daemon_file.unlink,
    )
    with pytest.raises(DaemonDownError):
        ticks.wait(home, "fix", timeout=None, grace_s=10)
    assert 28 < ticks.now < 34


@pytest.mark.parametrize("said", [b"{", b"[]", b'{"pid": 1}', b'{"pid": -1, "start": 0, "boot_id": ""}'])
def test_a_daemon_file_that_says_nothing_is_no_daemon(home: Home, said: bytes) -> None:
    home.daemon_file.write_bytes(said)
    assert client.daemon_pid(home) is None


def test_another_process_with_the_daemons_pid_is_no_daemon(home: Home) -> None:
    run_daemon(home)
    assert client.daemon_pid(home)
    told = home.daemon_file.read_bytes()
    home.daemon_file.write_bytes(told.replace(b'"start":', b'"start":1'))
    assert client.daemon_pid(home) is None
    home.daemon_file.write_bytes(told.replace(b'"boot_id":"', b'"boot_id":"x'))
    assert client.daemon_pid(home) is None


def test_the_refusal_of_an_earlier_file_does_not_end_the_wait_for_a_later_one(home: Home) -> None:
    bury(home, "fix.11111111.json")
    client.submit(home, {"user_request": "x", "request_id": "fix"}, durably=False)
    later = waiting_file(home)
    ticks = Ticks(t2=lambda: (bury(home, later.name), later.unlink()))
    with pytest.raises(RequestError, match="bad"):
        ticks.wait(home, "fix")
    assert ticks.now > 1.9


def test_dead_letters_are_listed_only_when_there_are_others(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    monkeypatch.setattr("swarmd.client.letter.letters_of", lambda *_: listed.append(1) or [])
    long_ago = 1_700_000_000_000_000_000
    os.utime(home.deadletter, ns=(long_ago, long_ago))
    refusal = Refusal(home, "fix", monotonic=lambda: 0.0)
    for _ in range(5):
        refusal.check()
    assert len(listed) == 1
    os.utime(home.deadletter, ns=(long_ago + 1, long_ago + 1))
    refusal.check()
    assert len(listed) == 2


def test_waiting_lists_no_folder_but_the_dead_letters_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundred thousand files in the inbox, every listing of it would take a tenth of a second."""
    ticket = client.submit(home, {"user_request": "x", "request_id": "fix"}, durably=False)
    listed: list[str] = []
    listdir = os.listdir

    def count(path: Any) -> list[str]:
        listed.append(str(path))
        return listdir(path)

    monkeypatch.setattr("os.listdir", count)
    for request_id in (ticket, "fix"):
        os.utime(home.deadletter, ns=(0, 0))
        listed.clear()
        with pytest.raises(TimeoutError):
            Ticks().wait(home, request_id, timeout=60)
        assert len(listed) < 6


def test_a_log_that_has_not_grown_is_not_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    new = Follower.new

    def count(self: Follower) -> Iterator[dict[str, Any]]:
        reads.append(self)
        return new(self)

    monkeypatch.setattr(Follower, "new", count)
    log(home, {"request_id": "fix"})
    with pytest.raises(TimeoutError):
        Ticks(t5=lambda: log(home, {"request_id": "fix"})).wait(home, "fix", on_line=lambda line: None)
    assert len(reads) == 2
