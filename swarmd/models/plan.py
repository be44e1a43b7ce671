"""What fits this machine: the manager's arithmetic, asked beforehand and with every summand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swarmd.config import EngineSettings, ModelSettings, Settings
from swarmd.errors import ModelError
from swarmd.models import loaded
from swarmd.models.engine_process import has_gpu_build
from swarmd.models.fitting import Footprint, Profile, Room, fit, footprint, room, wished
from swarmd.models.gguf import CACHE_BYTES, CacheType, Shape, read_shape
from swarmd.models.memory import MemorySource, Reading
from swarmd.models.store import Store

__all__ = ["Choice", "Machine", "ModelPlan", "look", "plan", "together"]

FIRST_CONTEXT = 2048


@dataclass(frozen=True)
class Machine:
    """What there is for models, when none is loaded."""

    reading: Reading
    room: Room
    gpu_usable: bool
    """There is a GPU, and the engine's build can use it."""


@dataclass(frozen=True)
class Choice:
    """One context with one type of cache."""

    context: int
    cache: CacheType
    need: Footprint
    fits: bool
    gpu_layers: int


@dataclass(frozen=True)
class ModelPlan:
    """One model."""

    model: str
    path: Path | None
    shape: Shape | None
    problem: str
    """Why nothing can be said; empty: something can."""
    wish: Profile | None = None
    """What the settings ask for."""
    chosen: Profile | None = None
    """What it is loaded with when nothing else is; None: it cannot be."""
    choices: tuple[Choice, ...] = ()

    @property
    def need(self) -> Footprint | None:
        """Of ``chosen``."""
        return footprint(self.shape, self.chosen) if self.shape and self.chosen else None

    def longest(self, cache: CacheType) -> int:
        """The longest context of ``choices`` that fits; 0: none."""
        fitting = (one.context for one in self.choices if one.fits and one.cache == cache)
        return max(fitting, default=0)


def look(memory: MemorySource, engine: EngineSettings, runtime: Path) -> Machine:
    """The machine as it would be without the models that brokers of this home have loaded."""
    reading = memory.read()
    wanted = reading.gpu is not None and engine.gpu_memory_mib != 0
    usable = wanted and asyncio.run(has_gpu_build())
    gone = [_taken(one) for models in loaded.read(runtime).values() for one in models]
    return Machine(reading, room(reading, engine, gone=gone, gpu=usable), usable)


def _taken(one: loaded.Loaded) -> Footprint:
    """What ends with a loaded engine: not the file of weights, which only looks like its own."""
    import psutil

    try:
        memory = psutil.Process(one.pid).memory_info()
        return Footprint(max(0, memory.rss - getattr(memory, "shared", 0)), one.vram_bytes)
    except (psutil.Error, OverflowError):
        return Footprint(0, 0)


def plan(settings: Settings, store: Store, machine: Machine, model: str) -> ModelPlan:
    """What ``model`` takes here. It raises nothing: a model that is not here is a plan with a problem."""
    own = settings.models[model]
    if own.provider not in ("auto", "embedded") or not own.weights:
        return ModelPlan(model, None, None, f"it is served by {own.provider}, which plans its memory itself")
    try:
        path = store.find(own.weights)
        shape = read_shape(path)
    except ModelError as error:
        return ModelPlan(model, None, None, f"{error.message}. {error.hint}")
    wish = wished(own, shape)
    if not machine.gpu_usable:
        wish = replace(wish, gpu_layers=0)
    chosen = fit(shape, wish, machine.room, settings.engine)
    choices = tuple(_choices(shape, own, wish, machine.room))
    return ModelPlan(model, path, shape, "", wish, chosen, choices)


def _choices(shape: Shape, own: ModelSettings, wish: Profile, there: Room) -> Iterable[Choice]:
    """Contexts from 2,048 tokens to what the model was trained for, doubled each time; and the one set."""
    contexts, context = {own.context, shape.train_context}, FIRST_CONTEXT
    while context < shape.train_context:
        contexts.add(context)
        context *= 2
    exactly = EngineSettings(min_context=max(shape.train_context, own.context))
    for context in sorted(contexts):
        for cache in CACHE_BYTES:
            asked = replace(wish, context=context, cache=cache)
            fitted = fit(shape, asked, there, exactly)
            whole = fitted is not None and (fitted.slots, fitted.parallel) == (asked.slots, asked.parallel)
            used = fitted if fitted and whole else replace(asked, gpu_layers=0)
            yield Choice(context, cache, footprint(shape, used), whole, used.gpu_layers)


def together(plans: Sequence[ModelPlan], there: Room) -> tuple[Footprint, bool]:
    """What all of ``plans`` take as they are chosen, and whether they can stay loaded side by side."""
    needs = [one.need for one in plans if one.need is not None]
    total = Footprint(sum(need.ram for need in needs), sum(need.vram for need in needs))
    return total, len(needs) == len(plans) and there.holds(total)
