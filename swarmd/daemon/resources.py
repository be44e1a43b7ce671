"""Whether the machine has room for one more worker."""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil

from swarmd.clock import Clock
from swarmd.config import DaemonSettings

__all__ = ["Resources"]

LOOK_S = 1.0
"""How old a measurement may be."""


class Resources:
    """Free memory and load, as far as they keep workers from being started."""

    def __init__(self, clock: Clock, settings: Callable[[], DaemonSettings]) -> None:
        self._clock = clock
        self._settings = settings
        self._looked = float("-inf")
        self._free = 0
        self._load = 0.0
        self._cores = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )

    def refusal(self, *, first: bool) -> str | None:
        """Why no worker may be started now; None: one may.

        The ``first`` of its type is kept back by a lack of memory only: a machine that others keep busy
        still gets on.
        """
        limits, now = self._settings(), self._clock.boot()
        if not 0 <= now - self._looked < LOOK_S:
            self._looked, self._free, self._load = now, psutil.virtual_memory().available, os.getloadavg()[0]
        if self._free < limits.min_free_memory_mib << 20:
            return f"only {self._free >> 20} MiB of memory are free, under {limits.min_free_memory_mib}"
        most = limits.max_load_per_core * self._cores
        if most and self._load > most and not first:
            return f"the machine's load is {self._load:.1f}, over {most:.1f}"
        return None
