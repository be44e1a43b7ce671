"""How often to look while waiting, and when to give up.

What waits is written once, as a generator of *steps*: it yields a pause, in seconds, whenever there is
nothing to do, and returns what it waited for. ``swarmd.client`` sleeps for each pause, and
``swarmd.client.aio`` lets the event loop run meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from swarmd.audit import Line
from swarmd.errors import SwarmdError

__all__ = ["Pace", "Steps", "WaitTimeoutError"]

FIRST_S = 0.001
LAST_S = 0.1
SHARE = 8
"""A pause is as long as this part of what was waited: what comes late may be seen a little later."""

T = TypeVar("T")
Steps: TypeAlias = Generator[float | Line, None, T]


class WaitTimeoutError(SwarmdError, TimeoutError):
    """It goes on without you. Wait again with "swarmd task watch", or give a longer timeout."""

    code = "E-TIMEOUT"
    exit_code = 124


class Pace:
    """Pauses of 1 ms at first, growing to 100 ms, and the time that is left."""

    def __init__(self, timeout: float | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``timeout`` in seconds; None: no end."""
        self._timeout = timeout
        self._monotonic = monotonic
        self._began = monotonic()
        self._last: dict[str, float] = {}

    @property
    def waited(self) -> float:
        """Seconds since the beginning."""
        return self._monotonic() - self._began

    def pause(self) -> float:
        """How long to pause now."""
        wanted = min(max(FIRST_S, self.waited / SHARE), LAST_S)
        return wanted if self._timeout is None else max(0.0, min(wanted, self._timeout - self.waited))

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._timeout is not None and self.waited >= self._timeout

    def check(self, what: str) -> None:
        """Raise WaitTimeoutError, with ``what`` has not happened, when the time is up."""
        if self.is_over():
            raise WaitTimeoutError(f"{what} after {self._timeout:g} seconds")

    def is_due(self, name: str, every_s: float) -> bool:
        """Whether to do what is worth it only every so many seconds: the first time, and then again."""
        waited = self.waited
        if name in self._last and waited - self._last[name] < every_s:
            return False
        self._last[name] = waited
        return True
