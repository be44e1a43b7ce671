"""persist-queue's SQLiteAckQueue. Its wake-up works inside one process only, so the consumer polls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Peer
from benchmarks.peers.slots import current, handle, index_of

__all__ = ["PersistQueue"]

_POLL_S = 0.005


class PersistQueue(Peer):
    """One consumer only: two would be given the same message."""

    title = "persist-queue, SQLiteAckQueue"
    note = "durable at put (WAL, synchronous=FULL); polled every 5 ms; one consumer process only"
    modules = ("persistqueue",)
    measures = frozenset({"a", "b", "d", "kill"})
    acks = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._opened: Any = None

    @property
    def _queue(self) -> Any:
        if self._opened is None:
            import persistqueue

            self._opened = persistqueue.SQLiteAckQueue(str(self.folder / "queue"), multithreading=True)
        return self._opened

    def put(self, text: str) -> None:
        self._queue.put(text)

    def fill(self, texts: Iterable[str]) -> None:
        connection = self._queue._putter
        connection.execute("PRAGMA synchronous = OFF")
        super().fill(texts)
        connection.execute("PRAGMA synchronous = FULL")

    def _take(self) -> Any:
        import persistqueue

        while True:
            try:
                return self._queue.get(block=False, raw=True)
            except persistqueue.exceptions.Empty:
                time.sleep(_POLL_S)

    def claim(self) -> None:
        self._take()

    def work(self, workers: int) -> None:
        while True:
            item = self._take()
            handle(item["data"])
            self._queue.ack(id=item["pqid"])
            current().acked(index_of(item["data"]))
