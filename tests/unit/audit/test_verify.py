"""Tampering with a log must be found, named by its line, and told apart from a crash."""

import hashlib
import json
from pathlib import Path

import pytest

from swarmd.audit import chain, verify
from swarmd.audit.chain import Chain
from swarmd.audit.verify import Anchor, LogReport, verify_log

from .conftest import files, write_segments


def write_log(path: Path, count: int, **fields: object) -> Chain:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = Chain(path, "1/2")
    log.append(
        {"ts": "2026-11-21T10:00:00.000Z", "event": "task_created", "data": {"n": n}, **fields}
        for n in range(count)
    )
    return log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "master.jsonl"
    write_log(path, 10).close()
    return path


def check(path: Path, *anchors: Anchor) -> LogReport:
    return verify_log(path, anchors, settle_s=0)


def edit(path: Path, change) -> LogReport:  # type: ignore[no-untyped-def]
    """Rewrite the log's lines with ``change`` and check it."""
    lines = path.read_bytes().splitlines(keepends=True)
    changed = change(lines)
    path.write_bytes(b"".join(lines if changed is None else changed))
    return check(path)


def test_the_standalone_constants_are_those_of_the_writer() -> None:
    assert (verify.GENESIS, verify.MAX_LINE) == (chain.GENESIS, chain.MAX_LINE)


def test_an_untouched_log_holds(log: Path) -> None:
    assert check(log) == LogReport("master.jsonl", "ok", 10)


def test_the_longest_line_that_the_writer_allows_holds(tmp_path: Path) -> None:
    path = tmp_path / "master.jsonl"
    log = write_log(path, 1)
    for size in range(chain.MAX_LINE - 400, chain.MAX_LINE, 7):
        try:
            log.append([{"data": {"text": "x" * size}}])
        except chain.AuditError:
            break
    assert chain.MAX_LINE - 20 < max(map(len, path.read_bytes().splitlines(keepends=True))) <= chain.MAX_LINE
    assert check(path).status == "ok"


@pytest.mark.parametrize("number", range(1, 10))
def test_a_changed_line_is_named(log: Path, number: int) -> None:
    def change(lines: list[bytes]) -> None:
        lines[number - 1] = lines[number - 1].replace(b"task_created", b"task_creator")

    report = edit(log, change)
    assert (report.status, report.line, report.lines) == ("changed", number, number)


def test_a_change_of_white_space_only_is_found(log: Path) -> None:
    report = edit(log, lambda lines: [lines[0], lines[1].replace(b'{"v"', b'{ "v"'), *lines[2:]])
    assert (report.status, report.line) == ("changed", 2)


def test_the_last_line_changes_unseen_without_an_anchor_and_is_named_with_one(log: Path) -> None:
    last = log.read_bytes().splitlines(keepends=True)[-1]
    anchor = Anchor(10, hashlib.sha256(last).hexdigest(), "bus/outbox/login.json")
    assert check(log, anchor) == LogReport("master.jsonl", "ok", 10, anchored=10)
    report = edit(log, lambda lines: [*lines[:-1], lines[-1].replace(b'"n":9', b'"n":8')])
    assert report.status == "ok"
    report = check(log, anchor)
    assert (report.status, report.line) == ("changed", 10)
    assert "bus/outbox/login.json" in report.detail


def test_a_log_that_was_written_anew_from_one_line_on_is_found_by_its_anchor(tmp_path: Path) -> None:
    path = tmp_path / "master.jsonl"
    old = write_log(path, 10)
    anchor = Anchor(10, old.head.hash, "bus/outbox/login.json")
    path.unlink()
    write_log(path, 12, actor="forger")
    assert check(path).status == "ok"
    assert (check(path, anchor).status, check(path, anchor).line) == ("changed", 10)


@pytest.mark.parametrize(("first", "count"), [(1, 1), (1, 3), (4, 1), (4, 5)])
def test_removed_lines_are_named(log: Path, first: int, count: int) -> None:
    report = edit(log, lambda lines: lines[: first - 1] + lines[first - 1 + count :])
    assert (report.status, report.line) == ("removed", first)
    assert (str(first + count - 1) in report.detail) or count == 1


def test_swapped_lines_are_found(log: Path) -> None:
    def swap(lines: list[bytes]) -> None:
        lines[3], lines[4] = lines[4], lines[3]

    report = edit(log, swap)
    assert (report.status, report.line) == ("moved", 4)


