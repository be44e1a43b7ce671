"""NATS JetStream: a file stream, each publish awaited, a queue group of push consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from functools import cached_property
from typing import Any, TypeVar

from benchmarks.peers.peer import EachWorkerAProcess
from benchmarks.peers.servers import Nats as Server
from benchmarks.peers.slots import current, handle, index_of

__all__ = ["Nats"]

Result = TypeVar("Result")


class Nats(EachWorkerAProcess):
    title = "NATS JetStream"
    durability = "interval"
    note = (
        "acknowledged before the sync, which comes every 2 minutes; a killed worker's come again after 30 s"
    )
    modules = ("nats",)
    programs = ("nats-server",)
    acks = True

    @cached_property
    def _server(self) -> Server:
        return Server(self.folder)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def _do(self, step: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run_until_complete(step)

    @cached_property
    def _stream(self) -> Any:
        import nats

        self._client = self._do(nats.connect(self._server.url))
        return self._client.jetstream()

    @cached_property
    def _pull(self) -> Any:
        return self._do(self._stream.pull_subscribe("bench", durable="workers"))

    def start(self) -> list[int]:
        found = self._server.start()
        self._do(self._stream.add_stream(name="bench", subjects=["bench"], retention="workqueue"))
        return found

    def stop(self) -> None:
        self.close()
        self._server.stop()

    def close(self) -> None:
        if "_stream" in self.__dict__:
            self._do(self._client.close())
        self._loop.close()

    def put(self, text: str) -> None:
        self._do(self._stream.publish("bench", text.encode()))

    def fill(self, texts: Iterable[str]) -> None:
        async def publish() -> None:
            many = []
            for text in texts:
                many.append(self._stream.publish("bench", text.encode(), timeout=30))
                if len(many) == 256:
                    await asyncio.gather(*many)
                    many = []
            await asyncio.gather(*many)

        self._do(publish())

    def claim(self) -> None:
        self._do(self._pull.fetch(1, timeout=10))

    def work(self, workers: int) -> None:
        import nats

        async def run() -> None:
            stream = (await nats.connect(self._server.url)).jetstream()
            # Pushed: a pull of several waits for all of them or for its end.
            pushed = await stream.subscribe("bench", queue="workers", manual_ack=True)
            async for message in pushed.messages:
                text = message.data.decode()
                handle(text)
                await message.ack()
                current().acked(index_of(text))

        self._loop.run_until_complete(run())
