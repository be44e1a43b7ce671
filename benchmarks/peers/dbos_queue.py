"""DBOS over PostgreSQL: one workflow for each message, through a queue."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmarks.peers.peer import EachWorkerAProcess
from benchmarks.peers.servers import Postgres
from benchmarks.peers.slots import handle

__all__ = ["Dbos"]


class Dbos(EachWorkerAProcess):
    """Its queue is polled once a second; a worker takes what is there."""

    title = "DBOS, PostgreSQL"
    note = "durable at put (synchronous commit); the queue is polled once a second"
    modules = ("dbos", "psycopg")
    measures = frozenset({"a", "b", "c", "kill"})
    slow = 5

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ("" if Postgres.programs() else "PostgreSQL is not installed")

    @cached_property
    def _postgres(self) -> Postgres:
        return Postgres(self.folder)

    @property
    def _url(self) -> str:
        return self._postgres.url.replace("postgresql://", "postgresql+psycopg://")

    def _launch(self) -> Any:
        import dbos

        config: Any = {
            "name": "bench",
            "system_database_url": self._url,
            "application_version": "1",
            "log_level": "WARNING",
            "executor_id": os.environ.get("BUS_EXECUTOR", "bench"),
        }
        dbos.DBOS(config=config)
        dbos.DBOS.workflow(name="handle")(handle)
        dbos.DBOS.launch()
        dbos.DBOS.register_queue("bench")
        return dbos.DBOS

    @cached_property
    def _client(self) -> Any:
        import dbos

        return dbos.DBOSClient(system_database_url=self._url)

    def start(self) -> list[int]:
        found = self._postgres.start()
        self._launch().destroy()  # makes the tables
        return found

    def stop(self) -> None:
        if "_client" in self.__dict__:
            self._client.destroy()
        self._postgres.stop()

    def environment(self) -> dict[str, str]:
        return super().environment() | self._postgres.environment()

    def put(self, text: str) -> None:
        self._client.enqueue({"queue_name": "bench", "workflow_name": "handle", "app_version": "1"}, text)

    def fill(self, texts: Iterable[str]) -> None:
        with self._postgres.unsynced():
            super().fill(texts)

    def work(self, workers: int) -> None:
        os.environ["BUS_EXECUTOR"] = f"bench-{os.getppid()}-{os.getpid()}" if workers > 1 else "bench"
        self._launch()
        while True:
            time.sleep(3600)
