"""What happened to each message, noted by every process in one shared file.

It lies in memory (/dev/shm), so that noting costs no disk and survives ``kill -9`` of the writer.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from functools import cache
from pathlib import Path

__all__ = ["PAYLOAD_BYTES", "Slots", "handle", "index_of", "payload"]

PAYLOAD_BYTES = 1024
_RECORD = struct.Struct("<QQQIII4x")
_PUT, _BEGUN, _ENDED, _BEGINNINGS, _EFFECTS, _ACKS = 0, 8, 16, 24, 28, 32
_TIME = struct.Struct("<Q")
_COUNT = struct.Struct("<I")


def payload(index: int) -> str:
    """The message with that number: 1 KB of text that begins with it."""
    return f"{index:08d}".ljust(PAYLOAD_BYTES, "x")


def index_of(text: str) -> int:
    """The number of the message ``text``."""
    return int(text[:8])


class Slots:
    """Times (nanoseconds on the monotonic clock) and counts, by message number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.size = len(self._map) // _RECORD.size

    @classmethod
    def create(cls, path: Path, size: int) -> Slots:
        """A new file with room for ``size`` messages."""
        path.write_bytes(bytes(_RECORD.size * size))
        return cls(path)

    def _stamp(self, index: int, field: int) -> None:
        _TIME.pack_into(self._map, index * _RECORD.size + field, time.monotonic_ns())

    def _add(self, index: int, field: int) -> None:
        offset = index * _RECORD.size + field
        _COUNT.pack_into(self._map, offset, _COUNT.unpack_from(self._map, offset)[0] + 1)

    def put(self, index: int) -> None:
        """The producer is about to hand it over."""
        self._stamp(index, _PUT)

    def begin(self, index: int) -> None:
        """A handler was called with it."""
        self._stamp(index, _BEGUN)
        self._add(index, _BEGINNINGS)

    def finish(self, index: int) -> None:
        """The handler has done what it does: the effect."""
        self._stamp(index, _ENDED)
        self._add(index, _EFFECTS)

    def acked(self, index: int) -> None:
        """The queue has recorded that it is done, as durably as it ever will."""
        self._stamp(index, _ENDED)
        self._add(index, _ACKS)

    def read(self, index: int) -> tuple[int, int, int, int, int, int]:
        """put, begun, ended (ns), beginnings, effects, acks."""
        record = _RECORD.unpack_from(self._map, index * _RECORD.size)
        return record[0], record[1], record[2], record[3], record[4], record[5]

    def close(self) -> None:
        """Forget it; the file stays."""
        self._map.close()


@cache
def current() -> Slots:
    """The file that this process was told to note in."""
    return Slots(Path(os.environ["BUS_SLOTS"]))


@cache
def _work_s() -> float:
    return float(os.environ.get("BUS_WORK_S", "0"))


def handle(text: str) -> None:
    """The no-op task. For the kill it sleeps, so that there is a middle to be killed in."""
    slots, index = current(), index_of(text)
    slots.begin(index)
    if seconds := _work_s():
        time.sleep(seconds)
    slots.finish(index)
