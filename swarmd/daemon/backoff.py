"""How soon something that failed is started again: later each time, and never all at one moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from swarmd.clock import Clock
from swarmd.config import DaemonSettings

__all__ = ["MAX_BOOT_FAILURES", "Delays", "Restarts"]

MAX_BOOT_FAILURES = 3
"""After so many workers of a type in a row that died before READY, the type counts as broken."""
STABLE_S = 60.0
"""What has run for so long has not failed in a row with what was before."""

_STEPS_S = (0.0, 0.2, 1.0, 3.0, 10.0, 30.0)
_FIRST_S, _LONGEST_S = 0.25, 10.0


class Delays:
    """The waits before the first, second … start in a row of one process that must always run."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait before the start that comes now."""
        step = _STEPS_S[min(self._failures, len(_STEPS_S) - 1)]
        self._failures += 1
        return step * self._random.uniform(0.75, 1.25)

    def settled(self) -> None:
        """It works: the next failure is the first one."""
        self._failures = 1


@dataclass
class _Type:
    """What has happened to the workers of one type."""

    failures: deque[float] = field(default_factory=deque)
    """When they failed, as far as that lies in the window."""
    boots: int = 0
    """How many in a row died before READY."""
    until: float = 0.0
    """No worker is started before that."""
    paused: bool = False


class Restarts:
    """When a worker of a type may be started. All moments are on the boot clock."""

    def __init__(self, clock: Clock, settings: Callable[[], DaemonSettings], random: Random) -> None:
        self._clock = clock
        self._settings = settings
        self._random = random
        self._types: dict[str, _Type] = {}

    def failed(self, name: str, *, booting: bool) -> float | None:
        """A worker of type ``name`` has ended that should not have; ``booting``: before it was ready.

        Returns for how many seconds the type pauses, when this was one too many.
        """
        limits, now = self._settings(), self._clock.boot()
        known = self._types.setdefault(name, _Type())
        known.failures.append(now)
        while now - known.failures[0] > limits.restart_window_s:
            known.failures.popleft()
        known.boots = known.boots + 1 if booting else 0
        if len(known.failures) >= limits.restart_failures or known.boots >= MAX_BOOT_FAILURES:
            pause = limits.restart_pause_s * self._random.uniform(0.75, 1.25)
            known.failures.clear()
            known.until, known.paused = now + pause, True
            return pause
        again = len(known.failures) - (0 if booting else 1)  # one that worked may be replaced at once
        delay = min(_FIRST_S * 2.0**again, _LONGEST_S) if again else 0.0
        known.until = max(known.until, now + delay * self._random.uniform(0.5, 1.0))
        return None

    def started(self, name: str) -> None:
        """A worker of the type is ready."""
        if name in self._types:
            self._types[name].boots = 0

    def wait(self, name: str) -> float:
        """Seconds until a worker of the type may be started; 0: now."""
        known = self._types.get(name)
        return max(0.0, known.until - self._clock.boot()) if known else 0.0

    def broken(self, name: str) -> bool:
        """Whether workers of this type cannot even start, as far as is known now."""
        known = self._types.get(name)
        return known is not None and known.boots >= MAX_BOOT_FAILURES and self.wait(name) > 0

    def resumed(self) -> list[str]:
        """The types whose pause has ended since the last call."""
        over = [name for name, known in self._types.items() if known.paused and self.wait(name) == 0]
        for name in over:
            self._types[name].paused = False
        return over
