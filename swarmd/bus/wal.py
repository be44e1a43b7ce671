"""The write-ahead file: what makes a group of changes survive power loss with one sync.

A group is a piece of the log and the payload files that its lines speak of. Both are written where
they belong without a sync, and once more, together, into a preallocated file that is overwritten in
place: its sync changes no metadata, and is several times cheaper than one sync for each file. After
power loss the recovery puts back from here what had not reached its own place. A killed process
needs none of this: what it wrote is in the kernel's hands.

There are two files. At a checkpoint the other one is begun; once everything else has been synced,
the older one is void. A record is a header (magic, CRC-32, generation, length) and a body: the
offset in the log, the raw lines, and the files by their path inside the home.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swarmd import durable

__all__ = ["SIZE", "Record", "WriteAhead", "read_records"]

SIZE = 4 * 1024 * 1024
"""Bytes that each file is made with. A record that does not fit makes its file grow."""

_LARGE = 16 * SIZE
"""A file that has grown beyond this is cut back when it is begun again."""

_MAGIC = b"sWA1"
_HEADER = struct.Struct("<4sIQI")
_BODY = struct.Struct("<QI")
_COUNT = struct.Struct("<H")
_ENTRY = struct.Struct("<HI")
_NAMES = ("a.wal", "b.wal")
_ZEROS = bytes(1024 * 1024)


@dataclass(frozen=True)
class Record:
    """One group, as it was committed."""

    offset: int
    """Where in the log ``raw`` begins."""
    raw: bytes
    """Whole log lines; empty in the record that begins a file."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Payloads by their path inside the home."""

    @property
    def end(self) -> int:
        """Where in the log the next record begins."""
        return self.offset + len(self.raw)


class WriteAhead:
    """The writer of both files: there is one per home, in the master."""

    def __init__(self, folder: Path, offset: int) -> None:
        """Begin anew in ``folder``, the log being ``offset`` bytes long. What the files hold from
        earlier must have been replayed and synced."""
        durable.make_dirs(folder)
        self._folder = folder
        self._generation = max((generation for generation, _ in _files(folder)), default=0)
        self._fds = [_preallocated(folder / name) for name in _NAMES]
        durable.sync_dir(folder)
        self._sizes = [os.fstat(fd).st_size for fd in self._fds]
        self._current = 0
        self._position = 0
        self.switch(offset)
        self.release()

    @property
    def used(self) -> int:
        """Bytes written into the current file."""
        return self._position

    @property
    def crowded(self) -> bool:
        """Whether it is time for a checkpoint, before the current file has to grow."""
        return self._position > SIZE // 2

    def reserve(self, raw: bytes, files: Mapping[str, bytes]) -> None:
        """Make sure that ``append`` of the same will find room. Raises OSError when the disk is full."""
        need = self._position + 1024 + len(raw) + sum(len(k) * 4 + len(v) + 16 for k, v in files.items())
        size = self._sizes[self._current]
        if need > size:
            want = size + max(SIZE, need - size)
            _fill(self._fds[self._current], size, want)
            self._sizes[self._current] = want

    def append(self, offset: int, raw: bytes, files: Mapping[str, bytes]) -> None:
        """Write one group and sync it: from now on it survives power loss.

        Raises OSError when the disk does not take it, which may be tried again (a file system that
        copies on writing can be full here too), and FsyncFailedError, after which this process must end.
        """
        data = _encode(self._generation, Record(offset, raw, files))
        durable.overwrite(self._fds[self._current], data, self._position)
        durable.sync(self._fds[self._current])
        self._position += len(data)

    def switch(self, offset: int) -> None:
        """Begin the other file, the log being ``offset`` bytes long. The records so far stay valid
        until ``release``. Raises as ``append``; nothing has changed after a plain OSError."""
        other, generation = 1 - self._current, self._generation + 1
        if self._sizes[other] > _LARGE:
            os.ftruncate(self._fds[other], SIZE)
            self._sizes[other] = SIZE
        data = _encode(generation, Record(offset, b"", {}))
        durable.overwrite(self._fds[other], data, 0)
        durable.sync(self._fds[other])
        self._current, self._generation, self._position = other, generation, len(data)

    def release(self) -> None:
        """Everything before the last switch has been synced in its own place: void its records."""
        other = self._fds[1 - self._current]
        durable.overwrite(other, bytes(_HEADER.size), 0)
        durable.sync(other)

    def close(self) -> None:
        """Close both files."""
        for fd in self._fds:
            os.close(fd)


def read_records(folder: Path) -> list[Record]:
    """All valid records in ``folder``, the oldest first; none when there never was a write-ahead file."""
    return [record for _, records in sorted(_files(folder), key=lambda f: f[0]) for record in records]


def _files(folder: Path) -> Iterator[tuple[int, list[Record]]]:
    for name in _NAMES:
        with contextlib.suppress(FileNotFoundError):
            generation, records = _read((folder / name).read_bytes())
            if records:
                yield generation, records


def _read(data: bytes) -> tuple[int, list[Record]]:
    """The records of one file: those of its first one's generation, up to the first that is cut."""
    records: list[Record] = []
    first, at = 0, 0
    while len(data) - at >= _HEADER.size:
        magic, checksum, generation, length = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + length]
        if magic != _MAGIC or length < _BODY.size + _COUNT.size:  # zeros have the right checksum, too
            break
        if (records and generation != first) or checksum != _checksum(generation, body):
            break
        first = generation
        records.append(_decode(body))
        at += _HEADER.size + length
    return first, records


def _checksum(generation: int, body: bytes) -> int:
    return zlib.crc32(body, generation & 0xFFFFFFFF)


def _encode(generation: int, record: Record) -> bytes:
    parts = [_BODY.pack(record.offset, len(record.raw)), record.raw, _COUNT.pack(len(record.files))]
    for name, data in record.files.items():
        path = os.fsencode(name)
        parts += [_ENTRY.pack(len(path), len(data)), path, data]
    body = b"".join(parts)
    return _HEADER.pack(_MAGIC, _checksum(generation, body), generation, len(body)) + body


def _decode(body: bytes) -> Record:
    offset, length = _BODY.unpack_from(body)
    at = _BODY.size + length
    raw, (count,) = body[_BODY.size : at], _COUNT.unpack_from(body, at)
    at += _COUNT.size
    files = {}
    for _ in range(count):
        path_length, data_length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        path = os.fsdecode(body[at : at + path_length])
        at += path_length
        files[path] = body[at : at + data_length]
        at += data_length
    return Record(offset, raw, files)


def _preallocated(path: Path) -> int:
    """An open file of at least SIZE bytes that were really written: a sync then changes no metadata."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _fill(fd, os.fstat(fd).st_size, SIZE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _fill(fd: int, start: int, end: int) -> None:
    """Write zeros from ``start`` to ``end`` and sync them; nothing is kept when the disk is full."""
    try:
        for at in range(start, end, len(_ZEROS)):
            durable.overwrite(fd, _ZEROS[: end - at], at)
        durable.sync(fd)
    except durable.FsyncFailedError:
        raise
    except OSError:
        os.ftruncate(fd, start)
        raise
