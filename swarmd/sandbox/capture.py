"""Output of any length, kept within bounds."""

from __future__ import annotations

__all__ = ["Capped", "HeadTail"]


class HeadTail:
    """The beginning and the end of what was fed, with a line between them that says what is missing."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take more output."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:  # cut seldom, because a cut moves the rest
            self._cut()

    def _cut(self) -> None:
        excess = max(len(self._tail) - self._half, 0)
        self._dropped += excess
        del self._tail[:excess]

    def value(self) -> bytes:
        """What was kept."""
        self._cut()
        gap = b"\n[... %d bytes left out ...]\n" % self._dropped if self._dropped else b""
        return bytes(self._head) + gap + bytes(self._tail)


class Capped:
    """The first ``limit`` bytes of what was fed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more; what is over the limit is dropped."""
        self._data += data[: self._limit - len(self._data)]

    def value(self) -> bytes:
        """What was kept."""
        return bytes(self._data)
