"""Dramatiq over Redis, with its own command: a process for each worker, one thread in each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmarks.peers.peer import Peer, own_folder
from benchmarks.peers.servers import Redis
from benchmarks.peers.slots import handle

__all__ = ["Dramatiq"]


def make(url: str) -> tuple[Any, Any]:
    """The broker and the actor."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)
    return broker, dramatiq.actor(handle, broker=broker)


class Dramatiq(Peer):
    title = "Dramatiq, Redis"
    note = "durable at put (append-only file, always)"
    modules = ("dramatiq", "redis")
    programs = ("redis-server",)

    @cached_property
    def _redis(self) -> Redis:
        return Redis(self.folder)

    @cached_property
    def _made(self) -> tuple[Any, Any]:
        return make(self._redis.url)

    def start(self) -> list[int]:
        return self._redis.start()

    def stop(self) -> None:
        self._redis.stop()

    def put(self, text: str) -> None:
        self._made[1].send(text)

    def fill(self, texts: Iterable[str]) -> None:
        with self._redis.unsynced():
            super().fill(texts)

    @cached_property
    def _consumer(self) -> Any:
        return self._made[0].consume("default", prefetch=1, timeout=10_000)

    def claim(self) -> None:
        message = next(self._consumer)
        if message is None:
            raise RuntimeError("the queue is empty")
        self._consumer.ack(message)

    def commands(self, workers: int) -> list[list[str]]:
        command = [sys.executable, "-m", "dramatiq", "benchmarks.peers.dramatiq_queue"]
        return [[*command, "--processes", str(workers), "--threads", "1"]]


if "BUS_FOLDER" in os.environ and sys.argv[0].endswith("dramatiq/__main__.py"):
    make(Redis(own_folder()).url)