def test_an_inserted_line_is_named_even_if_it_continues_the_chain(log: Path) -> None:
    def insert(lines: list[bytes]) -> None:
        forged = {**json.loads(lines[5]), "event": "task_abort"}
        lines.insert(5, json.dumps(forged).encode() + b"\n")

    report = edit(log, insert)
    assert (report.status, report.line) == ("inserted", 6)


@pytest.mark.parametrize(
    "extra", [b"garbage\n", b"{}\n", b'{"seq":4,"prev":"x"}\n', b"[1]\n", b"\n", b"null\n", b"\xff\xfe\n"]
)
def test_an_inserted_line_that_does_not_belong_is_named(log: Path, extra: bytes) -> None:
    report = edit(log, lambda lines: [*lines[:3], extra, *lines[3:]])
    assert (report.status, report.line, report.lines) == ("inserted", 4, 3)


def test_a_line_written_twice_is_found(log: Path) -> None:
    report = edit(log, lambda lines: [*lines[:4], lines[3], *lines[4:]])
    assert (report.status, report.lines) == ("inserted", 4)


@pytest.mark.parametrize(
    "garbage", [b"garbage\n", b"{}\n", b"\x00" * 512 + b"\n", b"x" * (chain.MAX_LINE + 1)]
)
def test_garbage_at_the_end_is_no_torn_tail(log: Path, garbage: bytes) -> None:
    report = edit(log, lambda lines: [*lines, garbage])
    assert (report.status, report.line, report.lines) == ("changed", 11, 10)


@pytest.mark.parametrize(
    "text",
    [
        '{"seq":11,"prev":PREV,"x":1.5}',
        '{"seq":11,"prev":PREV,"x":NaN}',
        '{"seq":11,"prev":PREV,"x":' + "[" * 9999,
    ],
)
def test_what_no_log_may_hold_is_refused_although_it_is_chained(log: Path, text: str) -> None:
    prev = hashlib.sha256(log.read_bytes().splitlines(keepends=True)[-1]).hexdigest()
    report = edit(log, lambda lines: [*lines, text.replace("PREV", f'"{prev}"').encode() + b"\n"])
    assert (report.status, report.line) == ("changed", 11)


def test_a_log_cut_at_any_byte_is_torn_or_shorter_but_never_broken(tmp_path: Path, log: Path) -> None:
    whole = b"".join(log.read_bytes().splitlines(keepends=True)[:3])
    ends = {0} | {n + 1 for n, byte in enumerate(whole) if byte == ord("\n")}
    cut = tmp_path / "cut.jsonl"
    for size in range(len(whole) + 1):
        cut.write_bytes(whole[:size])
        assert check(cut).status == ("ok" if size in ends else "torn"), size


def test_a_cut_below_an_anchor_is_a_truncation(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    anchor = Anchor(8, hashlib.sha256(lines[7]).hexdigest(), "bus/outbox/login.json")
    log.write_bytes(b"".join(lines[:8]))
    assert check(log, anchor).status == "ok"
    for tail in (b"", b'{"v":1,"se'):
        log.write_bytes(b"".join(lines[:7]) + tail)
        report = check(log, anchor)
        assert (report.status, report.line) == ("truncated", 8), tail
        assert "names line 8" in report.detail


def test_a_chain_that_is_broken_is_not_called_truncated(log: Path) -> None:
    anchor = Anchor(10, "0" * 64, "bus/outbox/login.json")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:5]))
    assert check(log, anchor).status == "removed"


# --- a whole home


def make_home(root: Path) -> Path:
    """A home with two logs, a checkpoint and a result, as the daemon leaves them."""
    coding = write_log(root / "logs/agents/coding.jsonl", 5)
    master = write_log(root / "logs/master.jsonl", 6)
    heads = {"agents/coding.jsonl": vars(coding.head)}
    master.append([{"event": "checkpoint", "data": {"heads": heads}}])
    result = {"request_id": "login", "audit": {"log": "master.jsonl", **vars(master.head)}}
    raw = json.dumps(result).encode()
    outbox = root / "bus/outbox"
    outbox.mkdir(parents=True)
    (outbox / "login.json").write_bytes(raw)
    ended = {"result_sha256": hashlib.sha256(raw).hexdigest(), "heads": heads}
    master.append([{"event": "request_complete", "request_id": "login", "data": ended}])
    return root


def statuses(root: Path) -> dict[str, str]:
    return {log.log: log.status for log in verify.verify(root, settle_s=0).logs}


def keep_lines(path: Path, count: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))


