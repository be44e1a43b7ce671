"""Which embedded models are loaded: what fits stays warm, what does not takes turns.

A model is loaded when it is first used, with what its settings ask for if that fits, else with less. Loads
happen one after the other, in the order in which they were asked for. Where a model needs the place of
others, those that were not used for longest go; one that is in use goes when its calls have ended, and its
further calls wait for their turn behind the other model. Every decision is told as an event: model_loaded,
model_reduced, model_waits, model_unloaded, model_lost, model_out_of_memory, model_too_large.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from swarmd.config import Settings
from swarmd.errors import ConfigError, ModelUnreachableError
from swarmd.models import decisions
from swarmd.models.engine_process import EngineOptions, EngineProcess, default_threads, has_gpu_build
from swarmd.models.fitting import Profile, Room, fit, footprint, lower, room, wished
from swarmd.models.gguf import Shape, read_shape
from swarmd.models.memory import MachineMemory, MemorySource, Reading
from swarmd.models.residents import Emit, Engine, Resident, Residents
from swarmd.models.store import Store

__all__ = ["Manager"]

CEILING_S = 600.0
"""For so long after an out-of-memory a model is loaded with no more than what was tried next."""
MOST_LOADS = 3
"""Of one call, after the first: an engine that has died by the time the call comes to it is loaded again."""
RECOVERY_S, RECOVERY_STEP_S = 5.0, 0.1
"""A GPU's driver gives memory back some time after the process has ended."""


@dataclass(frozen=True)
class _Known:
    path: Path
    shape: Shape


