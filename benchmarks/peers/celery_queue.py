"""Celery over Redis, with its own command and its defaults; results are not kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmarks.peers.peer import Peer, own_folder
from benchmarks.peers.servers import Redis
from benchmarks.peers.slots import handle

__all__ = ["Celery"]


def make(url: str) -> Any:
    """The application."""
    import celery

    app = celery.Celery("bench", broker=url.replace("unix://", "redis+socket://"))
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    app.task(name="handle")(handle)
    return app


class Celery(Peer):
    title = "Celery, Redis"
    note = "durable at put (append-only file, always); acknowledged before the task runs"
    modules = ("celery", "redis")
    programs = ("redis-server",)
    measures = frozenset({"a", "b", "c", "d", "kill"})

    @cached_property
    def _redis(self) -> Redis:
        return Redis(self.folder)

    @cached_property
    def _app(self) -> Any:
        return make(self._redis.url)

    def start(self) -> list[int]:
        return self._redis.start()

    def stop(self) -> None:
        self._redis.stop()

    def put(self, text: str) -> None:
        self._app.tasks["handle"].delay(text)

    def fill(self, texts: Iterable[str]) -> None:
        # Copies of one message: what they say is of no account while they wait.
        with self._redis.unsynced() as client:
            count = sum(1 for _ in texts)
            self.put("00000000")
            message = client.lindex("celery", 0)
            for start in range(1, count, 1000):
                client.rpush("celery", *[message] * min(1000, count - start))

    def claim(self) -> None:
        """As its transport does it, without the worker around it."""
        self._queue.get(block=True, timeout=10).ack()

    @cached_property
    def _queue(self) -> Any:
        return self._app.connection_for_read().SimpleQueue("celery")

    def commands(self, workers: int) -> list[list[str]]:
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_queue", "worker"]
        return [[*command, "--concurrency", str(workers), "--loglevel", "WARNING"]]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "C_FORCE_ROOT": "1"}


if "BUS_FOLDER" in os.environ and sys.argv[0].endswith("celery/__main__.py"):
    app = make(Redis(own_folder()).url)
