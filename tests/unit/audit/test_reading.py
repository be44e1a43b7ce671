"""A log is read over all its segments, from any offset, forwards, backwards and while it grows."""

from pathlib import Path

import orjson
import pytest

from swarmd.audit import reading
from swarmd.audit.chain import Chain
from swarmd.audit.reading import (
    Follower,
    end_offset,
    find_last,
    follow,
    read_back,
    read_lines,
    tail_offset,
)
from swarmd.errors import AuditError

from .conftest import content, ends, files, numbers, write_segments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "master.jsonl"


def seqs(path: Path, offset: int = 0) -> list[int]:
    return [line["seq"] for line, _ in read_lines(path, offset=offset)]


@pytest.mark.parametrize("counts", [(5,), (3, 2), (1, 1, 1, 4)])
def test_reading_goes_on_from_the_offset_behind_any_line(path: Path, counts: tuple[int, ...]) -> None:
    data = write_segments(path, *counts)
    everything = seqs(path)
    assert everything == list(range(1, len(everything) + 1))
    for number, end in enumerate(ends(data)):
        assert seqs(path, end) == everything[number:]
    assert [(line["seq"], end) for line, end in read_back(path)] == list(
        zip(reversed(everything), reversed(ends(data)), strict=False)
    )
    assert end_offset(path) == len(data)


def test_a_missing_and_an_empty_log_have_no_lines(path: Path) -> None:
    assert (seqs(path), list(read_back(path)), end_offset(path), tail_offset(path, 9)) == ([], [], 0, 0)
    write_segments(path, 0)
    assert (seqs(path), list(read_back(path)), end_offset(path), tail_offset(path, 9)) == ([], [], 0, 0)
    assert find_last(path, "counted") is None


@pytest.mark.parametrize("tail", [b'{"v":1,"se', b'{"v":1}', b"\x00" * 3000])
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_a_torn_end_is_left_for_later(
    path: Path, tail: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    data = write_segments(path, 2, 3)
    with path.open("ab") as file:
        file.write(tail)
    assert seqs(path) == [1, 2, 3, 4, 5, 6]
    assert [line["seq"] for line, _ in read_back(path)] == [6, 5, 4, 3, 2, 1]
    assert end_offset(path) == len(data)


@pytest.mark.parametrize("block", [1, 7, 150, 151, 4096])
def test_reading_back_does_not_depend_on_where_blocks_end(
    path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    data = write_segments(path, 2, 3)
    found = list(read_back(path))
    assert [line for line, _ in reversed(found)] == [orjson.loads(raw) for raw in data.splitlines()]
    assert [end for _, end in reversed(found)] == ends(data)[1:]


def test_the_last_line_of_an_event_is_found_in_an_archived_segment(path: Path) -> None:
    write_segments(path, 3, 2)
    chain = Chain(path, "1/2")
    chain.append([{"event": "noise", "data": {"event": "checkpoint"}}, {"event": "checkpoint_not"}])
    chain.append([{"event": "checkpoint", "data": {"n": n}} for n in (1, 2)])
    chain.append([{"event": "noise", "data": {"event": "checkpoint"}}])
    chain.rotate()
    chain.close()
    line = find_last(path, "checkpoint")
    assert line is not None
    assert line["data"] == {"n": 2}
    assert find_last(path, "nothing") is None


def test_a_tail_begins_with_a_whole_line_over_segments(path: Path) -> None:
    data = write_segments(path, 2, 3)
    for size in range(1, len(data) + 50, 13):
        expected = max((end for end in ends(data) if len(data) - end >= size), default=0)
        assert tail_offset(path, size) == expected


def test_the_oldest_segments_may_be_moved_away(path: Path) -> None:
    data = write_segments(path, 2, 2, 2)
    first, second, _ = files(path)
    base = first.stat().st_size
    first.unlink()
    assert seqs(path) == [3, 4, 5, 6, 7, 8]
    assert [line["seq"] for line, _ in read_back(path)] == [8, 7, 6, 5, 4, 3]
    assert seqs(path, base) == [3, 4, 5, 6, 7, 8]
    assert end_offset(path) == len(data)
    with pytest.raises(AuditError) as caught:
        seqs(path, base - 10)
    assert caught.value.code == "E-AUDIT-ABSENT"
    second.unlink()
    assert seqs(path) == [6, 7, 8]


def test_a_segment_missing_in_the_middle_is_not_passed_over(path: Path) -> None:
    write_segments(path, 2, 2, 2)
    files(path)[1].unlink()
    with pytest.raises(AuditError, match="missing"):
        seqs(path)


def test_damage_is_an_error_wherever_it_stands(path: Path) -> None:
    write_segments(path, 2, 2)
    for file in files(path):
        raw = file.read_bytes()
        file.write_bytes(b"garbage\n" + raw)
        with pytest.raises(orjson.JSONDecodeError):
            seqs(path)
        file.write_bytes(raw)


def test_following_goes_on_over_rotations(path: Path) -> None:
    write_segments(path, 2)
    chain = Chain(path, "1/2")
    rounds = [lambda: chain.append(numbers(1, 2)), chain.rotate, lambda: None]
    rounds += [lambda: chain.append(numbers(2, 3)), chain.rotate, lambda: chain.append(numbers(1, 5))]
    rounds += [chain.rotate, lambda: chain.append(numbers(1, 6)), chain.rotate]
    lines = [
        line["data"]["n"]
        for line in follow(path, stop=lambda: not rounds, sleep=lambda _: rounds.pop(0)() and None)
        if line["event"] == "counted"
    ]
    chain.close()
    assert lines == [0, 1, 2, 3, 4, 5, 6]


def test_a_rotation_while_a_reader_is_in_the_middle_takes_nothing_from_it(path: Path) -> None:
    write_segments(path, 2, 3)
    chain = Chain(path, "1/2")
    seen = []
    for line, _ in read_lines(path):
        seen.append(line["seq"])
        if line["seq"] in (2, 5):
            chain.append(numbers(1))
            chain.rotate()
    chain.close()
    assert seen[:7] == [1, 2, 3, 4, 5, 6, 7]
    follower = Follower(path)
    assert [line["seq"] for line in follower.new()] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_follower_notices_that_another_log_has_begun(path: Path) -> None:
    write_segments(path, 3, 3)
    follower = Follower(path, end_offset(path))
    assert list(follower.new()) == []
    for file in files(path):
        file.unlink()
    write_segments(path, 1)
    assert list(follower.new()) == []
    assert [line["data"]["n"] for line in follower.new()] == [0]
    assert list(follower.new()) == []
    assert follower.offset == len(content(path))
