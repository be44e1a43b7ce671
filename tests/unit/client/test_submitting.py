"""What the client drops, and what it refuses to drop."""

from __future__ import annotations

import errno
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from swarmd import client
from swarmd.client.steps import receipt_steps, safe_steps
from swarmd.errors import ConfigError, DaemonDownError, RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import SHORT_ID, Command, Request
from tests.unit.client.builders import Ticks, accept, bury, drive, end, result, run_daemon, waiting_file


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


def test_made_ids_do_not_meet_among_many_of_the_same_words(home: Home) -> None:
    ids = {client.submit(home, {"user_request": "same"}, durably=False) for _ in range(300)}
    assert len(ids) == 300
    assert all(len(request_id.removeprefix("same-")) == 12 for request_id in ids), "2**48 of them"


def test_a_ticket_is_the_id_and_knows_its_file(home: Home) -> None:
    ticket = client.submit(home, {"user_request": "x", "request_id": "fix"}, "low")
    assert ticket == "fix"
    assert ticket.path == waiting_file(home, "low")
    assert pickle.loads(pickle.dumps(ticket)).path == ticket.path


def test_without_a_daemon_the_file_is_synced_here_and_only_if_wanted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("swarmd.durable.sync", lambda fd: synced.append("file"))
    monkeypatch.setattr("swarmd.durable.sync_dir", lambda path: synced.append(path.name))
    client.submit(home, {"user_request": "x"}, durably=False)
    assert synced == []
    client.submit(home, {"user_request": "x"}, "high")
    assert synced == ["file", "high"]


def test_a_disk_without_room_is_told_and_nothing_is_left_behind(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("swarmd.durable.write_all", fail)
    with pytest.raises(SwarmdError, match="No space left") as caught:
        client.submit(home, {"user_request": "x"})
    assert caught.value.code == "E-HOME-WRITE"
    with pytest.raises(SwarmdError, match="No space left"):
        client.command(home, Command(command="pause"))
    assert not [*(home.inbox / "normal").iterdir(), *home.control.iterdir()]


def submitted(home: Home, request_id: str = "fix") -> client.Ticket:
    return client.submit(home, {"user_request": "x", "request_id": request_id}, durably=False)


def take(home: Home, ticket: client.Ticket) -> None:
    """As the daemon does: first the folder, then the file."""
    accept(home, ticket)
    assert ticket.path
    ticket.path.unlink()


def test_the_receipt_comes_when_the_file_has_gone_and_the_id_is_known(home: Home) -> None:
    ticket = submitted(home)
    ticks = Ticks(t1=lambda: accept(home, ticket), t2=lambda: ticket.path and ticket.path.unlink())
    drive(receipt_steps(home, ticket, 10, None, ticks), ticks)
    assert ticks.now == pytest.approx(2, abs=0.11), "a folder alone is none: its line may not be committed"


def test_the_receipt_comes_also_for_what_has_ended_already(home: Home) -> None:
    for request_id, known in (
        ("ended", lambda: end(home, result("ended"))),
        ("moved", lambda: accept(home, "moved", home.done / "2026-01-01/moved")),
    ):
        ticket = submitted(home, request_id)
        known()
        assert ticket.path
        ticket.path.unlink()
        ticks = Ticks()
        drive(receipt_steps(home, ticket, 10, None, ticks), ticks)
        assert ticks.now == 0


def test_an_id_alone_has_its_receipt_when_it_is_known(home: Home) -> None:
    ticks = Ticks(t1=lambda: accept(home, "fix"))
    drive(receipt_steps(home, "fix", 10, None, ticks), ticks)
    assert ticks.now == pytest.approx(1, abs=0.11)


@pytest.mark.parametrize("by_id", [True, False])
def test_what_is_refused_has_no_receipt_but_a_reason(home: Home, by_id: bool) -> None:
    ticket = submitted(home)

    def refuse() -> None:
        assert ticket.path
        bury(home, ticket.path.name)
        ticket.path.rename(home.deadletter / ticket.path.name)

    ticks = Ticks(t1=refuse)
    with pytest.raises(RequestError, match="bad"):
        drive(receipt_steps(home, str(ticket) if by_id else ticket, 10, None, ticks), ticks)
    assert ticks.now < 2


def test_the_file_that_was_refused_is_meant_not_the_id_that_another_has(home: Home) -> None:
    accept(home, "fix")
    ticket = submitted(home)
    assert ticket.path
    bury(home, ticket.path.name)
    ticket.path.unlink()
    ticks = Ticks()
    with pytest.raises(RequestError, match="bad"):
        drive(receipt_steps(home, ticket, 10, None, ticks), ticks)


def test_a_file_that_somebody_else_removed_is_missed(home: Home) -> None:
    ticket = submitted(home)
    assert ticket.path
    ticks = Ticks(t1=ticket.path.unlink)
    with pytest.raises(RequestError) as caught:
        drive(receipt_steps(home, ticket, None, None, ticks), ticks)
    assert caught.value.code == "E-REQUEST-VANISHED"
    assert 2 < ticks.now < 2.5


def test_waiting_for_a_receipt_ends_with_the_time_or_with_the_daemon(home: Home) -> None:
    ticket, ticks = submitted(home), Ticks()
    with pytest.raises(TimeoutError, match="fix was not acknowledged after 3 seconds"):
        drive(receipt_steps(home, ticket, 3, None, ticks), ticks)
    run_daemon(home)
    ticks = Ticks(t2=home.daemon_file.unlink)
    with pytest.raises(DaemonDownError):
        drive(receipt_steps(home, ticket, None, 1.0, ticks), ticks)
    assert 2 < ticks.now < 5
    assert waiting_file(home) == ticket.path


def test_the_receipt_stands_for_the_sync_if_it_comes_soon(home: Home) -> None:
    ticket, ticks = submitted(home), Ticks()
    assert drive(safe_steps(home, ticket, ticks), ticks) is False, "no daemon"
    assert ticks.now == 0
    run_daemon(home)
    assert drive(safe_steps(home, ticket, ticks), ticks) is False, "it is paused"
    assert ticks.now == pytest.approx(1, abs=0.01)
    ticks = Ticks(t0_01=lambda: take(home, ticket))
    assert drive(safe_steps(home, ticket, ticks), ticks) is True
    assert ticks.now < 0.02


def test_pauses_grow_from_one_to_a_hundred_milliseconds(home: Home) -> None:
    ticket, ticks = submitted(home), Ticks()
    with pytest.raises(TimeoutError):
        drive(receipt_steps(home, ticket, 60, None, ticks), ticks)
    assert (ticks.pauses[0], max(ticks.pauses)) == (0.001, 0.1)
    assert len(ticks.pauses) < 700
    assert sum(1 for pause in ticks.pauses if pause < 0.005) < 40


def test_what_was_refused_but_could_not_be_moved_is_told_too(home: Home) -> None:
    ticket = submitted(home)
    assert ticket.path
    name = ticket.path.name
    ticks = Ticks(t1=lambda: bury(home, name))
    with pytest.raises(RequestError, match="bad"):
        drive(receipt_steps(home, ticket, 10, None, ticks), ticks)
    assert ticket.path.exists()
