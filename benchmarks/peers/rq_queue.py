"""RQ over Redis, with the worker that does not fork for each job (forking, it does about 30 a second)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmarks.peers.peer import EachWorkerAProcess
from benchmarks.peers.servers import Redis
from benchmarks.peers.slots import handle

__all__ = ["Rq"]


class Rq(EachWorkerAProcess):
    title = "RQ, Redis, SimpleWorker"
    note = "durable at put (append-only file, always)"
    modules = ("rq", "redis")
    programs = ("redis-server",)

    @cached_property
    def _redis(self) -> Redis:
        return Redis(self.folder)

    @cached_property
    def _queue(self) -> Any:
        import rq

        return rq.Queue(connection=self._redis.client())

    def start(self) -> list[int]:
        return self._redis.start()

    def stop(self) -> None:
        self._redis.stop()

    def put(self, text: str) -> None:
        self._queue.enqueue(handle, text)

    def fill(self, texts: Iterable[str]) -> None:
        import rq

        with self._redis.unsynced():
            data = [rq.Queue.prepare_data(handle, (text,)) for text in texts]
            for start in range(0, len(data), 1000):
                self._queue.enqueue_many(data[start : start + 1000])

    def claim(self) -> None:
        import rq

        if rq.Queue.dequeue_any([self._queue], None, connection=self._queue.connection) is None:
            raise RuntimeError("the queue is empty")

    def work(self, workers: int) -> None:
        import rq

        rq.SimpleWorker([self._queue], connection=self._queue.connection).work(logging_level="WARNING")
