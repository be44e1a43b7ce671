"""The write-ahead file: whatever of it reached the disk, what was acknowledged can be read back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.bus import wal
from swarmd.bus.wal import Record, WriteAhead, read_records


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "SIZE", 16 * 1024)


def contents(folder: Path) -> list[Record]:
    return [record for record in read_records(folder) if record.raw]


def test_records_are_read_back_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    ahead = WriteAhead(tmp_path, 100)
    ahead.append(100, b"one\n", {"bus/a.json": b"A"})
    ahead.append(104, b"two\n", {})
    ahead.switch(108)
    ahead.append(108, b"three\n", {"bus/\udcff.json": b"odd name"})
    ahead.close()
    assert contents(tmp_path) == [
        Record(100, b"one\n", {"bus/a.json": b"A"}),
        Record(104, b"two\n", {}),
        Record(108, b"three\n", {"bus/\udcff.json": b"odd name"}),
    ]


def test_what_was_released_is_not_read_again_and_where_the_log_stood_is(tmp_path: Path) -> None:
    ahead = WriteAhead(tmp_path, 0)
    ahead.append(0, b"synced in its own place\n", {})
    ahead.switch(24)
    ahead.release()
    ahead.close()
    assert read_records(tmp_path) == [Record(24, b"", {})]


def test_a_record_that_was_overwritten_by_a_later_generation_is_not_mistaken_for_its_own(
    tmp_path: Path,
) -> None:
    ahead = WriteAhead(tmp_path, 0)
    for number in range(3):  # the same file is begun again with every second switch
        for line in range(5 - number):
            ahead.append(line, b"generation %d\n" % number, {})
        for _ in range(2):
            ahead.switch(0)
            ahead.release()
    ahead.append(0, b"last\n", {})
    ahead.close()
    assert [record.raw for record in contents(tmp_path)] == [b"last\n"]


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 400), garbage=st.binary(max_size=40))
def test_a_torn_end_costs_only_what_was_not_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("wal")
    ahead = WriteAhead(folder, 0)
    written, ends = [], [ahead.used]
    for number in range(4):
        raw = b"line %d %s\n" % (number, b"x" * 30)
        ahead.append(len(b"".join(written)), raw, {"f": raw})
        written.append(raw)
        ends.append(ahead.used)
    ahead.close()
    current = next(path for path in folder.iterdir() if b"line 0" in path.read_bytes())
    torn = min(ends[0] + cut, ends[-1])
    data = current.read_bytes()
    current.write_bytes(data[:torn] + garbage + bytes(len(data) - torn))
    whole = sum(end <= torn for end in ends[1:])
    assert [record.raw for record in contents(folder)][:whole] == written[:whole]
    assert [record.raw for record in contents(folder)] == written[: len(contents(folder))]


def test_a_record_that_does_not_fit_makes_the_file_grow_and_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = WriteAhead(tmp_path, 0)
    ahead.append(0, b"first\n", {})
    large = {"f": b"y" * 40_000}

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            ahead.reserve(b"", large)
    ahead.reserve(b"second\n", large)
    ahead.append(6, b"second\n", large)
    ahead.close()
    assert contents(tmp_path) == [Record(0, b"first\n", {}), Record(6, b"second\n", large)]


def test_short_writes_are_completed_and_a_write_that_fails_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = WriteAhead(tmp_path, 0)
    real = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:7], at))
        ahead.append(0, b"in many pieces\n", {"f": b"x" * 100})

    def full(fd: int, data: bytes, offset: int) -> int:
        real(fd, data[:9], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    for work in (lambda: ahead.append(15, b"later\n", {}), lambda: ahead.switch(21)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="No space"):
                work()
        work()
    ahead.append(21, b"last\n", {})
    ahead.close()
    pieces = Record(0, b"in many pieces\n", {"f": b"x" * 100})
    assert contents(tmp_path) == [pieces, Record(15, b"later\n", {}), Record(21, b"last\n", {})]


def test_zeros_behind_the_mark_of_a_record_are_no_record(tmp_path: Path) -> None:
    for name in wal._NAMES:
        (tmp_path / name).write_bytes(wal._MAGIC + bytes(wal.SIZE - len(wal._MAGIC)))
    assert read_records(tmp_path) == []
    ahead = WriteAhead(tmp_path, 0)
    ahead.append(0, b"whole\n", {})
    ahead.close()
    assert [record.raw for record in contents(tmp_path)] == [b"whole\n"]
