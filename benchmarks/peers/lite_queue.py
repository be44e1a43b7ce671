"""litequeue, as it comes and with a sync for each commit. It has no wake-up: the consumer polls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.peer import Durability, EachWorkerAProcess
from benchmarks.peers.slots import current, handle, index_of

__all__ = ["LiteQueue", "LiteQueueFull"]

_POLL_S = 0.005


class LiteQueue(EachWorkerAProcess):
    title = "litequeue, as it comes"
    durability: ClassVar[Durability] = "interval"
    note = "WAL, synchronous=NORMAL: synced at checkpoints; polled every 5 ms"
    modules = ("litequeue",)
    acks = True
    synchronous = "NORMAL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._opened: Any = None

    @property
    def _queue(self) -> Any:
        if self._opened is None:
            import litequeue

            self._opened = litequeue.LiteQueue(str(self.folder / "queue.db"), timeout=30)
            self._opened.conn.execute(f"PRAGMA synchronous = {self.synchronous}")
        return self._opened

    def start(self) -> list[int]:
        self._queue.qsize()
        return []

    def put(self, text: str) -> None:
        self._queue.put(text)

    def fill(self, texts: Iterable[str]) -> None:
        self._queue.conn.execute("PRAGMA synchronous = OFF")
        super().fill(texts)
        self._queue.conn.execute(f"PRAGMA synchronous = {self.synchronous}")

    def _take(self) -> Any:
        while (message := self._queue.pop()) is None:
            time.sleep(_POLL_S)
        return message

    def claim(self) -> None:
        self._take()

    def work(self, workers: int) -> None:
        while True:
            message = self._take()
            handle(message.data)
            self._queue.done(message.message_id)
            current().acked(index_of(message.data))


class LiteQueueFull(LiteQueue):
    title = "litequeue, synchronous=FULL"
    durability: ClassVar[Durability] = "power"
    note = "durable at put (WAL, synchronous=FULL, set by us); polled every 5 ms"
    synchronous = "FULL"
