"""File systems are told apart, and locks that keep nobody out are found out."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from swarmd.bus import filesystem
from swarmd.bus.filesystem import FileSystem, identify, lock_trouble

EXT4, OVERLAY, FUSE = 0xEF53, 0x794C7630, 0x65735546


def identified(folder: Path, kind: str, magic: int, tmp_path: Path) -> FileSystem:
    mounts = tmp_path / "mountinfo"
    point = str(folder).replace(" ", "\\040")
    mounts.write_text(
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
        "broken line\n"
        f"2 1 0:40 /sub {point} rw shared:1 master:2 - {kind} source rw\n"
        "3 1 0:41 / /proc rw - proc proc rw\n"
    )
    return identify(folder / "not yet", magic=lambda _: magic, mounts=mounts)


@pytest.mark.parametrize(
    ("kind", "magic", "events"),
    [
        ("ext4", EXT4, True),
        ("tmpfs", 0x01021994, True),
        ("overlay", OVERLAY, True),
        ("fuseblk", FUSE, True),
        ("fuse.fuse-overlayfs", FUSE, True),
        ("nfs4", 0x6969, False),
        ("cifs", 0xFF534D42, False),
        ("9p", 0x01021997, False),
        ("virtiofs", FUSE, False),
        ("fuse.sshfs", FUSE, False),
        ("fakeowner", 0x6A656A63, False),
        ("drvfs", 0x53464846, False),
        ("nfs", 0, False),  # where statfs tells nothing
    ],
)
def test_where_events_come(tmp_path: Path, kind: str, magic: int, events: bool) -> None:
    folder = tmp_path / "my home"
    folder.mkdir()
    assert identified(folder, kind, magic, tmp_path) == FileSystem(kind, events, kind == "overlay")


def test_without_mounts_the_number_alone_decides(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert identify(tmp_path, magic=lambda _: 0x6969, mounts=none) == FileSystem("nfs", False)
    assert identify(tmp_path, magic=lambda _: EXT4, mounts=none) == FileSystem("", True)


def test_of_two_mounts_at_one_place_the_last_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / {tmp_path} rw - nfs4 s rw\n2 0 8:1 / {tmp_path} rw - ext4 s rw\n")
    assert identify(tmp_path, magic=lambda _: 0, mounts=mounts).kind == "ext4"


def test_the_real_file_system_has_a_kind_and_a_number(tmp_path: Path) -> None:
    assert identify(tmp_path).kind
    assert filesystem._magic(Path("/proc")) == 0x9FA0


def test_locks_hold_here_and_nothing_is_left(tmp_path: Path) -> None:
    assert lock_trouble(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_locks_that_everybody_gets_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
    assert lock_trouble(tmp_path) == "two holders got the same lock"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_locks_that_nobody_gets_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert lock_trouble(tmp_path) == f"flock fails with {os.strerror(number)}"


def test_a_folder_that_takes_no_file_has_no_locks(tmp_path: Path) -> None:
    assert "no file can be made" in lock_trouble(tmp_path / "none")
