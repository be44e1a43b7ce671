"""What every runner is given, and what it says at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from swarmd.bench.meter import Meter, Span
from swarmd.bench.suite import Problem

__all__ = ["Attempt", "Clock", "Done", "Runner", "plain_environment"]


class Clock:
    """The time that one problem has taken, as if no reply had come from the cache."""

    def __init__(self, limit_s: float, meter: Meter, now: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._meter = meter
        self._now = now
        self._begun = now()

    def restart(self) -> None:
        """Begin to count now: what was before is preparation."""
        self._begun = self._now()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._now() - self._begun + self._meter.replayed_s

    @property
    def is_over(self) -> bool:
        """Whether the limit is reached."""
        return self.seconds >= self.limit_s


@dataclass(frozen=True)
class Attempt:
    """One problem, and where it is to be solved."""

    problem: Problem
    repository: Path
    """The problem's repository. What stands in its working tree at the end is judged."""
    scratch: Path
    """An empty folder for everything else."""
    clock: Clock
    endpoint: str
    """The proxy; ends in /v1."""


@dataclass(frozen=True)
class Done:
    """What the runner says."""

    claimed: bool
    """It says that the problem is solved."""
    timed_out: bool = False
    error: str = ""
    """Code and message of what went wrong."""
    gates: tuple[Span, ...] = ()
    """When tests or other gates ran."""
    seconds: float = 0.0
    """As the clock showed at the end of the work, before anything was put away."""
    detail: dict[str, Any] = field(default_factory=dict)


class Runner(Protocol):
    """One way to solve problems."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that it asks."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Everything that its results depend on beside the models."""
        ...

    def solve(self, attempt: Attempt) -> Done:
        """Work on one problem until it is solved, given up, or the clock is over.

        Raises SwarmdError when it cannot work at all, which ends the run.
        """
        ...


def plain_environment(home: Path) -> dict[str, str]:
    """This process's environment without settings of swarmd, proxies and keys, on a home of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SWARMD_", "AIDER_", "GIT_"))
        and not name.lower().endswith(("_proxy", "_key", "_token", "_secret"))
    }
    fixed = {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    return {**kept, **fixed, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
