"""The check of a home's logs. It uses the standard library only, so that a stranger can take this
one file and a copy of a home, and run ``python verify.py DIR``.

Every line must be JSON of at most 64 KiB, numbered without a gap, and name in ``prev`` the SHA-256
of the raw bytes of the line before it. A chain alone does not show that its end was cut off, so
other files anchor it: results name the line at which the master log stood (``audit``), and lines of
the master log name the last line of the other logs (``data.heads``). A log that ends before a line
that is anchored elsewhere was truncated.

A log may consist of several files: full segments are in ``archive/`` beside it, named by the number
of their first line. When the oldest of them were moved away, the check begins with the first that is
there, and says which lines are not present; a segment that is missing between two others is damage.

Exit codes: 0 every log holds, 1 a chain does not hold, 2 a log was truncated, 4 a log only ends in
a torn line, as a crash leaves it (the next start of the daemon mends it).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

__all__ = ["GENESIS", "MAX_LINE", "Anchor", "LogReport", "Report", "main", "verify", "verify_log"]

GENESIS = "0" * 64
"""``prev`` of a log's first line (as in chain.py, which this file must not import)."""

MAX_LINE = 64 * 1024
"""Longest line in bytes, newline included."""

MASTER = "master.jsonl"

ARCHIVE = "archive"
"""The folder beside a log that its full segments move to (as in segments.py)."""
_ARCHIVED = re.compile(r"(.+)\.(\d{12,})\.jsonl", re.DOTALL)

Status = Literal["ok", "changed", "removed", "inserted", "moved", "truncated", "torn"]
EXIT_CODES: Mapping[str, int] = {"ok": 0, "truncated": 2, "torn": 4}
"""What is not named here breaks the chain: 1."""


@dataclass(frozen=True)
class Anchor:
    """Another file's word that line ``seq`` of a log had the hash ``hash``."""

    seq: int
    hash: str
    source: str
    """The file, and the line in it, that says so."""


@dataclass(frozen=True)
class LogReport:
    """What was found of one log."""

    log: str
    """Path below logs/."""
    status: Status
    lines: int
    """Lines that hold, from the first that is present."""
    anchored: int = 0
    """The last line whose hash another file confirms; 0: none does."""
    line: int | None = None
    """Where the chain breaks, as a line number of the log, from 1."""
    detail: str = ""
    absent: int = 0
    """Lines in front of them, whose segments are not present: nothing is known of these."""
    head: str = field(default="", compare=False)
    """SHA-256 of the last line that holds; empty where that is not sure."""


