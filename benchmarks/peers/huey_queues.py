"""huey with its consumer as it comes: workers poll with a back-off from 0.1 s."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.peer import Peer
from benchmarks.peers.servers import Redis
from benchmarks.peers.slots import handle

__all__ = ["HueyFile", "HueyRedis", "HueySqlite"]


class _Huey(Peer):
    modules: ClassVar[tuple[str, ...]] = ("huey",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._huey = self._open()
        self._handle = self._huey.task()(handle)

    def _open(self) -> Any:
        raise NotImplementedError

    def put(self, text: str) -> None:
        self._handle(text)

    def claim(self) -> None:
        if self._huey.dequeue() is None:
            raise RuntimeError("the queue is empty")

    def work(self, workers: int) -> None:
        kind = "thread" if workers == 1 else "process"
        self._huey.create_consumer(workers=workers, worker_type=kind).run()


class HueySqlite(_Huey):
    title = "huey, SQLite"
    note = "durable at put (WAL, synchronous=FULL); a task that has begun is no longer in the queue"

    def _open(self) -> Any:
        from huey import SqliteHuey

        return SqliteHuey("bench", filename=str(self.folder / "huey.db"), fsync=True)

    def fill(self, texts: Iterable[str]) -> None:
        from huey import SqliteHuey

        unsynced = SqliteHuey("bench", filename=str(self.folder / "huey.db"), fsync=False)
        task = unsynced.task()(handle)
        for text in texts:
            task(text)


class HueyFile(_Huey):
    title = "huey, files"
    durability = "process"
    note = "never synced; a task that has begun is no longer in the queue"

    def _open(self) -> Any:
        from huey import FileHuey

        return FileHuey("bench", path=str(self.folder / "queue"))


class HueyRedis(_Huey):
    title = "huey, Redis"
    note = "durable at put (append-only file, always); a task that has begun is no longer in the queue"
    modules = ("huey", "redis")
    programs = ("redis-server",)

    def _open(self) -> Any:
        from huey import RedisHuey

        self._redis = Redis(self.folder)
        return RedisHuey("bench", url=self._redis.url)

    def start(self) -> list[int]:
        return self._redis.start()

    def stop(self) -> None:
        self._redis.stop()

    def fill(self, texts: Iterable[str]) -> None:
        with self._redis.unsynced():
            super().fill(texts)
