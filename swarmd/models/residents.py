"""The models that are loaded: who uses them, who has to go for another one, and how they go."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swarmd.clock import Clock, SystemClock, rfc3339
from swarmd.models import loaded
from swarmd.models.fitting import Footprint, Profile, Room

__all__ = ["Emit", "Engine", "Resident", "Residents"]

IDLE_GRACE_S = 0.25
"""A model whose last call has just ended is not idle yet: the next one may be on its way."""
PUBLISH_S = 0.2
"""How soon a change is to be seen by the command line."""

Emit = Callable[[str, Mapping[str, Any]], None]
"""Tells of an event: its name and its fields, which are strings and whole numbers."""


class Engine(Protocol):
    """What is needed of an EngineProcess."""

    socket: Path

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        ...

    @property
    def pid(self) -> int:
        """Of its process."""
        ...

    async def start(self, patience_s: float) -> None:
        """Start it and wait until it answers. Raises ModelUnreachableError."""
        ...

    async def answers(self) -> bool:
        """Whether it is alive and not stuck."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...

    def ran_out_of_memory(self) -> bool:
        """Whether it has ended for want of memory."""
        ...


@dataclass(eq=False)
class Resident:
    """A model that is loaded."""

    model: str
    engine: Engine
    profile: Profile
    need: Footprint
    turns: asyncio.Semaphore
    """As many as it answers calls at one time."""
    last_used: float
    """On the loop's clock."""
    last_used_at: str = ""
    """The same for people, RFC 3339."""
    in_use: int = 0
    leaving: bool = False
    """It ends as soon as its calls have; new ones wait until it can be loaded again."""

    async def alive_after(self, tries: int, seconds: float) -> bool:
        """Whether its engine is alive, after giving a death that just happened ``tries`` times ``seconds`` to
        be seen."""
        for _ in range(tries):
            if not self.engine.alive:
                return False
            await asyncio.sleep(seconds)
        return True


class Residents:
    """All of one broker. Whoever waits for a change of theirs is woken by each."""

    def __init__(self, runtime: Path, emit: Emit, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._emit = emit
        self._clock = clock or SystemClock()
        self._by_model: dict[str, Resident] = {}
        self._changed = asyncio.Event()
        self._publishing: asyncio.TimerHandle | None = None
        self.wanted: Counter[str] = Counter()
        """Calls that wait for a model to be loaded."""

    def get(self, model: str) -> Resident | None:
        """``model`` as it is loaded, its engine may be dead."""
        return self._by_model.get(model)

    def all(self) -> list[Resident]:
        """Every one, in no order."""
        return list(self._by_model.values())

    def add(self, resident: Resident) -> None:
        """One more is loaded."""
        self._by_model[resident.model] = resident
        self.touch(resident)

    def touch(self, resident: Resident) -> None:
        """A call has begun or ended, or it was loaded."""
        resident.last_used = asyncio.get_running_loop().time()
        resident.last_used_at = rfc3339(self._clock.now())
        self.notify()

    def forget(self, resident: Resident) -> bool:
        """It is gone. False when it was not there."""
        there = self._by_model.get(resident.model) is resident
        if there:
            del self._by_model[resident.model]
            self.notify()
        return there

    # --- waiting -------------------------------------------------------------------------------------

    def notify(self) -> None:
        """Wake those who wait for a change, and show it to the command line soon."""
        self._changed.set()
        self._changed = asyncio.Event()
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_later(PUBLISH_S, self._publish)

    async def wait(self, seconds: float | None = None) -> None:
        """Until something changes, at most ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    # --- who goes ------------------------------------------------------------------------------------

    def is_busy(self, one: Resident) -> bool:
        """Whether it answers a call, or one waits for it."""
        return one.in_use > 0 or (one.engine.alive and self.wanted[one.model] > 0)

    def idle_in(self, some: Collection[Resident]) -> float | None:
        """Seconds until all of ``some`` count as idle; None while one is busy."""
        if any(self.is_busy(one) for one in some):
            return None
        now = asyncio.get_running_loop().time()
        return max((max(0.0, one.last_used + IDLE_GRACE_S - now) for one in some), default=0.0)

    def victims(self, need: Footprint, room_without: Callable[[list[Resident]], Room]) -> list[Resident]:
        """Who has to go for ``need``: idle ones first, the longest unused first, and no more than needed.
        ``room_without`` says what there is when those given to it are gone."""
        order = sorted(self.all(), key=lambda one: (self.is_busy(one), one.last_used))
        chosen: list[Resident] = []
        for one in order:
            if room_without(chosen).holds(need):
                break
            chosen.append(one)
        for one in reversed(chosen[:-1]):
            others = [other for other in chosen if other is not one]
            if room_without(others).holds(need):
                chosen = others
        return chosen

    async def end_after_calls(self, some: Collection[Resident], why: str) -> None:
        """End each of ``some`` as soon as no call uses it any more; new calls of theirs wait meanwhile."""
        try:
            for one in some:
                one.leaving = True
            self.notify()
            while any(one.in_use for one in some):
                await self.wait()
            for one in some:
                await self.end(one, why)
        finally:
            for one in some:
                one.leaving = False
            self.notify()

    async def end(self, resident: Resident, why: str) -> None:
        """End it now. No call gets it any more while it ends."""
        resident.leaving = True
        try:
            await resident.engine.stop()
        except BaseException:
            resident.leaving = False
            self.notify()
            raise
        self.forget(resident)
        idle_ms = int((asyncio.get_running_loop().time() - resident.last_used) * 1000)
        self._emit("model_unloaded", {"model": resident.model, "why": why, "idle_ms": idle_ms})

    async def close(self) -> None:
        """End all, and leave no trace for the command line."""
        residents = self.all()
        self._by_model.clear()
        await asyncio.gather(*(one.engine.stop() for one in residents))
        if self._publishing is not None:
            self._publishing.cancel()
        with suppress(OSError):
            loaded.file_of(self._runtime, os.getpid()).unlink(missing_ok=True)

    def _publish(self) -> None:
        self._publishing = None
        loaded.publish(self._runtime, [self._shown(one) for one in self.all()])

    def _shown(self, one: Resident) -> loaded.Loaded:
        return loaded.Loaded(
            model=one.model,
            pid=one.engine.pid,
            state="leaving" if one.leaving else "busy" if one.in_use else "idle",
            calls=one.in_use,
            waiting=self.wanted[one.model],
            context=one.profile.context,
            parallel=one.profile.parallel,
            slots=one.profile.slots,
            cache=one.profile.cache,
            gpu_layers=one.profile.gpu_layers,
            ram_bytes=one.need.ram,
            vram_bytes=one.need.vram,
            last_used=one.last_used_at,
        )