@dataclass(frozen=True)
class Report:
    """What was found of all logs of a home."""

    logs: tuple[LogReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 ok, 1 chain, 2 truncated, 4 torn; of several, the worst: 1 before 2 before 4."""
        codes = {EXIT_CODES.get(report.status, 1) for report in self.logs}
        return next((code for code in (1, 2, 4) if code in codes), 0)


@dataclass
class _Scan:
    """How far a log has been read."""

    file: str = ""
    """The segment that is being read, if it is not the active one."""
    absent: int = 0
    seq: int = 0
    hash: str = GENESIS
    status: Status = "ok"
    line: int | None = None
    detail: str = ""
    confirmed: int = 0
    heads: list[tuple[int, Any]] = field(default_factory=list)
    """(line, data.heads) of the lines that anchor other logs."""
    ended: dict[str, Any] = field(default_factory=dict)
    """Request id to the hash of its result, of the lines that ended a request."""

    def end(self, status: Status, line: int, detail: str) -> None:
        self.status, self.line = status, line
        self.detail = f"{detail} (in {self.file})" if self.file else detail


class _Evidence:
    """What other files say about the logs."""

    def __init__(self) -> None:
        self.anchors: dict[str, list[Anchor]] = {}
        self.results: dict[str, tuple[str, str, int]] = {}
        """Request id to (where its result lies, its SHA-256, the line at which the master log stood)."""
        self.warnings: list[str] = []

    def read_results(self, root: Path) -> None:
        """Every result names the line at which the master log stood, and has a line of its own."""
        for path in sorted([*root.glob("bus/done/*/*/result.json"), *root.glob("bus/outbox/*.json")]):
            source = path.relative_to(root).as_posix()
            try:
                raw = path.read_bytes()
                result = json.loads(raw)
                self._add(result["audit"]["log"], result["audit"], source)
                digest, seq = hashlib.sha256(raw).hexdigest(), int(result["audit"]["seq"])
                self.results[str(result["request_id"])] = source, digest, seq
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.warnings.append(f"{source} cannot be read as a result: it anchors nothing")

    def read_heads(self, scan: _Scan) -> None:
        """Lines of the master log name where the other logs stood."""
        for number, heads in scan.heads:
            source = f"{MASTER}:{number}"
            try:
                for log, point in heads.items():
                    self._add(log, point, source)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.warnings.append(f"{source} has heads that cannot be read: they anchor nothing")

    def _add(self, log: str, point: Mapping[str, Any], source: str) -> None:
        name = log.removeprefix("logs/")
        name = name if name.endswith(".jsonl") else f"{name}.jsonl"
        if int(point["seq"]) > 0:
            self.anchors.setdefault(name, []).append(Anchor(int(point["seq"]), str(point["hash"]), source))


def verify(root: Path, *, settle_s: float = 0.05) -> Report:
    """Check all logs of the home ``root``; a folder of logs alone does as well.

    A tail that looks torn is read again after ``settle_s``: a running daemon may just be writing.
    Raises OSError when a log cannot be read.
    """
    folder = root / "logs" if (root / "logs").is_dir() else root
    evidence = _Evidence()
    evidence.read_results(root)  # before the logs, which may grow
    reports = []
    if MASTER in _names(folder) or MASTER in evidence.anchors:
        scan = _read(folder / MASTER, evidence.anchors.get(MASTER, ()), settle_s)
        evidence.read_heads(scan)
        _check_results(scan, evidence)
        reports.append(_report(MASTER, scan, evidence.anchors.get(MASTER, ())))
    present = _names(folder)
    for name in sorted((present | evidence.anchors.keys()) - {MASTER}):
        anchors = evidence.anchors.get(name, ())
        scan = _read(folder / name, anchors, settle_s) if name in present else _Scan()
        reports.append(_report(name, scan, anchors))
    return Report(tuple(reports), tuple(evidence.warnings))


def verify_log(path: Path, anchors: Sequence[Anchor] = (), *, settle_s: float = 0.05) -> LogReport:
    """Check one log file against ``anchors``. Raises OSError when it cannot be read."""
    return _report(path.name, _read(path, anchors, settle_s), anchors)


def _names(folder: Path) -> set[str]:
    """The logs in ``folder``; one is there while any segment of it is."""
    files = [path.relative_to(folder) for path in folder.rglob("*.jsonl") if path.is_file()]
    return {_log_of(path).as_posix() for path in files}


def _log_of(path: Path) -> Path:
    archived = _ARCHIVED.fullmatch(path.name)
    return path.parent.parent / f"{archived[1]}.jsonl" if archived and path.parent.name == ARCHIVE else path


def _check_results(scan: _Scan, evidence: _Evidence) -> None:
    """A result is published only after the line that ends its request; the line names its hash."""
    for request_id, (source, digest, seq) in evidence.results.items():
        if request_id not in scan.ended:
            if scan.status in ("ok", "torn") and seq >= scan.absent:
                scan.end("truncated", scan.seq + 1, f"ends at line {scan.seq}, without the end of {source}")
        elif scan.ended[request_id] not in (None, digest):
            evidence.warnings.append(f"{source} is not the result that was written")


def _report(name: str, scan: _Scan, anchors: Sequence[Anchor]) -> LogReport:
    beyond = [anchor for anchor in anchors if anchor.seq > scan.seq]
    if beyond and scan.status in ("ok", "torn"):
        last = max(beyond, key=lambda anchor: anchor.seq)
        scan.end("truncated", scan.seq + 1, f"ends at line {scan.seq}; {last.source} names line {last.seq}")
    held = scan.seq - scan.absent
    head = scan.hash if scan.status in ("ok", "torn") else ""
    return LogReport(name, scan.status, held, scan.confirmed, scan.line, scan.detail, scan.absent, head)


def _read(path: Path, anchors: Sequence[Anchor], settle_s: float) -> _Scan:
    expected: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        expected.setdefault(anchor.seq, []).append(anchor)
    scan = _scan(path, expected)
    if scan.status == "torn":
        time.sleep(settle_s)
        scan = _scan(path, expected)
    return scan


def _scan(path: Path, expected: Mapping[int, Sequence[Anchor]]) -> _Scan:
    """Read the log up to its end or the first line that does not hold."""
    scan = _Scan()
    with ExitStack() as stack:
        files = _open(path, stack)
        for number, file in enumerate(files, 1):
            name = Path(file.name)
            scan.file = "" if name == path else f"{ARCHIVE}/{name.name}"
            _scan_file(scan, file, expected, is_last=number == len(files))
            if scan.status != "ok":
                return scan
    scan.file = ""
    return scan


def _open(path: Path, stack: ExitStack) -> list[BinaryIO]:
    """All files of the log, the oldest first. The active one is opened before the archive is looked at:
    a running daemon may just be moving it there."""
    files: list[BinaryIO] = []
    first = None
    if path.is_file():
        files.append(stack.enter_context(path.open("rb")))
        line = _parse(files[0].readline(MAX_LINE + 1))
        files[0].seek(0)
        first = line.get("seq") if line else None
    archived = []
    for old in (path.parent / ARCHIVE).glob("*.jsonl"):
        match = _ARCHIVED.fullmatch(old.name)
        if match is None or f"{match[1]}.jsonl" != path.name:
            continue
        if type(first) is not int or int(match[2]) < first:  # else: a rotation was interrupted
            archived.append((int(match[2]), old))
    return [stack.enter_context(old.open("rb")) for _, old in sorted(archived)] + files


def _scan_file(
    scan: _Scan, file: BinaryIO, expected: Mapping[int, Sequence[Anchor]], *, is_last: bool
) -> None:
    for raw in iter(partial(file.readline, MAX_LINE + 1), b""):
        line = _parse(raw)
        if scan.seq == 0 and line is not None:
            _skip_absent(scan, line)
            if not _confirm(scan, scan.hash, expected.get(scan.seq, ())):
                return
        if line is None or line.get("seq") != scan.seq + 1 or line.get("prev") != scan.hash:
            _diagnose(scan, raw, line, file, is_last=is_last)
            return
        scan.seq, scan.hash = scan.seq + 1, hashlib.sha256(raw).hexdigest()
        if not _confirm(scan, scan.hash, expected.get(scan.seq, ())):
            scan.seq -= 1
            return
        data = line.get("data")
        if type(data) is dict:
            if "heads" in data:
                scan.heads.append((scan.seq, data["heads"]))
            if line.get("event") == "request_complete":
                scan.ended[str(line.get("request_id"))] = data.get("result_sha256")


def _skip_absent(scan: _Scan, line: Mapping[str, Any]) -> None:
    """Begin behind the segments that are not present: only a line that begins a segment may be first."""
    seq, prev = line.get("seq"), line.get("prev")
    if line.get("event") == "segment_started" and type(seq) is int and seq > 1 and isinstance(prev, str):
        scan.absent = scan.seq = seq - 1
        scan.hash = prev


def _confirm(scan: _Scan, digest: str, anchors: Sequence[Anchor]) -> bool:
    """Whether line ``scan.seq`` is the one that the anchors name."""
    for anchor in anchors:
        if anchor.hash != digest:
            scan.end("changed", scan.seq, f"is not the line that {anchor.source} names")
            return False
        scan.confirmed = anchor.seq
    return True


def _refuse(text: str) -> None:
    raise ValueError(f"{text} may not stand in a log")


_decode = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The line's fields, or None for anything that is no whole log line."""
    if not raw.endswith(b"\n") or len(raw) > MAX_LINE:
        return None
    try:
        line = _decode(raw.decode())
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _diagnose(scan: _Scan, raw: bytes, line: dict[str, Any] | None, file: BinaryIO, *, is_last: bool) -> None:
    """Say what was done to the log at the line behind the last one that holds. All lines before it
    are in order, so it is line ``scan.seq + 1`` of the log."""
    number = scan.seq + 1
    if line is None and not raw.endswith(b"\n") and len(raw) <= MAX_LINE and is_last:
        scan.end("torn", number, f"the last line ends after {len(raw)} bytes without a newline")
        return
    following = _parse(file.readline(MAX_LINE + 1))
    seq = line.get("seq") if line else None
    if following and following.get("seq") == number and following.get("prev") == scan.hash:
        moved = isinstance(seq, int) and seq > number
        detail = (
            f"holds line {seq}, before line {number}" if moved else "stands between two lines of one chain"
        )
        scan.end("moved" if moved else "inserted", number, detail)
    elif not isinstance(seq, int):
        reason = "is longer than 64 KiB" if len(raw) > MAX_LINE else "is not a log line"
        scan.end("changed", number, reason)
    elif line and seq != number and line.get("prev") == scan.hash:
        scan.end("changed", number, f"has the number {seq} in place of {number}")
    elif seq > number:
        scan.end(
            "removed", number, f"line {number} is gone" + (f", and all up to {seq - 1}" * (seq > number + 1))
        )
    else:
        _diagnose_same(scan, seq, raw, following)


def _diagnose_same(scan: _Scan, seq: int, raw: bytes, following: Mapping[str, Any] | None) -> None:
    """The line's number is right, or was there before."""
    number = scan.seq + 1
    goes_on = following is not None and following.get("prev") == hashlib.sha256(raw).hexdigest()
    if seq < number:
        where = number - 1 if goes_on and seq == number - 1 else number
        scan.end("inserted", where, f"the number {seq} stands twice")
    elif number > 1 and (goes_on or following is None):
        scan.end("changed", number - 1, f"line {number} names another hash for it")
    else:
        scan.end("changed", number, "its prev is not the hash of the line before")


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per log of the home given as the only argument; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: verify.py DIR   (a home, or its logs folder)\n")
        return 64
    try:
        report = verify(Path(arguments[0]))
    except OSError as error:
        sys.stderr.write(f"a log cannot be read: {error}\n")
        return 66
    for log in report.logs:
        where = f" line {log.line}: {log.detail}" if log.line else ""
        absent = f", 1 to {log.absent} are not present" if log.absent else ""
        sys.stdout.write(f"{log.status:9} {log.log} ({log.lines} lines hold{absent}){where}\n")
    for warning in report.warnings:
        sys.stdout.write(f"warning   {warning}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
