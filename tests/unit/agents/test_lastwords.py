"""Last words: bounded, whatever the worker does to the file, and kept in bounded number."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from swarmd.agents import lastwords
from swarmd.home import Home

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def fd() -> Iterator[int]:
    fd = lastwords.open_file()
    yield fd
    os.close(fd)


def test_a_worker_that_had_nothing_to_say_left_nothing(fd: int) -> None:
    assert lastwords.read(fd) == ""


def test_stacks_are_read_back(fd: int) -> None:
    faulthandler.dump_traceback(fd)
    assert "test_stacks_are_read_back" in lastwords.read(fd)
    assert not os.get_inheritable(fd)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="a plain file has no fixed size")
def test_a_hostile_worker_cannot_make_it_grow_or_shrink(fd: int) -> None:
    os.pwrite(fd, b"x" * lastwords.MAX_BYTES, 0)
    with pytest.raises(OSError):
        os.pwrite(fd, b"y", lastwords.MAX_BYTES)
    with pytest.raises(OSError):
        os.ftruncate(fd, 0)
    assert len(lastwords.read(fd)) == lastwords.MAX_BYTES


def test_bytes_that_are_no_text_are_shown_as_such(fd: int, tmp_path: Path) -> None:
    os.pwrite(fd, b"\xff\x00at \xf0\x9f", 0)
    path = lastwords.save(Home(tmp_path), "coding.1", lastwords.read(fd), NOW)
    assert path == tmp_path / "logs/dumps/coding.1.20260101T120000000005Z.txt"
    assert path.read_text().startswith("\\xff")


def test_the_newest_dumps_are_kept_whichever_agent_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lastwords, "MAX_DUMPS", 3)
    home = Home(tmp_path)
    for number, name in enumerate(("z.1", "b.1", "a.10", "a.9", "z-y.2")):
        lastwords.save(home, name, name, NOW + timedelta(seconds=number))
    (lastwords.folder(home) / "notes.txt").write_text("mine")
    kept = sorted(path.read_text() for path in lastwords.folder(home).iterdir())
    assert kept == ["a.10", "a.9", "mine", "z-y.2"]
