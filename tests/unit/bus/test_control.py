"""Commands are taken in order, once, and what is no command becomes a dead letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.bus import deadletter
from swarmd.bus.control import Control, Received, parse_command
from swarmd.config import DaemonSettings
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import Command, DeadLetter
from swarmd.testing import FakeClock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_commands_are_taken_in_order_and_removed_when_they_are_done(home: Home) -> None:
    control = Control(home, DaemonSettings(), FakeClock())
    control.inbox.sweep()
    (home.control / "1.json").write_text('{"command": "cancel", "request_id": "login"}')
    (home.control / "2.json").write_text('{"command": "pause"}')
    control.inbox.sweep()
    first, second = control.take(), control.take()
    assert isinstance(first, Received)
    assert isinstance(second, Received)
    assert first.command == Command(command="cancel", request_id="login")
    assert second.command == Command(command="pause")
    assert control.take() is None
    assert first.candidate.path.exists(), "a crash before it is carried out must not lose it"
    control.done(first)
    control.done(second)
    assert list(home.control.iterdir()) == []


def test_what_is_no_command_becomes_a_dead_letter(home: Home) -> None:
    clock = FakeClock()
    control = Control(home, DaemonSettings(), clock)
    control.inbox.sweep()
    (home.control / "bad.json").write_text('{"command": "stop"}')
    control.inbox.sweep()
    letter = control.take()
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.field) == ("E-COMMAND-VALUE", "command")
    assert "'cancel', 'retry', 'pause', 'resume' or 'reload'" in letter.message
    assert deadletter.listing(home) == [letter]
    assert list(home.control.iterdir()) == []
    (home.control / "link.json").symlink_to("/etc/passwd")
    control.inbox.sweep()
    assert control.take() is None
    clock.advance(1)
    refused = control.take()
    assert isinstance(refused, DeadLetter)
    assert refused.code == "E-COMMAND-NOT-A-FILE"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"command": "cancel"}', "E-COMMAND-MISSING"),
        (b'{"command": "retry"}', "E-COMMAND-MISSING"),
        (b'{"comand": "pause"}', "E-COMMAND-MISSING"),
        (b'{"command": "cancel", "request_id": "../x"}', "E-COMMAND-VALUE"),
        (b'{"command": "cancel", "id": "x"}', "E-COMMAND-FIELD"),
        (b"cancel", "E-COMMAND-NOT-JSON"),
    ],
)
def test_a_bad_command_has_a_code_and_shows_a_good_one(data: bytes, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_command(data)
    assert caught.value.code == code
    assert '{"command": "cancel"' in caught.value.hint
