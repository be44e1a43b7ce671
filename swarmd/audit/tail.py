"""The end of a log: what a crash left of it, and what a write-ahead file says it must be."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import orjson

from swarmd import durable
from swarmd.audit.segments import (
    GENESIS,
    MAX_LINE,
    STARTED,
    Opening,
    archived,
    archived_before,
    opening_of,
    settle,
    take_back,
)
from swarmd.errors import AuditError

__all__ = ["Head", "Tail", "cut_broken", "mend", "restore_tail"]

_BLOCK = 1 << 20
_KEPT = 1 << 20
"""Most bytes of a torn tail that are kept: a longer one is no line, but blocks that were never written."""


@dataclass(frozen=True)
class Head:
    """The last line of a log: its number (0: empty log) and the hash of its raw bytes."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class Tail:
    """Where a log that has been mended stands."""

    head: Head
    first: int
    """Number of the active segment's first line; 1 in an empty log."""
    base: int
    """Where in the log the active segment begins, in bytes."""
    torn: bytes
    """The unterminated end that was cut off."""


def mend(path: Path) -> Tail:
    """Undo an interrupted rotation of the log ``path``, cut an unterminated end and keep it beside the
    log as ``<name>.torn``. Raises AuditError when its last whole line, or the one that begins the
    active segment, is no log line."""
    try:
        settle(path)
        torn = _cut_torn(path)
        first = _opening(path)
        return Tail(_last_head(path), first.seq, first.base, torn)
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{path} does not begin and end with log lines: {error}") from error


def _opening(path: Path) -> Opening:
    """What begins the active segment of a log that has been settled. That of a first segment may be
    whatever power loss has made of it; all others were synced before they got their names."""
    try:
        return opening_of(path) or Opening(1, 0, 0)
    except ValueError:
        return Opening(1, 0, 0)


def _cut_torn(path: Path) -> bytes:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return b""
    return _cut_and_keep(path, _end_of_last_line(path, size), size)


def cut_broken(path: Path) -> int:
    """Cut the active segment of the log ``path`` in front of the first line that does not continue its
    chain, and keep what is cut as ``mend`` does. Returns how many bytes that were.

    For logs that are copies of another's lines and are not synced with each: power loss may leave
    holes in them. Nobody may have the log open. Raises AuditError as ``mend``.
    """
    try:
        settle(path)
        with path.open("rb") as file:
            size = file.seek(0, 2)
            end = _end_of_chain(file)
    except FileNotFoundError:
        return 0
    except ValueError as error:
        raise AuditError(f"{path} does not begin with a log line: {error}") from error
    _cut_and_keep(path, end, size)
    return size - end


def _end_of_chain(file: BinaryIO) -> int:
    file.seek(0)
    end, seq, prev = 0, 0, GENESIS
    for raw in iter(partial(file.readline, MAX_LINE + 1), b""):
        try:
            line = orjson.loads(raw)
            if end == 0 and line["event"] == STARTED:
                seq, prev = line["seq"] - 1, line["prev"]
            if (line["seq"], line["prev"]) != (seq + 1, prev) or not raw.endswith(b"\n"):
                break
        except (ValueError, KeyError, TypeError):
            break
        end, seq, prev = end + len(raw), seq + 1, hashlib.sha256(raw).hexdigest()
    return end


def _cut_and_keep(path: Path, end: int, size: int) -> bytes:
    """Cut ``path``, which has ``size`` bytes, to ``end``; return the beginning of what was cut."""
    if end == size:
        return b""
    with path.open("rb") as file:
        file.seek(end)
        torn = file.read(_KEPT)
    try:
        durable.write(path.with_name(path.name + ".torn"), torn)
    except durable.FsyncFailedError:
        raise
    except OSError:  # a full disk tears lines, and must not keep the next daemon from starting
        pass
    durable.truncate(path, end)
    return torn


def _end_of_last_line(path: Path, size: int) -> int:
    with path.open("rb") as file:
        end, block = size, MAX_LINE
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end, block = start, _BLOCK
    return 0


def _last_head(path: Path) -> Head:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Head()
    with path.open("rb") as file:
        file.seek(max(0, size - MAX_LINE - 1))
        block = file.read()
    if not block:
        return Head()
    raw = block[block.rfind(b"\n", 0, -1) + 1 :]
    return Head(int(orjson.loads(raw)["seq"]), hashlib.sha256(raw).hexdigest())


def restore_tail(path: Path, start: int, data: bytes) -> int:
    """Make the log ``path``, from byte ``start`` of it on, exactly ``data``: cut what is beyond, append
    what is missing, sync. Nobody may have the log open. Returns how many bytes were cut and appended.

    What lies in front of ``start`` is not looked at. A segment that begins where ``data`` ends keeps
    its first line: ``rotate`` had synced it. May be repeated, after a crash at any point of it too.
    Raises AuditError (E-AUDIT-DAMAGED) when the log ends before ``start``, or begins behind it.
    """
    try:
        settle(path)
        agreed, end = _compare(path, start, data)
        missing = data[agreed - start :]
        changed = _cut(path, agreed if missing else _behind_opening(path, agreed), end)
    except ValueError as error:
        raise _damaged(f"a segment of {path} does not begin with a log line: {error}") from error
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        durable.append(fd, [missing])
    finally:
        os.close(fd)
    durable.sync_dir(path.parent)
    return changed + len(missing)


def _compare(path: Path, start: int, data: bytes) -> tuple[int, int]:
    """Up to where the log agrees with ``data`` at ``start``, and where it ends."""
    active = _opening(path)
    end = active.base + (path.stat().st_size if path.exists() else 0)
    if start > end:
        raise _damaged(f"{path} ends at byte {end}, but what was written from byte {start} on is known")
    spans = [(active.base, path)]
    for _, old in reversed(archived_before(path, active)):
        if spans[0][0] <= start:
            break
        before = opening_of(old)
        spans.insert(0, (before.base if before else 0, old))
    if start < spans[0][0]:
        raise _damaged(f"{path}: the segment with byte {start} of the log is not present")
    agreed = start
    for begin, segment in spans:
        if begin <= agreed < start + len(data) and segment.exists():
            with segment.open("rb") as file:
                file.seek(agreed - begin)
                found = file.read(start + len(data) - agreed)
            agreed += _common(found, data[agreed - start :])
    if active.base < agreed < active.base + active.length:
        agreed = active.base  # of the line that begins a segment there is all or nothing
    return agreed, end


def _common(left: bytes, right: bytes) -> int:
    """How many bytes are the same at the beginning of both."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _behind_opening(path: Path, offset: int) -> int:
    """``offset``, or the end of the line that begins a segment there."""
    active = _opening(path)
    return offset + active.length if active.base == offset else offset


def _cut(path: Path, offset: int, end: int) -> int:
    """Cut the log, which ends at ``end``, to ``offset`` bytes."""
    if offset == end:
        return 0
    active = _opening(path)
    while offset <= active.base and active.length:  # all of this segment goes
        if _end_of_archive(path) != active.base:
            raise _damaged(f"{path}: the segment before byte {active.base} of the log is not present")
        take_back(path)
        active = _opening(path)
    durable.truncate(path, offset - active.base)
    return end - offset


def _end_of_archive(path: Path) -> int | None:
    """Where in the log its newest archived segment ends. Raises ValueError when that is damaged."""
    for _, newest in archived(path)[-1:]:
        first = opening_of(newest)
        return (first.base if first else 0) + newest.stat().st_size
    return None


def _damaged(message: str) -> AuditError:
    return AuditError(message, code="E-AUDIT-DAMAGED")
