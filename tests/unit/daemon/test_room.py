"""What begins on a full disk waits for room, and for nothing else."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from swarmd import durable
from swarmd.daemon import room
from swarmd.daemon.room import with_room
from swarmd.durable import FsyncFailedError


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """What each attempt to write ends with, as long as there is something in it."""
    refusals: list[OSError] = []

    def write_all(fd: int, data: bytes) -> None:
        if refusals:
            raise refusals.pop(0)

    monkeypatch.setattr(durable, "write_all", write_all)
    monkeypatch.setattr(room, "PAUSE_S", 0.0)
    return refusals


def test_work_is_begun_again_once_there_is_room(tmp_path: Path, disk: list[OSError]) -> None:
    disk += [OSError(errno.ENOSPC, ""), OSError(errno.EDQUOT, "")]
    told: list[str] = []
    ends: list[BaseException | str] = [OSError(errno.ENOSPC, "full"), OSError(errno.ENOSPC, "full"), "done"]

    def work() -> str:
        end = ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    assert with_room(tmp_path, work, told.append) == "done"
    assert told == [f"the disk of {tmp_path} is full: waiting for room"] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), FsyncFailedError(errno.ENOSPC, "lost")])
def test_any_other_end_is_an_end(tmp_path: Path, error: OSError) -> None:
    def work() -> None:
        raise error

    with pytest.raises(OSError) as raised:
        with_room(tmp_path, work, pytest.fail)
    assert raised.value is error


def test_a_folder_that_cannot_be_probed_holds_nobody_up(tmp_path: Path, disk: list[OSError]) -> None:
    disk += [OSError(errno.EACCES, "")]
    ends = [OSError(errno.ENOSPC, "full"), None]

    def work() -> None:
        if (end := ends.pop(0)) is not None:
            raise end

    with_room(tmp_path, work, lambda why: None)
    assert not ends
