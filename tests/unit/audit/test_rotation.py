"""A log in segments is one chain, whatever happens while it is rotated."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from swarmd import durable
from swarmd.audit.chain import Chain
from swarmd.audit.reading import read_back, read_lines
from swarmd.audit.segments import fresh_path
from swarmd.audit.verify import verify_log
from swarmd.errors import AuditError

from .conftest import Crash, content, ends, files, numbers, write_segments

Watch = Callable[..., Any]
STAMP = "2026-11-21T10:00:00.000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "master.jsonl"


def counted(path: Path) -> list[int]:
    return [line["data"]["n"] for line, _ in read_lines(path) if line["event"] == "counted"]


def check(path: Path) -> None:
    report = verify_log(path, settle_s=0)
    assert (report.status, report.absent) == ("ok", 0), report
    assert [line["seq"] for line, _ in read_lines(path)] == list(range(1, report.lines + 1))


# --- the layout


def test_a_full_segment_moves_to_the_archive_and_the_chain_goes_on(path: Path) -> None:
    write_segments(path, 3, 2, 4)
    assert [str(file.relative_to(path.parent)) for file in files(path)] == [
        "archive/master.000000000001.jsonl",
        "archive/master.000000000004.jsonl",
        "master.jsonl",
    ]
    assert counted(path) == list(range(9))
    check(path)


def test_the_first_line_of_a_segment_says_where_it_begins(path: Path) -> None:
    write_segments(path, 3, 2)
    line = orjson.loads(path.read_bytes().splitlines()[0])
    assert (line["event"], line["ts"], line["seq"]) == ("segment_started", STAMP, 4)
    assert line["data"] == {"base": files(path)[0].stat().st_size, "previous": "master.000000000001.jsonl"}


def test_offsets_and_sizes_count_from_the_first_line_of_the_log(path: Path) -> None:
    data = write_segments(path, 3, 2)
    chain = Chain(path, "1/2")
    assert (chain.size, chain.base) == (len(data), files(path)[0].stat().st_size)
    assert chain.head.seq == 6
    assert [end for _, end in read_lines(path)] == ends(data)[1:]
    chain.close()


def test_a_segment_is_full_by_its_own_size(path: Path) -> None:
    path.parent.mkdir()
    chain = Chain(path, "1/2", segment_bytes=2000)
    while not chain.full:
        chain.append(numbers(1))
    assert chain.size >= 2000
    chain.rotate()
    assert not chain.full
    chain.close()


def test_nothing_is_rotated_before_the_segment_has_a_line_of_its_own(path: Path) -> None:
    path.parent.mkdir()
    chain = Chain(path, "1/2")
    assert chain.rotate() is None
    chain.append(numbers(1))
    assert chain.rotate() == path.parent / "archive" / "master.000000000001.jsonl"
    assert chain.rotate() is None
    chain.close()
    assert Chain(path, "1/2").rotate() is None
    assert len(files(path)) == 2


def test_logs_with_similar_names_keep_apart(tmp_path: Path) -> None:
    for name in ("code", "code.000000000001", "code.x"):
        write_segments(tmp_path / f"{name}.jsonl", 2, 1)
    for name in ("code", "code.x"):
        assert counted(tmp_path / f"{name}.jsonl") == [0, 1, 2]


# --- what is written


def test_prepare_changes_nothing_and_write_takes_it_once(path: Path) -> None:
    path.parent.mkdir()
    chain = Chain(path, "1/2")
    prepared = chain.prepare(numbers(3))
    assert (chain.size, chain.head.seq, path.read_bytes()) == (0, 0, b"")
    chain.write(prepared)
    assert path.read_bytes() == prepared.raw
    assert (chain.size, chain.head) == (len(prepared.raw), prepared.head)
    assert [orjson.loads(raw) for raw in prepared.raw.splitlines()] == prepared.lines
    with pytest.raises(AuditError, match="do not fit"):
        chain.write(prepared)
    chain.close()
    check(path)


@pytest.mark.parametrize(
    "data",
    [1.5, [1.5], {"a": {"b": [1, {"c": 2.0}]}}, {"a": float("nan")}, (1, (2, 3.0)), {"a": "1.5", "b": [0.1]}],
)
def test_a_float_is_refused_wherever_it_stands(path: Path, data: object) -> None:
    path.parent.mkdir()
    chain = Chain(path, "1/2")
    with pytest.raises(AuditError, match="float"):
        chain.prepare([{"event": "good"}, {"event": "bad", "data": data}])
    chain.append([{"data": {"text": "1.5,2.5e3", "list": [1, "2.5", None, True, {"a": -1}]}}])
    with pytest.raises(AuditError, match="cannot be written"):
        chain.prepare([{"data": {"n": 2**53}}])
    chain.close()
    check(path)


def test_half_a_line_that_could_not_be_cut_off_is_cut_off_by_the_next_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_segments(path, 2, 1)
    chain = Chain(path, "1/2")
    prepared = chain.prepare(numbers(1, 3))
    real, written = os.write, []

    def first_half_then_full(fd: int, data: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(fd, bytes(data[:50])))
        return written[0]

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", first_half_then_full)
        patched.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="error"):
            chain.write(prepared)
    assert content(path) == before + prepared.raw[:50]
    chain.write(prepared)
    chain.close()
    assert content(path) == before + prepared.raw


# --- death at any system call


def rotations(path: Path, watch: Watch) -> list[str]:
    """The system calls of a rotation."""
    chain = Chain(path, "1/2")
    with watch() as seen:
        chain.rotate(STAMP)
    chain.close()
    return list(seen.calls)


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def test_what_gets_a_name_is_on_the_disk_before(path: Path, faults: Watch) -> None:
    write_segments(path, 3)
    assert rotations(path, faults) == [
        "fdatasync",
        "open .master.jsonl.next",
        "write",
        "fdatasync",
        "mkdir archive",
        "fsync",
        "link master.jsonl",
        "fsync",
        "rename .master.jsonl.next",
        "fsync",
    ]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("counts", [(3,), (3, 2)])
def test_a_crash_at_any_call_leaves_a_log_that_opens_and_goes_on(
    tmp_path: Path, faults: Watch, monkeypatch: pytest.MonkeyPatch, links: bool, counts: tuple[int, ...]
) -> None:
    if not links:
        without_links(monkeypatch)
    write_segments(tmp_path / "model/logs/master.jsonl", *counts)
    calls = rotations(tmp_path / "model/logs/master.jsonl", faults)
    for step in range(len(calls) + 1):
        path = tmp_path / str(step) / "logs" / "master.jsonl"
        write_segments(path, *counts)
        chain = Chain(path, "1/2")
        with faults(step):
            try:
                chain.rotate(STAMP)
            except Crash:
                assert step < len(calls)
        crashed = counted(path)  # a reader comes before the next daemon does
        assert crashed == list(range(sum(counts))), (step, calls[step : step + 1])
        assert len(list(read_back(path))) == len(list(read_lines(path)))
        check(path)
        goes_on(path, sum(counts))


def goes_on(path: Path, count: int) -> None:
    """The next daemon mends the log, writes, rotates and writes again."""
    chain = Chain(path, "2/3")
    assert not fresh_path(path).exists()
    assert chain.size == len(content(path))
    chain.append(numbers(2, count))
    check(path)
    assert chain.rotate(STAMP) is not None
    chain.append(numbers(1, count + 2))
    assert chain.size == len(content(path))
    chain.close()
    assert counted(path) == list(range(count + 3))
    check(path)


def test_a_crash_while_a_crash_is_mended(
    tmp_path: Path, faults: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch)  # leaves the most to mend
    for step in range(14):
        for second in range(6):
            path = tmp_path / f"{step}-{second}" / "logs" / "master.jsonl"
            write_segments(path, 3)
            chain = Chain(path, "1/2")
            for at, act in ((step, chain.rotate), (second, lambda p=path: Chain(p, "1/2").close())):
                with faults(at):
                    try:
                        act()
                    except Crash:
                        continue
            goes_on(path, 3)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_call_leaves_the_chain_usable_or_ends_the_process(
    tmp_path: Path, faults: Watch, number: int
) -> None:
    for step in range(12):
        path = tmp_path / str(step) / "logs" / "master.jsonl"
        write_segments(path, 3)
        chain = Chain(path, "1/2")
        with faults(step, OSError(number, "no")) as seen:
            try:
                chain.rotate(STAMP)
                is_broken = False
            except OSError as error:
                is_broken = isinstance(error, durable.FsyncFailedError)
                assert len(seen.calls) >= step
        if is_broken:
            chain.close()
            chain = Chain(path, "1/2")
        chain.append(numbers(1, 3))
        assert chain.rotate() is not None
        chain.close()
        assert counted(path) == [0, 1, 2, 3]
        check(path)


def test_a_rotation_that_was_interrupted_in_a_copied_home_is_undone(path: Path) -> None:
    """A copy splits the two names of one file."""
    write_segments(path, 3)
    (path.parent / "archive").mkdir()
    (path.parent / "archive" / "master.000000000001.jsonl").write_bytes(path.read_bytes())
    assert counted(path) == [0, 1, 2]
    check(path)
    goes_on(path, 3)


def test_an_archived_segment_that_is_in_the_way_is_not_overwritten(path: Path) -> None:
    write_segments(path, 3)
    foreign = path.parent / "archive" / "master.000000000001.jsonl"
    foreign.parent.mkdir()
    foreign.write_bytes(b'{"seq":1}\n')
    chain = Chain(path, "1/2")
    with pytest.raises(FileExistsError):
        chain.rotate()
    chain.append(numbers(1, 3))
    chain.close()
    assert foreign.read_bytes() == b'{"seq":1}\n'
    assert counted(path) == [0, 1, 2, 3]


# --- torn tails


def test_a_tail_torn_at_any_byte_of_several_lines_is_cut_to_whole_lines(tmp_path: Path) -> None:
    whole = write_segments(tmp_path / "whole.jsonl", 2, 3)
    base = files(tmp_path / "whole.jsonl")[0].stat().st_size
    active = whole[base:]
    lines = ends(active)
    for size in sorted({*range(lines[1], len(active), 9), *lines[1:]}):
        (tmp_path / "whole.jsonl").write_bytes(active[:size])
        chain = Chain(tmp_path / "whole.jsonl", "1/2")
        kept = max(end for end in lines if end <= size)
        assert chain.torn == active[kept:size]
        assert (chain.size, chain.head.seq) == (base + kept, 2 + lines.index(kept))
        chain.close()
    assert (tmp_path / "whole.jsonl.torn").exists()


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_blocks_that_were_never_written_are_a_torn_tail_too(path: Path, size: int) -> None:
    write_segments(path, 2)
    with path.open("ab") as file:
        file.write(bytes(size))
    goes_on(path, 2)
    assert (path.parent / "master.jsonl.torn").stat().st_size == min(size, 1 << 20)


def test_a_full_disk_keeps_no_log_from_being_mended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_segments(path, 2)
    with path.open("ab") as file:
        file.write(b'{"v":1,"se')

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "write", full)
        Chain(path, "1/2").close()
    check(path)


def test_a_last_line_that_is_none_is_refused(path: Path) -> None:
    write_segments(path, 2)
    with path.open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(AuditError, match="log lines"):
        Chain(path, "1/2")
