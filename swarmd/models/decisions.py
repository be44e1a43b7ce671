"""What the manager says of its decisions, as fields of events; sizes are in MiB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from swarmd.config import EngineSettings
from swarmd.errors import ModelError
from swarmd.models.fitting import Footprint, Profile, Room, footprint, ladder
from swarmd.models.gguf import Shape

__all__ = ["loaded", "no_memory", "ran_out", "reduced", "too_large", "waits"]


def loaded(model: str, pid: int, latency_ms: int, profile: Profile, need: Footprint) -> dict[str, Any]:
    """Of model_loaded: how long it took, and with what."""
    facts = {"model": model, "provider": "embedded", "pid": pid, "latency_ms": latency_ms}
    sizes = {"ram_mib": need.ram >> 20, "vram_mib": need.vram >> 20}
    return facts | sizes | {"cache": profile.cache} | profile.counts()


def reduced(model: str, shape: Shape, wish: Profile, step: Profile, room: Room) -> dict[str, Any] | None:
    """Of model_reduced: it is loaded with ``step`` where ``wish`` does not fit. None: nothing is less."""
    changed = step.compared_to(wish)
    if not changed:
        return None
    only_slots = replace(step, slots=wish.slots) == wish
    level = "info" if only_slots else "warning"
    return {"model": model, "then": changed, "level": level} | _sizes(footprint(shape, wish), room)


def waits(model: str, need: Footprint, room: Room, others: Sequence[str]) -> dict[str, Any]:
    """Of model_waits: ``others`` are in use and have its place."""
    return {"model": model, "why": f"{', '.join(others)}: in use, and no room beside"} | _sizes(need, room)


def ran_out(model: str, need: Footprint, then: str) -> dict[str, Any]:
    """Of model_out_of_memory: what its engine was planned to take, and what follows."""
    sizes = {"ram_mib": need.ram >> 20, "vram_mib": need.vram >> 20}
    return {"model": model, "level": "warning", "then": then} | sizes


def too_large(
    model: str, shape: Shape, wish: Profile, room: Room, engine: EngineSettings
) -> tuple[dict[str, Any], ModelError]:
    """Of model_too_large, and the error: not even the least that the settings allow fits ``room``."""
    *_, least = ladder(wish, engine)
    need = footprint(shape, replace(least, gpu_layers=0))
    error = ModelError(
        f"{model} needs {need.ram >> 20} MiB of memory at least; {room.ram >> 20} MiB may be used",
        code="E-MODEL-MEMORY",
        hint="End other programs, raise engine.memory_mib in swarmd.toml, or use a smaller model; "
        '"swarmd model plan" shows the arithmetic.',
    )
    return {"model": model, "level": "error"} | _sizes(need, room), error


def no_memory(model: str) -> ModelError:
    """The error of a model that ran out of memory and cannot do with less."""
    return ModelError(
        f"memory ran out while {model} was loaded with the least that it can do with",
        code="E-MODEL-MEMORY",
        hint='End other programs, or use a smaller model; "swarmd model plan" shows the arithmetic.',
    )


def _sizes(need: Footprint, room: Room) -> dict[str, int]:
    sizes = {"needs_mib": need.ram >> 20, "free_mib": room.ram >> 20}
    if room.vram is not None:
        sizes |= {"needs_vram_mib": need.vram >> 20, "free_vram_mib": room.vram >> 20}
    return sizes
