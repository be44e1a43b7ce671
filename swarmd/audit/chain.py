"""One append-only log file whose every line names the hash of the line before it.

``prev`` is the SHA-256 of the previous line's raw bytes, its newline included, so a log is checked
without serialising anything again. Values are limited to what every JSON library writes alike: no
floats, no integer of 2**53 or more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from swarmd import durable
from swarmd.errors import AuditError

__all__ = ["GENESIS", "MAX_LINE", "Chain", "Head", "Line"]

GENESIS = "0" * 64
"""``prev`` of the first line."""

MAX_LINE = 64 * 1024
"""Longest line in bytes, newline included; anything larger is an artifact."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Head:
    """The last line of a log: its number (0: empty log) and the hash of its raw bytes."""

    seq: int = 0
    hash: str = GENESIS


class Chain:
    """The writer of one log. There is one per file, in the master."""

    def __init__(self, path: Path, writer: str) -> None:
        """Open ``path`` to append, after mending a torn tail (see ``torn``). ``writer`` names the
        process for the log: ``pid/start``. Raises AuditError when the last whole line is no line."""
        self.path = path
        self._writer = writer
        self.torn = _cut_torn_tail(path)
        self.head = _last_head(path)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size
        """Bytes in the file: the offset at which the next line begins."""

    def append(self, lines: Iterable[Mapping[str, Any]], *, durable_write: bool = True) -> list[Line]:
        """Number, chain and write ``lines`` with one write and one sync; return them as written.

        Raises AuditError for a line that is too long or holds what the log does not allow, and
        OSError when the disk does not take them; nothing is written then. Raises FsyncFailedError
        when it is not known what is on the disk.
        """
        head, raws, written = self.head, [], []
        for fields in lines:
            line: Line = {"v": 1, "seq": head.seq + 1, **fields, "writer": self._writer, "prev": head.hash}
            raw = _encode(line)
            head = Head(head.seq + 1, hashlib.sha256(raw).hexdigest())
            raws.append(raw)
            written.append(line)
        try:
            durable.append(self._fd, raws, durable=durable_write)
        except durable.FsyncFailedError:
            raise
        except OSError:
            os.ftruncate(self._fd, self.size)  # a full disk may have taken half of a line
            raise
        self.size += sum(map(len, raws))
        self.head = head
        return written

    def sync(self) -> None:
        """Make what was appended without durability survive power loss."""
        durable.sync(self._fd)

    def close(self) -> None:
        """Close the file; everything appended durably is already safe."""
        os.close(self._fd)


def _encode(line: Line) -> bytes:
    _refuse_floats(line)
    try:
        raw = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_STRICT_INTEGER)
    except TypeError as error:
        raise AuditError(f"a log line cannot be written: {error}") from error
    if len(raw) > MAX_LINE:
        raise AuditError(f"a log line of {len(raw)} bytes is too long: {line.get('event')}")
    return raw


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise AuditError(f"a log line may not hold the float {value!r}")
    if isinstance(value, dict):
        for part in value.values():
            _refuse_floats(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _refuse_floats(part)


def _cut_torn_tail(path: Path) -> bytes:
    """Cut an unterminated last line, keep it beside the log as ``<name>.torn``, and return it."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return b""
    with path.open("rb") as file:
        file.seek(max(0, size - MAX_LINE))
        tail = file.read()
    torn = tail[tail.rfind(b"\n") + 1 :]
    if torn:
        durable.write(path.with_name(path.name + ".torn"), torn)
        durable.truncate(path, size - len(torn))
    return torn


def _last_head(path: Path) -> Head:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Head()
    with path.open("rb") as file:
        file.seek(max(0, size - 2 * MAX_LINE))
        raws = file.read().splitlines(keepends=True)
    if not raws:
        return Head()
    try:
        return Head(int(orjson.loads(raws[-1])["seq"]), hashlib.sha256(raws[-1]).hexdigest())
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise AuditError(f"the last line of {path} is not a log line: {error}") from error
