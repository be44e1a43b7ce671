"""The crew as others see it: the registry files follow the workers, not more often than is of use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import psutil

from swarmd.agents.handle import Worker
from swarmd.clock import Clock
from swarmd.council.registry import Registry

__all__ = ["Roster"]

MEASURE_S = 5.0
"""How often a worker's memory and CPU are looked at."""


class Roster:
    """Keeps the registry files in step with ``workers``, at most every ``every_s()`` seconds."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        workers: Mapping[str, Worker],
        skills: Callable[[str], list[str]],
        every_s: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._workers = workers
        self._skills = skills
        self._every_s = every_s
        self._written = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._shown: dict[str, float] = {}
        """The last beat of each worker that the files show."""
        self._measured: dict[str, float] = {}
        self._processes: dict[str, psutil.Process] = {}

    def publish(self) -> None:
        """Something may have changed: the files say so now, or as soon as they may be written again."""
        if self._timer is not None:
            return
        wait = self._written + self._every_s() - self._clock.boot()
        if wait <= 0:
            self.write()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.write()

    def write(self) -> None:
        """Have the files say how things stand, if they do not. One that cannot be written waits."""
        now = self._written = self._clock.boot()
        for worker in self._workers.values():
            if worker.pid:
                self._show(worker, now)
        if self._registry.changed:
            with contextlib.suppress(OSError):  # a view: the next time is soon
                self._registry.write()

    def _show(self, worker: Worker, now: float) -> None:
        name = worker.name
        if not self._registry.runs(name):
            self.add(worker)
        if worker.ready and worker.work and worker.request_id:
            self._registry.working(name, worker.request_id, worker.task_id or "")
        elif worker.ready:
            self._registry.idle(name)
        if worker.last_beat > self._shown.get(name, worker.started):
            self._shown[name] = worker.last_beat
            self._registry.beat(name, worker.progress, worker.doing if worker.work else "")
        if now - self._measured.get(name, float("-inf")) >= MEASURE_S:
            self._measured[name] = now
            self._measure(worker)

    def _measure(self, worker: Worker) -> None:
        with contextlib.suppress(psutil.Error):
            process = self._processes.get(worker.name)
            if process is None:
                process = self._processes[worker.name] = psutil.Process(worker.pid)
            with process.oneshot():
                used, busy = process.memory_info().rss, process.cpu_percent()
            self._registry.measured(worker.name, used, busy)

    def add(self, worker: Worker) -> None:
        """``worker`` has a process."""
        self._registry.spawned(
            worker.name, worker.agent_type, self._skills(worker.agent_type), worker.pid, worker.start_ticks
        )

    def remove(self, worker: Worker, *, lost: bool) -> None:
        """The process of ``worker`` has ended; ``lost``: without having been told to."""
        self._registry.ended(worker.name, lost=lost)
        for known in (self._shown, self._measured, self._processes):
            known.pop(worker.name, None)
        self.publish()

    def close(self) -> None:
        """Write what is left, and nothing any more by itself."""
        if self._timer is not None:
            self._timer.cancel()
        self.write()
