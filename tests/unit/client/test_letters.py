"""Putting dead letters back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from swarmd import client
from swarmd.client import letter as letters
from swarmd.errors import RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import DeadLetter, dump

DATA = b'{"user_request": "x"}'


def bury(home: Home, name: str, code: str = "E-REQUEST-X") -> Path:
    record = DeadLetter(name=name, original_name=name, code=code, message="bad", hint="h", at="t")
    (home.deadletter / f"{name}.error.json").write_bytes(dump(record))
    (home.deadletter / name).write_bytes(DATA)
    return home.deadletter / name


def test_a_letter_goes_back_under_its_name_and_its_reason_goes_away(home: Home) -> None:
    inode = bury(home, "fix.json").stat().st_ino
    path = client.requeue(home, "fix.json", "high")
    assert path == home.inbox / "high/fix.json"
    assert (path.read_bytes(), path.stat().st_ino) == (DATA, inode), "moved in one step, not copied"
    assert list(home.deadletter.iterdir()) == []


def test_nothing_in_the_inbox_is_overwritten(home: Home) -> None:
    (home.inbox / "normal/fix.json").write_bytes(b"other")
    (home.inbox / "normal/plain").write_bytes(b"other")
    for name in ("fix.json", "plain"):
        bury(home, name)
        path = client.requeue(home, name)
        assert path.name != name
        assert path.suffix == Path(name).suffix
        assert path.read_bytes() == DATA
        assert (home.inbox / "normal" / name).read_bytes() == b"other"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_cannot_keep_names_apart_is_served_too(
    home: Home, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Without:
        def __init__(self, *_: object, **__: object) -> None: ...

        @staticmethod
        def renameat2(*_: object) -> int:
            letters.ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(letters.ctypes, "CDLL", Without)
    (home.inbox / "normal/fix.json").write_bytes(b"other")
    bury(home, "fix.json")
    assert client.requeue(home, "fix.json").read_bytes() == DATA
    assert (home.inbox / "normal/fix.json").read_bytes() == b"other"


def test_a_command_goes_back_to_the_commands(home: Home) -> None:
    bury(home, "x.json", "E-COMMAND-VALUE")
    assert client.requeue(home, "x.json", "high") == home.control / "x.json"


def test_a_letter_without_a_reason_goes_back_as_well(home: Home) -> None:
    (home.deadletter / "fix.json").write_bytes(DATA)
    assert client.requeue(home, "fix.json").parent.name == "normal"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../inbox/high/a.json",
        "/etc/passwd",
        "no.json",
        ".hidden",
        "a\0b",
        "fix.json.error.json",
    ],
)
def test_only_what_lies_there_can_be_named(home: Home, name: str) -> None:
    bury(home, "fix.json")
    (home.inbox / "high/a.json").write_bytes(DATA)
    (home.deadletter / ".hidden").write_bytes(DATA)
    with pytest.raises(RequestError) as caught:
        client.requeue(home, name)
    assert caught.value.code == "E-LETTER-UNKNOWN"


def test_what_is_no_file_stays(home: Home) -> None:
    (home.deadletter / "folder").mkdir()
    (home.deadletter / "link.json").symlink_to("/etc/passwd")
    os.mkfifo(home.deadletter / "pipe")
    for name in ("folder", "link.json", "pipe"):
        with pytest.raises(RequestError) as caught:
            client.requeue(home, name)
        assert caught.value.code == "E-LETTER-NOT-A-FILE"
    assert len(list(home.deadletter.iterdir())) == 3


def test_what_cannot_be_moved_keeps_its_reason(home: Home) -> None:
    bury(home, "fix.json")
    (home.inbox / "normal").rmdir()
    with pytest.raises(SwarmdError) as caught:
        client.requeue(home, "fix.json")
    assert caught.value.code == "E-HOME-WRITE"
    assert len(list(home.deadletter.iterdir())) == 2


def test_a_letter_that_is_refused_again_at_once_keeps_its_new_reason(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(home, "fix.json")
    move = letters._move_in

    def move_and_refuse(source: Path, folder: Path) -> Path:
        target = move(source, folder)
        target.unlink()
        (home.deadletter / "fix.json.error.json.new").touch()
        bury(home, "new")
        (home.deadletter / "new").rename(home.deadletter / "fix.json")
        (home.deadletter / "new.error.json").rename(home.deadletter / "fix.json.error.json")
        return target

    monkeypatch.setattr(letters, "_move_in", move_and_refuse)
    client.requeue(home, "fix.json")
    assert (home.deadletter / "fix.json.error.json").exists()