def test_a_whole_home_holds_and_says_how_far_it_is_anchored(tmp_path: Path) -> None:
    report = verify.verify(make_home(tmp_path))
    assert [(log.log, log.status, log.lines, log.anchored) for log in report.logs] == [
        ("master.jsonl", "ok", 8, 7),
        ("agents/coding.jsonl", "ok", 5, 5),
    ]
    assert report.exit_code == 0
    assert report.warnings == ()


def test_a_folder_of_logs_alone_can_be_checked(tmp_path: Path) -> None:
    make_home(tmp_path)
    assert statuses(tmp_path / "logs") == {"master.jsonl": "ok", "agents/coding.jsonl": "ok"}


def test_the_master_log_anchors_the_other_logs(tmp_path: Path) -> None:
    root = make_home(tmp_path)
    keep_lines(root / "logs/agents/coding.jsonl", 4)
    assert statuses(root) == {"master.jsonl": "ok", "agents/coding.jsonl": "truncated"}
    (root / "logs/agents/coding.jsonl").unlink()
    assert statuses(root) == {"master.jsonl": "ok", "agents/coding.jsonl": "truncated"}
    assert verify.verify(root).exit_code == 2


@pytest.mark.parametrize("lines", [7, 6, 0])
def test_a_result_shows_that_the_master_log_was_cut(tmp_path: Path, lines: int) -> None:
    """Seven lines hold what the result names, but not the line that ended its request."""
    root = make_home(tmp_path)
    keep_lines(root / "logs/master.jsonl", lines)
    assert statuses(root)["master.jsonl"] == "truncated"


def test_a_master_log_that_is_gone_was_truncated(tmp_path: Path) -> None:
    root = make_home(tmp_path)
    (root / "logs/master.jsonl").unlink()
    assert statuses(root)["master.jsonl"] == "truncated"


def test_an_archived_result_anchors_as_well_as_one_in_the_outbox(tmp_path: Path) -> None:
    root = make_home(tmp_path)
    done = root / "bus/done/2026-11-21/login"
    done.mkdir(parents=True)
    (root / "bus/outbox/login.json").rename(done / "result.json")
    keep_lines(root / "logs/master.jsonl", 6)
    assert statuses(root)["master.jsonl"] == "truncated"


def test_a_result_that_was_changed_is_pointed_out(tmp_path: Path) -> None:
    root = make_home(tmp_path)
    path = root / "bus/outbox/login.json"
    path.write_bytes(path.read_bytes().replace(b'"login"', b'"login" '))
    report = verify.verify(root)
    assert report.exit_code == 0
    assert report.warnings == ("bus/outbox/login.json is not the result that was written",)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"audit":{"log":1,"seq":2,"hash":""}}', b"[" * 99999])
def test_a_result_that_cannot_be_read_is_a_warning(tmp_path: Path, text: bytes) -> None:
    root = make_home(tmp_path)
    (root / "bus/outbox/other.json").write_bytes(text)
    report = verify.verify(root)
    assert report.exit_code == 0
    assert "bus/outbox/other.json" in report.warnings[0]


def test_heads_cannot_point_outside_the_logs(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text("hidden\n")
    master = write_log(tmp_path / "home/logs/master.jsonl", 1)
    names = ["../../secret.jsonl", str(secret)]
    heads = {name: {"seq": 1, "hash": "0" * 64} for name in names}
    master.append([{"event": "checkpoint", "data": {"heads": heads}}, {"data": {"heads": [1]}}])
    report = verify.verify(tmp_path / "home")
    assert {
        log.log: (log.status, log.lines) for log in report.logs if log.log != "master.jsonl"
    } == dict.fromkeys(names, ("truncated", 0))
    assert len(report.warnings) == 1


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        (["ok", "torn"], 4),
        (["torn", "truncated"], 2),
        (["torn", "truncated", "moved"], 1),
        (["removed"], 1),
        (["inserted"], 1),
        (["changed"], 1),
    ],
)
def test_the_worst_finding_is_the_exit_code(found: list, code: int) -> None:  # type: ignore[type-arg]
    assert verify.Report(tuple(LogReport("a", status, 1) for status in found)).exit_code == code


# --- segments


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    """Lines 1-3, 4-6 and 7-9, the first of each but the first segment being the line that begins it."""
    path = tmp_path / "logs" / "master.jsonl"
    write_segments(path, 3, 2, 2)
    return path


def test_the_chain_is_checked_over_all_segments(segments: Path) -> None:
    assert check(segments) == LogReport("master.jsonl", "ok", 9)
    assert statuses(segments.parents[1]) == {"master.jsonl": "ok"}


