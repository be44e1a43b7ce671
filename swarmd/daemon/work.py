"""Work that waits for a worker: the most urgent first, and fair between the requests of one priority."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Rank", "Work", "WorkKind", "WorkQueue"]

WorkKind = Literal["order", "prepare", "judge", "integrate", "deliver"]

Rank = tuple[int, int, int]
"""Priority with its ageing, how much of the request is in hand already, and arrival; least first."""


@dataclass(frozen=True)
class Work:
    """One thing to give to a worker."""

    kind: WorkKind
    worker_type: str
    request_id: str
    task_id: str | None

    @property
    def key(self) -> tuple[str, str | None]:
        """What it is about; that may wait only once."""
        return self.request_id, self.task_id


class WorkQueue:
    """A heap for each worker type. Ranks change while work waits: what comes up is ranked again before
    it is given out, and ``rerank`` does so for all."""

    def __init__(self, rank: Callable[[str], Rank | None]) -> None:
        """``rank`` gives a request's rank now; None: it does not matter any more."""
        self._rank = rank
        self._heaps: dict[str, list[tuple[Rank, int, Work]]] = {}
        self._waiting: dict[tuple[str, str | None], int] = {}
        self._counter = 0

    def add(self, work: Work) -> None:
        """Let ``work`` wait, unless it does so already."""
        rank = self._rank(work.request_id)
        if rank is None or work.key in self._waiting:
            return
        self._counter += 1
        self._waiting[work.key] = self._counter
        heapq.heappush(self._heaps.setdefault(work.worker_type, []), (rank, self._counter, work))

    def discard(self, request_id: str, task_ids: Iterator[str]) -> None:
        """Nothing of that request waits any more."""
        self._waiting.pop((request_id, None), None)
        for task_id in task_ids:
            self._waiting.pop((request_id, task_id), None)

    def types(self) -> list[str]:
        """The worker types that work may be waiting for."""
        return [name for name, heap in self._heaps.items() if heap]

    def waiting(self, worker_type: str) -> int:
        """How much may be waiting for that type."""
        return len(self._heaps.get(worker_type, ()))

    def shown(self) -> Iterator[Work]:
        """All that waits, in no order."""
        for heap in self._heaps.values():
            for _, number, work in heap:
                if self._waiting.get(work.key) == number:
                    yield work

    def pop(self, worker_type: str) -> Work | None:
        """The most urgent work for that type; it waits no longer."""
        heap = self._heaps.get(worker_type, [])
        while heap:
            rank, number, work = heapq.heappop(heap)
            if self._waiting.get(work.key) != number:
                continue
            now = self._rank(work.request_id)
            if now is not None and now > rank and heap and now > heap[0][0]:
                heapq.heappush(heap, (now, number, work))
                continue
            del self._waiting[work.key]
            if now is not None:
                return work
        return None

    def rerank(self) -> None:
        """Rank everything anew: what has aged comes forward."""
        for name, heap in self._heaps.items():
            ranked = [
                (rank, number, work)
                for _, number, work in heap
                if self._waiting.get(work.key) == number and (rank := self._rank(work.request_id)) is not None
            ]
            heapq.heapify(ranked)
            self._heaps[name] = ranked