class Manager:
    """The engines of one broker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        runtime: Path,
        *,
        emit: Emit = lambda event, fields: None,
        memory: MemorySource | None = None,
        spawn: Callable[[EngineOptions, Path], Engine] = EngineProcess,
        gpu_build: Callable[[], Awaitable[bool]] = has_gpu_build,
    ) -> None:
        """``runtime`` is a private folder for sockets."""
        self._settings = settings
        self._store = store
        self._runtime = runtime
        self._emit = emit
        self._memory = memory or MachineMemory()
        self._spawn = spawn
        self._gpu_build = gpu_build
        self._gpu: bool | None = None
        """Whether engines can use a GPU here; None: nobody has looked."""
        self._reading: Reading | None = None
        self._residents = Residents(runtime, emit)
        self._known: dict[str, _Known] = {}
        self._ceilings: dict[str, tuple[Profile, float]] = {}
        """What a model that ran out of memory may have at most, and until when on the loop's clock."""
        self._loads = asyncio.Lock()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # --- what others may know ------------------------------------------------------------------------

    def resident(self, model: str) -> Resident | None:
        """``model`` as it is loaded, if it is and may stay."""
        resident = self._residents.get(model)
        usable = resident is not None and resident.engine.alive and not resident.leaving
        return resident if usable else None

    def is_loaded(self, model: str) -> bool:
        """Whether ``model`` answers without being loaded first."""
        return self.resident(model) is not None

    def fits(self, model: str) -> bool:
        """Whether ``model`` is loaded, or could be without another one's end, as far as the last look at the
        memory tells."""
        if self.is_loaded(model) or not self._residents.all():
            return True
        if self._reading is None or model not in self._known:
            return False
        shape, now = self._known[model].shape, self._room(self._reading)
        wish = self._wish(model, shape, now)
        return now.holds(footprint(shape, replace(wish, slots=wish.parallel)))

    # --- using a model -------------------------------------------------------------------------------

    @asynccontextmanager
    async def use(self, model: str, *, turn: bool = True) -> AsyncIterator[Resident]:
        """``model``, loaded, for one call; until that ends it is not unloaded. Waits for room, and with
        ``turn`` until the engine has a place for the call.

        Raises ModelError (E-MODEL-MEMORY) where it cannot fit, WeightsError, ConfigError, and
        ModelUnreachableError when its engine does not start.
        """
        resident = await self._enter(model)
        try:
            if turn:
                async with resident.turns:
                    yield resident
            else:
                yield resident
        finally:
            resident.in_use -= 1
            self._residents.touch(resident)

    async def _enter(self, model: str) -> Resident:
        self._residents.wanted[model] += 1
        loads = 0
        try:
            while loads <= MOST_LOADS:
                if resident := self.resident(model):
                    resident.in_use += 1
                    self._residents.touch(resident)
                    return resident
                leaving = self._residents.get(model)
                if leaving is not None and leaving.leaving:
                    await self._residents.wait()
                    continue
                async with self._locks[model]:
                    if not self.is_loaded(model):
                        loads += 1
                        await self._load(model)
            raise ModelUnreachableError(f"the engine of {model} ends again and again once it has loaded")
        finally:
            self._residents.wanted[model] -= 1

    async def check(self, resident: Resident) -> None:
        """Look after an engine that has kept a call waiting too long, and end it if it is stuck: the next
        call has it loaded anew."""
        if self._residents.get(resident.model) is resident and not await resident.engine.answers():
            await self._bury(resident, "it does not answer any more")

    async def ready(self, model: str) -> None:
        """Nothing, if ``model`` is loaded and answers, or could be loaded: its weights are there. Raises
        WeightsError, ConfigError, ModelUnreachableError."""
        resident = self.resident(model)
        if resident is None:
            await self._look_up(model)
        elif not await resident.engine.answers():
            raise ModelUnreachableError(f"the engine of {model} does not answer")

    async def close(self) -> None:
        """End every engine."""
        await self._residents.close()

    # --- loading -------------------------------------------------------------------------------------

    async def _load(self, model: str) -> None:
        async with self._loads:
            if dead := self._residents.get(model):
                await self._bury(dead, "its engine has ended")
            known = await self._look_up(model)
            profile = await self._make_room(model, known.shape)
            while not await self._start(model, known, profile):
                profile = self._stepped_down(model, known.shape, profile)
                for other in self._residents.all():
                    if not self._residents.is_busy(other):
                        await self._residents.end(other, f"memory ran out while {model} was loaded")

    async def _look_up(self, model: str) -> _Known:
        weights = self._settings.models[model].weights
        if not weights:
            raise ConfigError(
                f"models.{model} has no weights, and no Ollama that has it can be reached",
                hint='Set its "weights", or start Ollama and pull the model there.',
                field=f"models.{model}.weights",
            )
        path = await asyncio.to_thread(self._store.path, weights)
        known = self._known.get(model)
        if known is None or known.path != path:
            known = self._known[model] = _Known(path, await asyncio.to_thread(read_shape, path))
        return known

    async def _start(self, model: str, known: _Known, profile: Profile) -> bool:
        """Whether the engine has started; False when it ran out of memory. Raises ModelUnreachableError."""
        settings, loop = self._settings.models[model], asyncio.get_running_loop()
        options = EngineOptions(
            model=model,
            weights=known.path,
            context=profile.context,
            parallel=profile.slots,
            threads=settings.threads or default_threads(),
            gpu_layers=self._layers(model, profile),
            cache_type=profile.cache,
            embeddings=settings.embeddings,
        )
        engine, begun = self._spawn(options, self._runtime), loop.time()
        try:
            await engine.start(settings.first_token_s)
        except ModelUnreachableError:
            if engine.ran_out_of_memory():
                return False
            raise
        need, turns = footprint(known.shape, profile), asyncio.Semaphore(profile.parallel)
        self._residents.add(Resident(model, engine, profile, need, turns, loop.time()))
        took = int((loop.time() - begun) * 1000)
        self._emit("model_loaded", decisions.loaded(model, engine.pid, took, profile, need))
        return True

    def _layers(self, model: str, profile: Profile) -> int | str:
        """What the engine is told of a GPU. One that NVML does not know it looks for itself."""
        if self._gpu or self._settings.engine.gpu_memory_mib == 0 or (self._reading and self._reading.gpus):
            return profile.gpu_layers
        return self._settings.models[model].gpu_layers

    def _stepped_down(self, model: str, shape: Shape, profile: Profile) -> Profile:
        """What to try after memory ran out with ``profile``. Raises ModelError when there is nothing."""
        less, need = lower(profile, self._settings.engine), footprint(shape, profile)
        then = less.compared_to(profile) if less else "given up"
        self._emit("model_out_of_memory", decisions.ran_out(model, need, then))
        if less is None:
            raise decisions.no_memory(model)
        self._ceilings[model] = (less, asyncio.get_running_loop().time() + CEILING_S)
        return less

    async def _bury(self, resident: Resident, why: str) -> None:
        """Forget an engine that is dead or stuck. If memory ran out, the next one gets less."""
        out_of_memory = resident.engine.ran_out_of_memory()
        await resident.engine.stop()
        if not self._residents.forget(resident):
            return
        self._emit("model_lost", {"model": resident.model, "why": why, "level": "warning"})
        if out_of_memory:
            self._stepped_down(resident.model, self._known[resident.model].shape, resident.profile)

    # --- room ----------------------------------------------------------------------------------------

    async def _make_room(self, model: str, shape: Shape) -> Profile:
        """What ``model`` can be loaded with, after waiting for others and ending them if need be."""
        loop = asyncio.get_running_loop()
        patience_ends, told = loop.time() + self._settings.engine.swap_after_s, False
        while True:
            reading = await self._look()
            now, alone = self._room(reading), self._room(reading, gone=self._residents.all())
            wish = self._wish(model, shape, now)
            best = fit(shape, wish, alone, self._settings.engine)
            if best is None:
                told_as, error = decisions.too_large(model, shape, wish, alone, self._settings.engine)
                self._emit("model_too_large", told_as)
                raise error
            thrifty = replace(best, slots=best.parallel)  # a slot more is not worth another one's place
            for step in (best, thrifty):
                if now.holds(footprint(shape, step)):
                    if fields := decisions.reduced(model, shape, wish, step, alone):
                        self._emit("model_reduced", fields)
                    return step
            need = footprint(shape, thrifty)
            victims = self._residents.victims(need, partial(self._room, reading))
            left, idle_in = patience_ends - loop.time(), self._residents.idle_in(victims)
            if idle_in == 0 or left <= 0:
                await self._residents.end_after_calls(victims, f"{model} needs the room")
                await self._recovered(sum(one.need.vram for one in victims))
                continue
            if not told:
                told = True
                names = [one.model for one in victims]
                self._emit("model_waits", decisions.waits(model, need, now, names))
            await self._residents.wait(left if idle_in is None else min(left, idle_in))

    def _wish(self, model: str, shape: Shape, now: Room) -> Profile:
        """What the settings ask for, at most what is allowed after a recent out-of-memory."""
        wish = wished(self._settings.models[model], shape)
        less, until = self._ceilings.get(model, (wish, 0.0))
        if asyncio.get_running_loop().time() < until:
            wish = less
        return wish if now.vram is not None else replace(wish, gpu_layers=0)

    async def _look(self) -> Reading:
        """The memory now; where there is a GPU, once also whether the engine's build can use it."""
        self._reading = reading = await asyncio.to_thread(self._memory.read)
        if self._gpu is None:
            wanted = reading.gpu is not None and self._settings.engine.gpu_memory_mib != 0
            self._gpu = wanted and await self._gpu_build()
        return reading

    def _room(self, reading: Reading, gone: Collection[Resident] = ()) -> Room:
        kept = [one.need for one in self._residents.all() if one not in gone]
        return room(reading, self._settings.engine, kept, [one.need for one in gone], gpu=bool(self._gpu))

    async def _recovered(self, vram: int) -> None:
        """Wait a moment until the GPU's driver shows that ``vram`` is free again."""
        if not vram or self._reading is None or self._reading.gpu is None:
            return
        wanted, loop = self._reading.gpu.free + vram * 8 // 10, asyncio.get_running_loop()
        deadline = loop.time() + RECOVERY_S
        while loop.time() < deadline:
            reading = await asyncio.to_thread(self._memory.read)
            if reading.gpu is None or reading.gpu.free >= wanted:
                return
            await asyncio.sleep(RECOVERY_STEP_S)
