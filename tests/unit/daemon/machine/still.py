"""A loop on which no time passes but the clock's, and nothing waits for a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from swarmd.testing import FakeClock

__all__ = ["StillLoop"]

_MOST_TURNS = 3_000


class StillLoop(asyncio.SelectorEventLoop):
    """Runs what is due and never sleeps. What is given to a thread is done when ``settle`` comes to it,
    or later, while ``held``."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.held = False
        self._clock = clock
        self._jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any], int]] = deque()
        self.mark: Callable[[], int] = lambda: 0
        """Asked when a job is given to a thread; ``begin`` is told the answer when it is done."""
        self.begin: Callable[[int | None], None] = lambda mark: None

    def time(self) -> float:
        return self._clock.boot()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future: asyncio.Future[Any] = self.create_future()
        self._jobs.append((future, lambda: func(*args), self.mark()))
        return future

    def settle(self, until: Callable[[], bool] = lambda: False) -> None:
        """Turn until nothing is due any more, or ``until`` says so."""
        for _ in range(_MOST_TURNS):
            self.call_soon(self.stop)
            self.run_forever()
            if until():
                return
            if self._jobs and not self.held:
                self._do(*self._jobs.popleft())
            elif not self._ready and not self._is_due():  # type: ignore[attr-defined]
                return
        raise AssertionError("it turns for ever without waiting for anything")

    def _is_due(self) -> bool:
        timers = self._scheduled  # type: ignore[attr-defined]
        return any(not timer._cancelled and timer.when() <= self.time() for timer in timers)

    def _do(self, future: asyncio.Future[Any], work: Callable[[], Any], mark: int) -> None:
        if future.done():
            return
        self.begin(mark)
        try:
            future.set_result(work())
        except BaseException as error:  # as a thread would
            future.set_exception(error)
        finally:
            self.begin(None)
