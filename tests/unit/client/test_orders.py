"""Commands, cancelling and trying again, with the daemon's part played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd import client
from swarmd.client.order import cancel_steps, retry_steps
from swarmd.client.steps import tell_steps
from swarmd.errors import DaemonDownError, RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import Command, DeadLetter, dump
from tests.unit.client.builders import Ticks, accept, drive, end, log, result, run_daemon, waiting_file

ANSWERS = {
    "cancel": "request_cancelling",
    "retry": "request_reopened",
    "pause": "daemon_paused",
    "resume": "daemon_resumed",
    "reload": "settings_loaded",
}


def daemon(home: Home, answer: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """What carries commands out: ``answer`` them, then remove the file."""
    run_daemon(home)

    def each() -> None:
        for path in home.control.iterdir():
            answer(json.loads(path.read_bytes()))
            path.unlink()

    return each


def willing(home: Home) -> Callable[[], None]:
    return daemon(
        home,
        lambda order: log(home, {"event": ANSWERS[order["command"]], "request_id": order["request_id"]}),
    )


def unwilling(home: Home) -> Callable[[], None]:
    def answer(order: dict[str, Any]) -> None:
        data = {"command": order["command"], "reason": "not now"}
        log(home, {"event": "command_ignored", "request_id": order["request_id"], "data": data})

    return daemon(home, answer)


def test_a_command_is_a_file(home: Home) -> None:
    paths = {client.command(home, Command(command="cancel", request_id="fix")) for _ in range(3)}
    assert len(paths) == 3
    assert all(json.loads(path.read_bytes())["request_id"] == "fix" for path in paths)


def test_a_command_that_was_carried_out_returns_the_line_that_says_so(home: Home) -> None:
    log(home, {"event": "daemon_paused", "old": True})
    ticks = Ticks(willing(home))
    line = drive(tell_steps(home, Command(command="pause"), 10, ticks), ticks)
    assert line is not None
    assert (line["event"], line.get("old")) == ("daemon_paused", None)


def test_a_command_that_was_ignored_tells_why(home: Home) -> None:
    ticks = Ticks(unwilling(home))
    with pytest.raises(SwarmdError, match='did not carry out "reload": not now') as caught:
        drive(tell_steps(home, Command(command="reload"), 10, ticks), ticks)
    assert caught.value.code == "E-COMMAND-IGNORED"


def test_a_command_that_the_daemon_refuses_raises_its_reason(home: Home) -> None:
    run_daemon(home)

    def refuse() -> None:
        for path in home.control.iterdir():
            fields = {"name": path.name, "original_name": path.name, "code": "E-COMMAND-VALUE"}
            letter = DeadLetter(**fields, message="unknown", hint="h", at="t")
            (home.deadletter / f"{path.name}.error.json").write_bytes(dump(letter))
            path.rename(home.deadletter / path.name)

    ticks = Ticks(refuse)
    with pytest.raises(RequestError, match="unknown"):
        drive(tell_steps(home, Command(command="pause"), 10, ticks), ticks)


def test_without_a_daemon_nobody_is_told_and_nothing_is_left(home: Home) -> None:
    ticks = Ticks()
    with pytest.raises(DaemonDownError):
        drive(tell_steps(home, Command(command="pause"), None, ticks), ticks)
    assert list(home.control.iterdir()) == []


def test_a_daemon_that_does_not_listen_or_dies_is_not_waited_for_without_end(home: Home) -> None:
    run_daemon(home)
    ticks = Ticks()
    with pytest.raises(TimeoutError, match="after 4 seconds"):
        drive(tell_steps(home, Command(command="pause"), 4, ticks), ticks)
    ticks = Ticks(t1=home.daemon_file.unlink)
    with pytest.raises(DaemonDownError):
        drive(tell_steps(home, Command(command="pause"), None, ticks), ticks)
    assert ticks.now < 5
    assert len(list(home.control.iterdir())) == 2, "what was asked for stays asked for"


# --- cancel


def cancelled(home: Home, ticks: Ticks, request_id: str = "fix") -> str:
    return drive(cancel_steps(home, request_id, 5, ticks), ticks)


def test_what_is_active_is_cancelled_by_the_daemon(home: Home) -> None:
    accept(home, "fix")
    assert cancelled(home, Ticks(willing(home))) == "cancelling"


def test_cancelling_what_is_active_needs_a_daemon(home: Home) -> None:
    accept(home, "fix")
    with pytest.raises(DaemonDownError):
        client.cancel(home, "fix", timeout=None)


def test_what_has_ended_stays_as_it_is(home: Home) -> None:
    end(home, result("fix"))
    assert client.cancel(home, "fix") == "ended"


def test_what_ends_while_it_is_cancelled_has_ended(home: Home) -> None:
    accept(home, "fix")
    ignore = unwilling(home)
    assert cancelled(home, Ticks(lambda: (end(home, result("fix")), ignore()))) == "ended"


def test_what_another_one_cancels_too_is_cancelled(home: Home) -> None:
    accept(home, "fix")
    assert cancelled(home, Ticks(unwilling(home))) == "cancelling"


def test_an_unknown_id_is_told(home: Home) -> None:
    for act in (client.cancel, client.retry):
        with pytest.raises(RequestError) as caught:
            act(home, "fix")
        assert caught.value.code == "E-REQUEST-UNKNOWN"


@pytest.mark.parametrize("running", [True, False])
def test_what_waits_is_taken_out_of_the_inbox_and_can_be_put_back(home: Home, running: bool) -> None:
    ticket = client.submit(home, {"user_request": "x", "request_id": "fix"}, "high", durably=False)
    data = waiting_file(home, "high").read_bytes()
    ticks = Ticks(willing(home) if running else lambda: None)
    assert cancelled(home, ticks) == "withdrawn"
    assert ticks.now < 1
    assert client.status(home, "fix") is None
    for request_id in (ticket, "fix"):
        with pytest.raises(RequestError, match="was cancelled before it was taken"):
            Ticks().wait(home, request_id)
    assert client.retry(home, "fix") == "requeued"
    assert waiting_file(home, "high").read_bytes() == data
    assert list(home.deadletter.iterdir()) == []


def test_a_file_dropped_by_hand_can_be_cancelled_by_its_name(home: Home) -> None:
    for _ in range(2):  # also when a letter of that name lies there
        (home.inbox / "low/fix.json").write_bytes(b'{"user_request": "x"}')
        assert client.cancel(home, "fix") == "withdrawn"
        assert list((home.inbox / "low").iterdir()) == []
    assert len(list(home.deadletter.glob("fix.*json"))) == 4


def test_what_the_daemon_had_in_hand_is_cancelled_there(home: Home) -> None:
    """It had read the file before that was taken out of the inbox."""
    client.submit(home, {"user_request": "x", "request_id": "fix"}, durably=False)
    carry_out = willing(home)
    ticks = Ticks(carry_out, t0_1=lambda: accept(home, "fix"))
    assert cancelled(home, ticks) == "cancelling"
    assert list(home.deadletter.iterdir()) == []


def test_what_the_daemon_took_first_is_cancelled_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    client.submit(home, {"user_request": "x", "request_id": "fix"}, durably=False)
    path = waiting_file(home)
    rename = Path.rename

    def take_first(self: Path, target: Path) -> Path:
        accept(home, "fix")
        path.unlink()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", take_first)
    assert cancelled(home, Ticks(willing(home))) == "cancelling"
    assert list(home.deadletter.iterdir()) == []


# --- retry


@pytest.mark.parametrize("status", ["failed", "cancelled", "rejected"])
def test_what_failed_or_was_cancelled_is_opened_again(home: Home, status: str) -> None:
    end(home, result("fix", status=status))
    ticks = Ticks(willing(home))
    assert drive(retry_steps(home, "fix", 5, ticks), ticks) == "reopened"


@pytest.mark.parametrize(("status", "code"), [("succeeded", "E-REQUEST-SUCCEEDED"), ("", "E-REQUEST-ACTIVE")])
def test_nothing_else_is(home: Home, status: str, code: str) -> None:
    run_daemon(home)
    if status:
        end(home, result("fix", status=status))
    else:
        accept(home, "fix")
    with pytest.raises(RequestError) as caught:
        client.retry(home, "fix")
    assert caught.value.code == code
    assert list(home.control.iterdir()) == []


def test_what_the_daemon_cannot_open_again_is_told(home: Home) -> None:
    end(home, result("fix", status="failed"))
    ticks = Ticks(unwilling(home))
    with pytest.raises(SwarmdError, match="not now"):
        drive(retry_steps(home, "fix", 5, ticks), ticks)


def test_trying_again_needs_a_daemon(home: Home) -> None:
    end(home, result("fix", status="failed"))
    with pytest.raises(DaemonDownError):
        client.retry(home, "fix", timeout=None)


def test_what_an_earlier_command_was_told_is_no_answer(home: Home) -> None:
    log(home, {"event": "command_ignored", "request_id": None, "data": {"command": "pause", "reason": "old"}})
    ticks = Ticks(daemon(home, lambda order: None))
    assert drive(tell_steps(home, Command(command="pause"), 10, ticks), ticks) is None
