"""What a model takes in memory, and how it is made to fit: pure arithmetic, with the steps that it took.

The formulas are those by which llama.cpp allocates (checked against its log, see docs/engine.md)::

    RAM   = weights + repacked copy + KV cache + process, buffers and mask       without a GPU
    VRAM  = (weights + KV cache) x GPU layers / (layers + 1)                     with one
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from swarmd.config import EngineSettings, ModelSettings
from swarmd.models.gguf import GPU_MARGIN_BYTES, CacheType, Shape, gpu_layers_that_fit
from swarmd.models.memory import Reading

__all__ = ["Footprint", "Profile", "Room", "fit", "footprint", "ladder", "lower", "room", "wished"]

MIB = 1024 * 1024
DEFAULT_SLOTS = 2


@dataclass(frozen=True)
class Profile:
    """What an engine is loaded with."""

    context: int
    """Tokens of one call."""
    parallel: int
    """Calls at one time."""
    slots: int
    """Prompts that are kept, at least ``parallel``."""
    cache: CacheType = "f16"
    gpu_layers: int = 0
    """The output layer counts as one."""

    def counts(self) -> dict[str, int]:
        """Its numbers by name."""
        return {
            "slots": self.slots,
            "parallel": self.parallel,
            "context": self.context,
            "gpu_layers": self.gpu_layers,
        }

    def compared_to(self, wish: Profile) -> str:
        """What is less than in ``wish``, in words: "context 4096 -> 2048"; empty: nothing."""
        before = wish.counts()
        pairs = ((name, before[name], now) for name, now in self.counts().items())
        return ", ".join(f"{name} {was} -> {now}" for name, was, now in pairs if now < was)


@dataclass(frozen=True)
class Footprint:
    """What an engine takes, in bytes."""

    ram: int
    vram: int = 0
    mapped: int = 0
    """The part of ``ram`` that is the file of weights itself: the system counts it as a cache, so as free."""


@dataclass(frozen=True)
class Room:
    """What there is, in bytes. ``vram`` is None where no GPU can be used."""

    ram: int
    vram: int | None = None

    def holds(self, need: Footprint) -> bool:
        """Whether ``need`` fits."""
        return need.ram <= self.ram and need.vram <= max(0, (self.vram or 0) - _gpu_margin(need))


def room(
    reading: Reading,
    engine: EngineSettings,
    kept: Collection[Footprint] = (),
    gone: Collection[Footprint] = (),
    *,
    gpu: bool = True,
) -> Room:
    """What a further engine may take while those of ``kept`` stay and those of ``gone``, which are there
    now, have ended: the limit less the plans of those that stay, or what is free, if that is less.
    The weights of those that stay are not free, although the system counts a file that is mapped so."""
    ram = reading.free - engine.margin_mib * MIB
    ram += sum(one.ram - one.mapped for one in gone) - sum(one.mapped for one in kept)
    if engine.memory_mib is not None:
        ram = min(ram, engine.memory_mib * MIB - sum(one.ram for one in kept))
    if not gpu or reading.gpu is None or engine.gpu_memory_mib == 0:
        return Room(max(0, ram))
    vram = reading.gpu.free + sum(one.vram for one in gone)
    if engine.gpu_memory_mib is not None:
        vram = min(vram, engine.gpu_memory_mib * MIB - sum(one.vram for one in kept))
    return Room(max(0, ram), max(0, vram))


def _gpu_margin(need: Footprint) -> int:
    return GPU_MARGIN_BYTES if need.vram else 0


def wished(settings: ModelSettings, shape: Shape) -> Profile:
    """What ``settings`` ask for, with everything on the GPU where they leave that open."""
    everything = shape.layers + 1
    layers = everything if settings.gpu_layers == "auto" else min(settings.gpu_layers, everything)
    slots = max(settings.slots or DEFAULT_SLOTS, settings.parallel)
    return Profile(settings.context, settings.parallel, slots, settings.cache_type, max(0, layers))


def footprint(shape: Shape, profile: Profile) -> Footprint:
    """What an engine of ``profile`` takes. Layers on the GPU are not held in RAM."""
    tokens = profile.context * profile.slots
    cache = shape.kv_bytes(tokens, profile.cache)
    everything = shape.layers + 1
    here = everything - profile.gpu_layers
    mapped = shape.file_bytes * here // everything
    ram = mapped + (shape.repack_bytes + cache) * here // everything
    vram = (shape.file_bytes + cache) * profile.gpu_layers // everything
    return Footprint(ram + shape.compute_bytes(profile.context), vram, mapped)


def fit(shape: Shape, wish: Profile, room: Room, engine: EngineSettings) -> Profile | None:
    """The profile nearest to ``wish`` that fits ``room``: fewer layers on the GPU first, which costs speed
    only; then fewer slots, then a shorter context. None: not even the least does."""
    for step in ladder(wish, engine):
        fitted = _on_gpu(shape, step, room)
        if room.holds(footprint(shape, fitted)):
            return fitted
    return None


def _on_gpu(shape: Shape, step: Profile, room: Room) -> Profile:
    """``step`` with as many of its GPU layers as there is room for."""
    tokens = step.context * step.slots
    most = 0 if room.vram is None else gpu_layers_that_fit(shape, tokens, room.vram, step.cache)
    return replace(step, gpu_layers=min(step.gpu_layers, most))


def ladder(wish: Profile, engine: EngineSettings) -> Iterator[Profile]:
    """``wish``, and what is asked for instead where memory is short, each less than the one before."""
    step: Profile | None = wish
    while step is not None:
        yield step
        step = _smaller(step, engine)


def _smaller(profile: Profile, engine: EngineSettings) -> Profile | None:
    least = min(profile.context, engine.min_context)
    if profile.slots > profile.parallel:
        return replace(profile, slots=profile.parallel)
    if profile.parallel > 1:
        fewer = profile.parallel // 2
        return replace(profile, parallel=fewer, slots=fewer)
    if profile.context > least:
        return replace(profile, context=max(least, profile.context // 2))
    return None


def lower(profile: Profile, engine: EngineSettings) -> Profile | None:
    """The next thing to try when memory ran out with ``profile``: a quarter of the layers fewer on the GPU,
    then less of the rest. None: there is nothing less."""
    if profile.gpu_layers > 0:
        return replace(profile, gpu_layers=profile.gpu_layers - max(1, profile.gpu_layers // 4))
    return _smaller(profile, engine)
