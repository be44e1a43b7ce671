"""Reading a log back: all of it, as it grows, or from its end.

Every offset is a place in the log, counted in bytes from its first line on over all its segments; it
stays the same when a segment is archived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import orjson

from swarmd.audit.chain import Line
from swarmd.audit.segments import Opening, archived_before, opening
from swarmd.errors import AuditError

__all__ = ["Follower", "end_offset", "find_last", "follow", "read_back", "read_lines", "tail_offset"]

_BLOCK = 1 << 20


def read_lines(path: Path, *, offset: int = 0) -> Iterator[tuple[Line, int]]:
    """Each whole line of the log from byte ``offset``, with the offset behind it.

    A torn last line is left for later. A missing log has no lines. From 0, reading begins with the
    oldest segment that is present. Raises AuditError when another one is needed and is not there,
    and orjson.JSONDecodeError for a line that is not JSON: only ``swarmd audit verify`` may pass
    over damage.
    """
    with ExitStack() as stack:
        at = offset
        for begin, file in _parts(path, offset, stack):
            if begin > at:
                if at:
                    raise _gap(path, at, begin)
                at = begin
            file.seek(at - begin)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                at += len(raw)
                yield orjson.loads(raw), at


def follow(
    path: Path,
    *,
    offset: int = 0,
    stop: Callable[[], bool] = lambda: False,
    poll_s: float = 0.1,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """Each line of the log from byte ``offset``, waiting for more until ``stop()`` is true. Raises what
    ``read_lines`` raises."""
    follower = Follower(path, offset)
    while True:
        yield from follower.new()
        if stop():
            return
        sleep(poll_s)


class Follower:
    """A place in a log that is going on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        """Behind the last line that was given out."""

    def new(self) -> Iterator[Line]:
        """The lines that were added since the last call. When the log is shorter than it was, another
        one has begun, and all of that is new. Raises what ``read_lines`` raises."""
        seen = self.offset
        for line, end in read_lines(self._path, offset=self.offset):
            self.offset = end
            yield line
        if self.offset == seen and _size(self._path) < seen:
            self.offset = 0


def read_back(path: Path) -> Iterator[tuple[Line, int]]:
    """Each whole line of the log from the last to the oldest that is present, with the offset behind
    it. Raises orjson.JSONDecodeError."""
    for raw, end in _raw_back(path):
        yield orjson.loads(raw), end


def find_last(path: Path, event: str) -> Line | None:
    """The last line of ``event``; None when there is none. Raises orjson.JSONDecodeError."""
    mark = orjson.dumps({"event": event})[1:-1]
    for raw, _ in _raw_back(path):
        if mark in raw:
            line = orjson.loads(raw)
            if line.get("event") == event:
                found: Line = line
                return found
    return None


def end_offset(path: Path) -> int:
    """The offset behind the log's last whole line; 0 when it has none."""
    return next((end for _, end in _raw_back(path)), 0)


def tail_offset(path: Path, size: int) -> int:
    """Where the line begins that lies ``size`` bytes before the log's end, or its oldest line."""
    last = begin = 0
    for raw, end in _raw_back(path):
        last, begin = last or end, end - len(raw)
        if last - begin >= size:
            break
    return begin


def _parts(path: Path, offset: int, stack: ExitStack) -> Iterator[tuple[int, BinaryIO]]:
    """The segments from the one with byte ``offset`` on, open, each behind the place where it begins.
    The active one is opened first: it stays whole and last whatever a rotation does meanwhile."""
    active = _open(path, stack)
    first = _opening(active)
    base = first.base if first else 0
    older: list[tuple[int, BinaryIO]] = []
    if first is None or offset < base:
        for _, old in reversed(archived_before(path, first)):
            file = _open(old, stack)
            if file is None:
                continue
            before = _opening(file)
            older.append((before.base if before else 0, file))
            if older[-1][0] <= offset:
                break
    yield from reversed(older)
    if active is not None:
        yield base if first or not older else older[0][0] + older[0][1].seek(0, 2), active


def _raw_back(path: Path) -> Iterator[tuple[bytes, int]]:
    """As ``read_back``, unparsed."""
    with ExitStack() as stack:
        active = _open(path, stack)
        first = _opening(active)
        if active is not None and first is not None:
            yield from _lines_back(active, first.base)
        for _, old in reversed(archived_before(path, first)):
            with old.open("rb") as file:
                before = _opening(file)
                yield from _lines_back(file, before.base if before else 0)


def _lines_back(file: BinaryIO, base: int) -> Iterator[tuple[bytes, int]]:
    at = file.seek(0, 2)
    end, rest, is_torn = base + at, b"", True
    while at > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        pieces = (file.read(at - start) + rest).split(b"\n")
        at = start
        if is_torn and len(pieces) > 1:
            end -= len(pieces.pop())  # what follows the last newline: nothing, or a torn line
            is_torn = False
        rest = pieces.pop(0) if start or is_torn else b""
        for piece in reversed(pieces):
            yield piece + b"\n", end
            end -= len(piece) + 1


def _open(path: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _opening(file: BinaryIO | None) -> Opening | None:
    try:
        return opening(file) if file else None
    except ValueError:  # whoever comes to that line will say so
        return None


def _size(path: Path) -> int:
    with ExitStack() as stack:
        return max((begin + file.seek(0, 2) for begin, file in _parts(path, 1 << 62, stack)), default=0)


def _gap(path: Path, at: int, begin: int) -> AuditError:
    return AuditError(
        f"{path}: bytes {at} to {begin} of the log are missing: they were in an archived segment",
        code="E-AUDIT-ABSENT",
        hint=f"Put the file back into {path.parent / 'archive'}; only the oldest may be moved away.",
    )
