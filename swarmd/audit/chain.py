"""One append-only log whose every line names the hash of the line before it.

``prev`` is the SHA-256 of the previous line's raw bytes, its newline included, so a log is checked
without serialising anything again. Values are limited to what every JSON library writes alike: no
floats, no integer of 2**53 or more. The chain goes on over the log's segments (see segments.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from swarmd import durable
from swarmd.audit.segments import (
    GENESIS,
    MAX_LINE,
    STARTED,
    archived_path,
    fresh_path,
    move_to_archive,
)
from swarmd.audit.tail import Head, mend, restore_tail
from swarmd.clock import SystemClock, rfc3339
from swarmd.errors import AuditError

__all__ = ["GENESIS", "MAX_LINE", "SEGMENT", "Chain", "Head", "Line", "Prepared", "restore_tail"]

SEGMENT = 64 * 1024 * 1024
"""Bytes from which on a segment is full, unless the writer says otherwise."""

Line = dict[str, Any]

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_STRICT_INTEGER
_PLAIN = frozenset({str, int, bool, type(None)})
"""What can neither be a float nor hold one."""


class Prepared(NamedTuple):
    """Lines that are ready to be written."""

    lines: list[Line]
    raw: bytes
    """All of them as they will stand in the log."""
    head: Head
    """The last of them."""
    after: Head
    """The line that they follow."""


class Chain:
    """The writer of one log. There is one per log, in the master."""

    def __init__(self, path: Path, writer: str, *, segment_bytes: int = SEGMENT) -> None:
        """Open ``path`` to append, after mending a torn tail (see ``torn``) and undoing a rotation that
        was interrupted. ``writer`` names the process for the log: ``pid/start``. Raises AuditError
        when the first or the last whole line is no line."""
        self.path = path
        self._writer = writer
        self._segment_bytes = segment_bytes
        tail = mend(path)
        self.torn = tail.torn
        self.head = tail.head
        self.base = tail.base
        """Where in the log the active segment begins, in bytes."""
        self._first = tail.first
        self._fd = os.open(path, _FLAGS, 0o600)
        self._soiled = False
        self.size = self.base + os.fstat(self._fd).st_size
        """Bytes in the log, over all its segments: the offset at which the next line begins."""

    @property
    def full(self) -> bool:
        """Whether the active segment is large enough to be archived."""
        return self.size - self.base >= self._segment_bytes

    def prepare(self, fields: Iterable[Mapping[str, Any]]) -> Prepared:
        """Number, chain and encode lines of ``fields``, behind the last line written. Changes nothing.

        Raises AuditError for a line that is too long or holds what the log does not allow.
        """
        after, writer = self.head, self._writer
        seq, prev = after.seq, after.hash
        lines, raws = [], []
        for given in fields:
            seq += 1
            line: Line = {"v": 1, "seq": seq, **given, "writer": writer, "prev": prev}
            raw = _encode(line)
            prev = sha256(raw).hexdigest()
            lines.append(line)
            raws.append(raw)
        return Prepared(lines, b"".join(raws), Head(seq, prev), after)

    def write(self, prepared: Prepared) -> None:
        """Append what ``prepare`` made, in one write and without a sync: it survives the death of this
        process, not power loss.

        Raises OSError when the disk does not take it, and AuditError when other lines were written
        since; nothing is written then.
        """
        if prepared.after != self.head:
            raise AuditError(f"lines for behind line {prepared.after.seq} do not fit line {self.head.seq}")
        try:
            if self._soiled:
                self._cut_back()
            durable.append(self._fd, (prepared.raw,), durable=False)
        except OSError:
            self._soiled = True  # a full disk may have taken half of a line
            self._cut_back()
            raise
        self.size += len(prepared.raw)
        self.head = prepared.head

    def _cut_back(self) -> None:
        os.ftruncate(self._fd, self.size - self.base)
        self._soiled = False

    def append(self, lines: Iterable[Mapping[str, Any]], *, durable_write: bool = True) -> list[Line]:
        """``prepare``, ``write`` and, if ``durable_write``, ``sync``; return the lines as written.

        Raises what they raise; FsyncFailedError when it is not known what is on the disk.
        """
        prepared = self.prepare(lines)
        self.write(prepared)
        if durable_write:
            self.sync()
        return prepared.lines

    def sync(self) -> None:
        """Make everything written so far survive power loss. Raises FsyncFailedError."""
        durable.sync(self._fd)

    def rotate(self, ts: str | None = None) -> Path | None:
        """Archive the active segment and begin the next one; return the archived file, or None when
        the segment has no line of its own yet.

        Everything up to ``size``, the new segment's first line included, survives power loss then. A
        crash at any point leaves a log that opens: with the rotation, or without it. ``ts`` is the
        time of that line, default: now. Raises OSError when the disk does not take it; the log goes
        on as before then. Raises FsyncFailedError as ``sync``.
        """
        if self.head.seq == 0 or (self.base and self.head.seq == self._first):
            return None
        if self._soiled:
            self._cut_back()
        self.sync()
        target = archived_path(self.path, self._first)
        prepared = self.prepare([self._opening(target, ts)])
        fd = _begin(fresh_path(self.path), prepared.raw)
        try:
            move_to_archive(self.path, target)
            fresh_path(self.path).rename(self.path)
        except OSError:
            os.close(fd)
            self._undo(target)
            raise
        os.close(self._fd)
        self._fd, self._first, self.base = fd, prepared.head.seq, self.size
        self.head, self.size = prepared.head, self.size + len(prepared.raw)
        durable.sync_dir(self.path.parent)
        return target

    def _opening(self, target: Path, ts: str | None) -> Mapping[str, Any]:
        return {
            "ts": ts or rfc3339(SystemClock().now()),
            "event": STARTED,
            "level": "debug",
            "actor": "master",
            "data": {"base": self.size, "previous": target.name},
        }

    def _undo(self, target: Path) -> None:
        fresh_path(self.path).unlink(missing_ok=True)
        if not self.path.exists():
            target.rename(self.path)
        elif target.exists() and target.samefile(self.path):
            target.unlink()

    def close(self) -> None:
        """Close the file; everything that was synced is safe."""
        os.close(self._fd)


def _begin(path: Path, raw: bytes) -> int:
    """A new file that begins with ``raw``, synced and open to append."""
    fd = os.open(path, _FLAGS | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        durable.append(fd, (raw,))
    except OSError:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return fd


def _encode(line: Line) -> bytes:
    for value in line.values():
        if type(value) not in _PLAIN:
            _refuse_floats(value)
    try:
        raw = orjson.dumps(line, option=_OPTIONS)
    except TypeError as error:
        raise AuditError(f"a log line cannot be written: {error}") from error
    if len(raw) > MAX_LINE:
        raise AuditError(f"a log line of {len(raw)} bytes is too long: {line.get('event')}")
    return raw


def _refuse_floats(value: Any) -> None:
    if isinstance(value, dict):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, float):
        raise AuditError(f"a log line may not hold the float {value!r}")
    else:
        return
    if not _PLAIN.issuperset(map(type, parts)):  # in C: nearly all data is flat
        for part in parts:
            _refuse_floats(part)
