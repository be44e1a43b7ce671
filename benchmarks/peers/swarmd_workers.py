"""Forked no-op workers behind swarmd's own channel, with a dispatcher that keeps each of them busy."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.peers.processes import die_with_parent
from benchmarks.peers.slots import handle
from swarmd.bus.channel import AsyncChannel, Channel, pair

__all__ = ["Workers"]

_AHEAD = 8
"""Messages that a worker has before it: it need not wait for the dispatcher after each."""
_WAITING = 128
"""Messages that wait for a worker before the dispatcher stops taking more."""


class Workers:
    """Fork before the loop runs, ``open`` inside it."""

    def __init__(self, count: int) -> None:
        self._sockets = [self._fork() for _ in range(count)]
        self._waiting: deque[str] = deque()
        self._work, self._room = asyncio.Event(), asyncio.Event()
        self._drivers: list[asyncio.Task[None]] = []

    @staticmethod
    def _fork() -> socket.socket:
        ours, theirs = pair()
        if os.fork():
            theirs.close()
            return ours
        die_with_parent()
        ours.close()
        channel = Channel(theirs)
        while frame := channel.receive():
            handle(frame[0]["text"])
            channel.send({"name": frame[0]["text"][:8]})
        os._exit(0)

    def open(self, on_result: Callable[[str], None]) -> None:
        """Begin; ``on_result`` is called with the name of each message that was handled, as it comes."""
        for sock in self._sockets:
            self._drivers.append(asyncio.create_task(self._drive(AsyncChannel(sock), on_result)))

    async def submit(self, texts: Sequence[str]) -> None:
        """Have them handled; returns when there is room for more."""
        self._waiting.extend(texts)
        self._work.set()
        while len(self._waiting) > _WAITING:
            self._room.clear()
            await self._room.wait()

    async def _drive(self, channel: AsyncChannel, on_result: Callable[[str], None]) -> None:
        ahead = 0
        while True:
            while ahead < _AHEAD and self._waiting:
                channel.post({"text": self._waiting.popleft()})
                ahead += 1
            self._room.set()
            if ahead:
                on_result(str((await channel.receive())[0]["name"]))
                ahead -= 1
            else:
                self._work.clear()
                await self._work.wait()
