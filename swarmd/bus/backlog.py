"""The names that wait in one folder: each held once, the oldest first, a hundred thousand in few MB."""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field

__all__ = ["Backlog"]

_RUN = 1024
"""Names that are sorted in one go; it bounds the work of a single ``push``."""
_LATEST = 2**63 - 1


@dataclass(eq=False, slots=True)
class _Run:
    """Names in order, the oldest last, so that taking one frees its place."""

    arrivals: array[int]
    names: list[str]
    number: int

    def head(self) -> tuple[int, str, int, _Run]:
        return self.arrivals[-1], self.names[-1], self.number, self


@dataclass(eq=False, slots=True)
class Backlog:
    """Names by arrival, then by name. It also knows the names that were popped and not forgotten yet.

    What came last stands in a small heap. Whenever that is full it becomes a sorted run: two flat
    arrays take half the memory of a heap of tuples. A second heap holds the oldest of each run.
    """

    _known: set[str] = field(default_factory=set)
    _recent: list[tuple[int, str]] = field(default_factory=list)
    _heads: list[tuple[int, str, int, _Run]] = field(default_factory=list)
    _runs_made: int = 0
    _waiting: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __len__(self) -> int:
        """How many names wait; those that were popped do not."""
        return self._waiting

    def push(self, arrival: int, name: str) -> None:
        """Let ``name`` wait. ``arrival`` is in nanoseconds; one outside of 0 .. 2**63-1 is moved there."""
        self._known.add(name)
        self._waiting += 1
        heapq.heappush(self._recent, (min(max(arrival, 0), _LATEST), name))
        if len(self._recent) >= _RUN:
            self._fold()

    def _fold(self) -> None:
        self._recent.sort(reverse=True)
        self._runs_made += 1
        arrivals = array("q", [arrival for arrival, _ in self._recent])
        run = _Run(arrivals, [name for _, name in self._recent], self._runs_made)
        self._recent = []
        heapq.heappush(self._heads, run.head())

    def first(self) -> tuple[int, str] | None:
        """The oldest that waits: its arrival and name."""
        if self._heads and (not self._recent or self._heads[0][:2] < self._recent[0]):
            return self._heads[0][:2]
        return self._recent[0] if self._recent else None

    def pop(self) -> str:
        """Take out what ``first`` gives. The name stays known until ``forget``."""
        first = self.first()
        if first is None:
            raise IndexError("nothing waits")
        self._waiting -= 1
        if self._recent and self._recent[0] == first:
            return heapq.heappop(self._recent)[1]
        run = self._heads[0][3]
        name = run.names.pop()
        run.arrivals.pop()
        if run.names:
            heapq.heapreplace(self._heads, run.head())
        else:
            heapq.heappop(self._heads)
        return name

    def forget(self, name: str) -> None:
        """``name`` is gone from the folder, or may be seen as new."""
        self._known.discard(name)
        if not self._known:
            self._known = set()  # a set that has been large keeps its table
