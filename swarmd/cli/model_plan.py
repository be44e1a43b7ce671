"""``swarmd model plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.model_names import TIERS, model_named
from swarmd.cli.output import table

if TYPE_CHECKING:
    from swarmd.models.fitting import Room
    from swarmd.models.plan import Machine, ModelPlan

__all__ = ["plan"]

MIB = 1024 * 1024


@click.command(cls=Command)
@click.argument("names", metavar="[NAME|TIER]...", nargs=-1)
@pass_context
def plan(context: Context, names: tuple[str, ...]) -> int:
    """Show which models fit this machine at which context, with the arithmetic. Nothing is loaded.

    NAME is a model of swarmd.toml, TIER is fast, deep or reviewer. Default: the models of all tiers. Exit
    status 1 when one of them cannot be loaded here.
    """
    from swarmd.models.memory import MachineMemory
    from swarmd.models.plan import look, together
    from swarmd.models.plan import plan as plan_of
    from swarmd.models.store import Store, default_folder

    settings = context.settings
    models = list(dict.fromkeys(model_named(settings, name) for name in names or TIERS))
    machine = look(MachineMemory(), settings.engine, context.home.runtime())
    store = Store(default_folder(settings, context.env))
    plans = [plan_of(settings, store, machine, model) for model in models]
    here = [one for one in plans if one.shape is not None]
    total, beside = together(here, machine.room)
    context.output.document(
        "model plan",
        machine=_machine_json(machine),
        models=[_plan_json(one) for one in plans],
        together={"ram_bytes": total.ram, "vram_bytes": total.vram, "fits": beside},
    )
    for line in _lines(machine, plans, context):
        context.output.line(line)
    return ExitCode.FAILED if any(one.chosen is None for one in here) else ExitCode.OK


def _machine_json(machine: Machine) -> dict[str, Any]:
    return {
        **asdict(machine.reading),
        "gpu_usable": machine.gpu_usable,
        "room_bytes": machine.room.ram,
        "room_vram_bytes": machine.room.vram,
    }


def _plan_json(one: ModelPlan) -> dict[str, Any]:
    return {
        "model": one.model,
        "path": str(one.path) if one.path else None,
        "problem": one.problem or None,
        "shape": asdict(one.shape) if one.shape else None,
        "wish": asdict(one.wish) if one.wish else None,
        "chosen": asdict(one.chosen) if one.chosen else None,
        "need": asdict(one.need) if one.need else None,
        "choices": [asdict(choice) for choice in one.choices],
    }


def _lines(machine: Machine, plans: Sequence[ModelPlan], context: Context) -> Iterator[str]:
    from swarmd.models.plan import together

    yield from _machine_lines(machine, context)
    for one in plans:
        yield ""
        yield context.output.paint(clean(one.model), "bold") + _tiers_of(context, one.model)
        yield from _plan_lines(one, machine.room, context)
    here = [one for one in plans if one.shape is not None]
    if len(here) > 1:
        total, beside = together(here, machine.room)
        yield ""
        said = "they stay loaded side by side" if beside else "they take turns"
        yield f"together {_of(total.ram, machine.room.ram)}{_vram(total.vram)}: {said}"


def _machine_lines(machine: Machine, context: Context) -> Iterator[str]:
    reading, engine = machine.reading, context.settings.engine
    limits = [f"{engine.margin_mib} left free"]
    limits += [f"limited by {clean(reading.limited_by)}"] if reading.limited_by else []
    limits += [f"engine.memory_mib {engine.memory_mib}"] if engine.memory_mib is not None else []
    total, free = reading.total // MIB, reading.free // MIB
    yield f"RAM  {total} MiB, {free} free, {', '.join(limits)}: {machine.room.ram // MIB} MiB for models"
    for gpu in reading.gpus:
        use = (
            "" if machine.gpu_usable else "; not used: by setting, or the installed engine has no GPU support"
        )
        yield f"GPU  {clean(gpu.name)}: {gpu.total // MIB} MiB, {gpu.free // MIB} free{use}"
    if not reading.gpus:
        yield "GPU  none that NVML tells of (it takes the extra swarmd[gpu])"


def _tiers_of(context: Context, model: str) -> str:
    tiers = [tier for tier in TIERS if getattr(context.settings.tiers, tier) == model]
    return f"  ({', '.join(tiers)})" if tiers else ""


def _plan_lines(one: ModelPlan, there: Room, context: Context) -> Iterator[str]:
    if one.shape is None or one.wish is None:
        yield f"  {clean(one.problem)}"
        return
    shape, wish = one.shape, one.wish
    yield f"  {shape.architecture}, {shape.layers} layers, trained for {shape.train_context} tokens"
    per_token = shape.kv_bytes(1024, wish.cache) / 1024 / 1024
    heads = f"{shape.layers} layers x {shape.kv_heads} KV heads"
    if shape.kv_heads_of_layers:
        heads = f"{shape.kv_heads_total} KV heads over all layers"
    lengths = f"({shape.key_length} + {shape.value_length})"
    yield f"  cache: {heads} x {lengths}, {wish.cache}: {per_token:.1f} KiB a token"
    if one.chosen is None:
        yield f"  {context.output.paint('does not fit', 'red')}: not even at engine.min_context"
    yield from _chosen_lines(one, there, context)
    yield from _choice_lines(one, context)


def _chosen_lines(one: ModelPlan, there: Room, context: Context) -> Iterator[str]:
    shape, wish, chosen, need = one.shape, one.wish, one.chosen, one.need
    if shape is None or wish is None or chosen is None or need is None:
        return
    gpu = f", {chosen.gpu_layers} of {shape.layers + 1} layers on the GPU" if there.vram is not None else ""
    calls = "one call" if chosen.parallel == 1 else f"{chosen.parallel} calls"
    slots = "1 slot" if chosen.slots == 1 else f"{chosen.slots} slots"
    how = f"{calls} at a time, {slots}, {chosen.cache}{gpu}"
    yield f"  loaded with a context of {chosen.context} tokens, {how}"
    if less := chosen.compared_to(wish):
        yield f"  {context.output.paint('less than set', 'yellow')}: {less}"
    cache = shape.kv_bytes(chosen.context * chosen.slots, chosen.cache)
    parts = [(shape.file_bytes, "weights"), (shape.repack_bytes, "repacked"), (cache, "cache")]
    here = f" x {shape.layers + 1 - chosen.gpu_layers}/{shape.layers + 1}" if chosen.gpu_layers else ""
    summands = " + ".join(f"{size // MIB} {name}" for size, name in parts if size)
    own = shape.compute_bytes(chosen.context) // MIB
    yield f"  ({summands}){here} + {own} process = {_of(need.ram, there.ram)} of RAM"
    if need.vram:
        on_gpu = f"{chosen.gpu_layers}/{shape.layers + 1}"
        yield (
            f"  ({shape.file_bytes // MIB} weights + {cache // MIB} cache) x {on_gpu} = "
            f"{_of(need.vram, there.vram or 0)} of the GPU's memory, 1024 of them left free"
        )


def _choice_lines(one: ModelPlan, context: Context) -> Iterator[str]:
    caches = list(dict.fromkeys(choice.cache for choice in one.choices))
    rows = []
    for tokens in dict.fromkeys(choice.context for choice in one.choices):
        cells = [choice for choice in one.choices if choice.context == tokens]
        rows.append([str(tokens), *(_cell(choice, context) for choice in cells)])
    for line in table(rows, ["CONTEXT", *caches]):
        yield f"    {line}"
    longest = ", ".join(f"{cache} {one.longest(cache) or 'none'}" for cache in caches)
    slots = one.wish.slots if one.wish else 1
    yield f"  longest context that fits, with {slots} slots: {longest}"


def _cell(choice: Any, context: Context) -> str:
    size = f"{choice.need.ram // MIB} MiB{_vram(choice.need.vram)}"
    return size if choice.fits else context.output.paint(f"{size}, too much", "dim")


def _vram(size: int) -> str:
    return f" + {size // MIB} GPU" if size else ""


def _of(need: int, there: int) -> str:
    return f"{need // MIB} of {there // MIB} MiB"
