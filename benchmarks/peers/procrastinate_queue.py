"""procrastinate over PostgreSQL: LISTEN wakes the worker, SKIP LOCKED claims."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmarks.peers.peer import EachWorkerAProcess
from benchmarks.peers.servers import Postgres
from benchmarks.peers.slots import handle

__all__ = ["Procrastinate"]


class Procrastinate(EachWorkerAProcess):
    title = "procrastinate, PostgreSQL"
    note = "durable at put (synchronous commit)"
    modules = ("procrastinate", "psycopg")

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ("" if Postgres.programs() else "PostgreSQL is not installed")

    @cached_property
    def _postgres(self) -> Postgres:
        return Postgres(self.folder)

    def _app(self, connector: Any) -> Any:
        import procrastinate

        app = procrastinate.App(connector=connector)
        app.task(name="handle")(handle)
        return app

    @cached_property
    def _opened(self) -> Any:
        import procrastinate

        app = self._app(procrastinate.SyncPsycopgConnector(conninfo=self._postgres.url))
        app.open()
        return app

    def start(self) -> list[int]:
        found = self._postgres.start()
        self._opened.schema_manager.apply_schema()
        return found

    def stop(self) -> None:
        if "_opened" in self.__dict__:
            self._opened.close()
        self._postgres.stop()

    def environment(self) -> dict[str, str]:
        return super().environment() | self._postgres.environment()

    def put(self, text: str) -> None:
        self._opened.tasks["handle"].defer(text=text)

    def fill(self, texts: Iterable[str]) -> None:
        with self._postgres.unsynced():
            batch = [{"text": text} for text in texts]
            for start in range(0, len(batch), 1000):
                self._opened.tasks["handle"].batch_defer(*batch[start : start + 1000])

    @cached_property
    def _connection(self) -> Any:
        import psycopg

        return psycopg.connect(self._postgres.url, autocommit=True)

    def claim(self) -> None:
        """With the function that its worker calls."""
        from procrastinate import sql

        query = sql.queries["fetch_job"]
        found = self._connection.execute(query, {"queues": None, "worker_id": None}).fetchone()
        if found is None or found[0] is None:
            raise RuntimeError("the queue is empty")

    def work(self, workers: int) -> None:
        import procrastinate

        app = self._app(procrastinate.PsycopgConnector(conninfo=self._postgres.url))

        async def run() -> None:
            async with app.open_async():
                await app.run_worker_async(install_signal_handlers=False)

        asyncio.run(run())
