"""A sweep that is repeated for ever, in slices between which the loop may turn."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

__all__ = ["Sweeper"]

_PATIENCE_S = 0.15
"""How long the first offer waits for the first listing."""
_SLICE_S = 0.002
"""How long folders are listed before the loop may turn."""
_REST = 5
"""After a sweep, the next one waits at least so many times as long as it took."""


class Sweeper:
    """Runs ``sweep`` at once, then every ``interval()`` seconds, and whenever ``lost`` is set."""

    def __init__(
        self, sweep: Callable[[], Iterator[None]], interval: Callable[[], float], wake: asyncio.Event
    ) -> None:
        """``sweep`` yields wherever it may be interrupted; ``wake`` is set should it end by an error."""
        self.lost = asyncio.Event()
        """Events were lost: sweep soon."""
        self._sweep = sweep
        self._interval = interval
        self._wake = wake
        self._swept = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin. Returns when the first sweep is over, or after _PATIENCE_S."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._tell_end)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._swept.wait()

    def _tell_end(self, _: asyncio.Task[None]) -> None:
        self._swept.set()
        self._wake.set()

    async def stop(self) -> None:
        """End it, in the middle of a sweep too."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def check(self) -> None:
        """Raise the error that has ended the sweeping, if one has."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _run(self) -> None:
        while True:
            self.lost.clear()
            start = time.perf_counter()
            await self._once()
            self._swept.set()
            rest = _REST * (time.perf_counter() - start)
            await asyncio.sleep(rest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._interval() - rest, 0.0)):
                    await self.lost.wait()

    async def _once(self) -> None:
        end = time.perf_counter() + _SLICE_S
        for _ in self._sweep():
            if time.perf_counter() > end:
                await asyncio.sleep(0)
                end = time.perf_counter() + _SLICE_S