def test_a_change_in_an_archived_segment_is_named_with_its_file(segments: Path) -> None:
    second = files(segments)[1]
    second.write_bytes(second.read_bytes().replace(b'"n":3', b'"n":7'))
    report = check(segments)
    assert (report.status, report.line, report.lines) == ("changed", 5, 5)
    assert report.detail.endswith("(in archive/master.000000000004.jsonl)")


def test_the_last_line_of_a_segment_is_held_by_the_next(segments: Path) -> None:
    first = files(segments)[0]
    first.write_bytes(first.read_bytes().replace(b'"n":2', b'"n":7'))
    report = check(segments)
    assert (report.status, report.line) == ("changed", 3)


@pytest.mark.parametrize("gone", [1, 2])
def test_the_oldest_segments_may_be_absent(segments: Path, gone: int) -> None:
    for file in files(segments)[:gone]:
        file.unlink()
    assert check(segments) == LogReport("master.jsonl", "ok", 9 - 3 * gone, absent=3 * gone)


def test_what_anchors_absent_lines_says_nothing_but_for_the_last_of_them(segments: Path) -> None:
    first = files(segments)[0]
    digests = [hashlib.sha256(raw).hexdigest() for raw in first.read_bytes().splitlines(keepends=True)]
    first.unlink()
    assert check(segments, Anchor(2, "f" * 64, "x")).status == "ok"
    assert check(segments, Anchor(3, digests[2], "x")).anchored == 3
    report = check(segments, Anchor(3, "f" * 64, "x"))
    assert (report.status, report.line, report.lines) == ("changed", 3, 0)


def test_a_segment_that_is_missing_in_the_middle_is_damage(segments: Path) -> None:
    files(segments)[1].unlink()
    report = check(segments)
    assert (report.status, report.line, report.lines) == ("removed", 4, 3)
    assert "all up to 6" in report.detail


def test_a_log_whose_beginning_was_cut_off_is_damaged_if_no_segment_begins_there(segments: Path) -> None:
    first, second, _ = files(segments)
    first.unlink()
    second.write_bytes(b"".join(second.read_bytes().splitlines(keepends=True)[1:]))
    assert check(segments).status == "removed"


def test_an_archived_segment_without_its_end_is_damage_not_a_torn_tail(segments: Path) -> None:
    first = files(segments)[0]
    whole = first.read_bytes()
    for cut in range(1, len(whole)):
        first.write_bytes(whole[:-cut])
        assert check(segments).status in ("changed", "removed"), cut


def test_swapped_segments_are_found(segments: Path) -> None:
    first, second, _ = files(segments)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert check(segments).status != "ok"


def test_a_log_of_which_only_the_archive_is_left_was_truncated(segments: Path) -> None:
    root = segments.parents[1]
    last = hashlib.sha256(segments.read_bytes().splitlines(keepends=True)[-1]).hexdigest()
    segments.unlink()
    assert statuses(root) == {"master.jsonl": "ok"}  # as in the middle of a rotation
    (root / "bus/outbox").mkdir(parents=True)
    result = {"request_id": "login", "audit": {"log": "master.jsonl", "seq": 9, "hash": last}}
    (root / "bus/outbox/login.json").write_text(json.dumps(result))
    assert statuses(root) == {"master.jsonl": "truncated"}


def test_results_and_heads_anchor_over_segments(tmp_path: Path) -> None:
    root = make_home(tmp_path)
    for name in ("master", "agents/coding"):
        chain = Chain(root / f"logs/{name}.jsonl", "1/2")
        chain.rotate()
        chain.append([{"event": "later"}])
        chain.close()
    assert [(log.log, log.status, log.anchored) for log in verify.verify(root).logs] == [
        ("master.jsonl", "ok", 7),
        ("agents/coding.jsonl", "ok", 5),
    ]
    for old in root.glob("logs/**/archive/*.jsonl"):
        old.unlink()
    report = verify.verify(root)
    assert [(log.log, log.status, log.lines, log.absent) for log in report.logs] == [
        ("master.jsonl", "ok", 2, 8),
        ("agents/coding.jsonl", "ok", 2, 5),
    ]
    assert report.exit_code == 0


def test_the_check_alone_says_what_is_not_present(segments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(segments)[0].unlink()
    assert verify.main([str(segments.parents[1])]) == 0
    assert capsys.readouterr().out == "ok        master.jsonl (6 lines hold, 1 to 3 are not present)\n"
