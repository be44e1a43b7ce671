"""A log is put back to exactly what the write-ahead file knows, whatever power loss made of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.audit.chain import Chain, restore_tail
from swarmd.audit.segments import fresh_path
from swarmd.audit.tail import cut_broken
from swarmd.audit.verify import verify_log
from swarmd.errors import AuditError

from .conftest import Crash, content, ends, files, numbers, write_segments

COUNTS = (3, 2, 2)


def check(path: Path, expected: bytes, hint: object = "") -> None:
    """The log holds ``expected``, and goes on from there."""
    assert content(path) == expected, hint
    chain = Chain(path, "3/4")
    assert chain.size == len(expected)
    chain.append(numbers(1))
    chain.close()
    report = verify_log(path, settle_s=0)
    assert (report.status, report.lines) == ("ok", expected.count(b"\n") + 1), hint


def segment_bases(path: Path) -> list[int]:
    sizes = [file.stat().st_size for file in files(path)]
    return [sum(sizes[:n]) for n in range(len(sizes))]


def damage(path: Path, how: str, at: int) -> None:
    """Make of the active segment, from byte ``at`` of it on, what power loss may leave."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        if how == "cut":
            file.truncate(at)
        elif how == "zeros":
            file.seek(at)
            file.write(bytes(size - at))
        else:
            file.write(b'{"v":1,"seq":99,"event":"never committed"}\n{"v":1')


@pytest.mark.parametrize("how", ["nothing", "cut", "zeros", "more"])
def test_the_tail_is_what_is_asked_for_from_any_line_to_any_line(tmp_path: Path, how: str) -> None:
    data = write_segments(tmp_path / "model/log.jsonl", *COUNTS)
    bases = segment_bases(tmp_path / "model/log.jsonl")
    openings = {base: data.index(b"\n", base) + 1 for base in bases[1:]}
    for start in ends(data):
        for end in [end for end in ends(data) if end >= start]:
            path = tmp_path / f"{start}-{end}" / "log.jsonl"
            write_segments(path, *COUNTS)
            if how != "nothing":
                damage(path, how, max(openings[bases[-1]], start) - bases[-1] + 5 * (start < len(data)))
            restore_tail(path, start, data[start:end])
            # the line that begins the active segment was synced, and stays when all before it is there
            kept = openings[end] if end == bases[-1] else end
            check(path, data[:kept], (start, end))


def test_what_is_whole_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, *COUNTS)
    for start in ends(data):
        assert restore_tail(path, start, data[start:]) == 0
    assert len(files(path)) == 3
    check(path, data)


def test_how_much_changed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 5)
    lines = ends(data)
    path.write_bytes(data[: lines[3] + 10])
    assert restore_tail(path, lines[2], data[lines[2] :]) == len(data) - lines[3] - 10
    with path.open("ab") as file:
        file.write(b"x" * 7)
    assert restore_tail(path, lines[2], data[lines[2] :]) == 7
    assert restore_tail(path, lines[2], data[lines[2] : lines[4]]) == len(data) - lines[4]


def test_a_log_that_was_never_written_is_made(tmp_path: Path) -> None:
    data = write_segments(tmp_path / "model.jsonl", 3)
    path = tmp_path / "log.jsonl"
    assert restore_tail(path, 0, data) == len(data)
    check(path, data)


def test_a_first_segment_of_which_only_garbage_is_left_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 3)
    path.write_bytes(bytes(20) + b"\n" + bytes(len(data) - 21))
    restore_tail(path, 0, data)
    check(path, data)


@pytest.mark.parametrize("extra", [1, 10_000])
def test_a_log_that_ends_too_early_is_damaged(tmp_path: Path, extra: int) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 3, 2)
    with pytest.raises(AuditError) as caught:
        restore_tail(path, len(data) + extra, b"")
    assert caught.value.code == "E-AUDIT-DAMAGED"
    assert content(path) == data


def test_a_log_that_begins_too_late_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 3, 2)
    files(path)[0].unlink()
    before = path.read_bytes()
    for start, end in ((0, len(data)), (len(data) - len(before), len(data) - len(before))):
        tail = data[start:end].replace(b"counted", b"COUNTED") or b"{}\n"
        with pytest.raises(AuditError, match="not present") as caught:
            restore_tail(path, start, tail)
        assert caught.value.code == "E-AUDIT-DAMAGED"
        assert path.read_bytes() == before


def test_a_segment_whose_beginning_is_gone_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 3, 2)
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(AuditError) as caught:
        restore_tail(path, len(data), b"")
    assert caught.value.code == "E-AUDIT-DAMAGED"


@pytest.mark.parametrize("left", [b"", b"{}\n", None])
def test_no_archived_segment_is_taken_back_that_is_not_whole(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "log.jsonl"
    write_segments(path, 3, 2)
    archived, _ = files(path)
    base = archived.stat().st_size
    archived.write_bytes(archived.read_bytes()[:-1] if left is None else left)
    before = content(path)
    with pytest.raises(AuditError) as caught:
        restore_tail(path, base, b"{}\n")
    assert caught.value.code == "E-AUDIT-DAMAGED"
    assert content(path) == before


def test_a_crash_at_any_call_is_made_good_by_the_next_try(tmp_path: Path, faults: Callable[..., Any]) -> None:
    """From a log that has to give up a segment, and of which a rotation was interrupted."""
    for step in range(20):
        path = tmp_path / str(step) / "log.jsonl"
        data = write_segments(path, *COUNTS)
        start, end = ends(data)[2], ends(data)[5]
        goal = data[start:end].replace(b'"n":3', b'"n":7')
        fresh_path(path).write_bytes(b"half of a li")
        with faults(step):
            try:
                restore_tail(path, start, goal)
            except Crash:
                assert step < 15
        restore_tail(path, start, goal)
        assert content(path) == data[:start] + goal
        assert len(files(path)) == 2
        assert not fresh_path(path).exists()


@pytest.mark.parametrize("counts", [(6,), (3, 6)])
def test_a_copy_with_a_hole_anywhere_is_cut_to_what_holds(tmp_path: Path, counts: tuple[int, ...]) -> None:
    data = write_segments(tmp_path / "model/log.jsonl", *counts)
    base = segment_bases(tmp_path / "model/log.jsonl")[-1]
    opening = data.index(b"\n", base) + 1 - base if base else 0
    for hole in range(opening, len(data) - base - 20, 23):
        path = tmp_path / str(hole) / "log.jsonl"
        write_segments(path, *counts)
        with path.open("r+b") as file:
            file.seek(hole)
            file.write(bytes(20))
        kept = max(end for end in ends(data) if end <= base + hole)
        assert cut_broken(path) == len(data) - kept
        assert cut_broken(path) == 0
        check(path, data[:kept], hole)


def test_a_copy_without_a_hole_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert cut_broken(path) == 0
    data = write_segments(path, 2, 2)
    assert cut_broken(path) == 0
    with path.open("ab") as file:
        file.write(b"half a li")
    assert cut_broken(path) == 9
    check(path, data)


def test_a_copy_is_cut_behind_a_line_that_is_not_the_one_that_was_chained(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    data = write_segments(path, 6)
    changed = data.replace(b'"n":2', b'"n":7')
    path.write_bytes(changed)
    cut_broken(path)
    check(path, changed[: ends(data)[3]])
