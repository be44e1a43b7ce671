"""How long at least one of several things was going on, when they overlap."""

from __future__ import annotations

from collections import deque

__all__ = ["Busy"]

MOST_OPEN = 1024
"""Stretches of time that a later interval may still reach back into; more than calls are made at once."""


class Busy:
    """The length of a union of intervals, which are told in the order of their ends.

    It needs one pass and little memory: of the stretches that are covered, only the last ones are kept.
    Where the clock was set back, time is counted again from there.
    """

    def __init__(self) -> None:
        self._open: deque[tuple[int, int]] = deque()
        self._closed_ms = 0

    def add(self, begin_ms: int, end_ms: int) -> None:
        """One more interval, in milliseconds since any moment. One without length changes nothing."""
        if end_ms <= begin_ms:
            return
        if self._open and end_ms < self._open[-1][0]:
            self._close(len(self._open))
        while self._open and self._open[-1][1] >= begin_ms:
            begin, end = self._open.pop()
            begin_ms, end_ms = min(begin, begin_ms), max(end, end_ms)
        self._open.append((begin_ms, end_ms))
        self._close(len(self._open) - MOST_OPEN)

    def _close(self, count: int) -> None:
        for _ in range(count):
            begin, end = self._open.popleft()
            self._closed_ms += end - begin

    @property
    def total_ms(self) -> int:
        """Milliseconds in which at least one of them was going on."""
        return self._closed_ms + sum(end - begin for begin, end in self._open)
