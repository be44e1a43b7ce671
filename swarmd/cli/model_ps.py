"""``swarmd model ps``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.output import table

if TYPE_CHECKING:
    from swarmd.models.loaded import Loaded

__all__ = ["ps"]

HEADING = [
    "MODEL",
    "STATE",
    "PID",
    "CONTEXT",
    "SLOTS",
    "CACHE",
    "GPU LAYERS",
    "PLANNED",
    "RESIDENT",
    "LAST USED",
]


@click.command(cls=Command)
@pass_context
def ps(context: Context) -> int:
    """Show the models that are loaded now, and the memory that they take.

    Those of the embedded engine, of this home's daemon and of commands that ask a model themselves. Models on
    other servers are theirs to show. Exit status 3 when no daemon runs.
    """
    from swarmd.daemon import presence
    from swarmd.models import loaded

    home, output = context.existing_home(), context.output
    running = presence.is_held(home)
    rows = [(one, _resident(one.pid)) for models in loaded.read(home.runtime()).values() for one in models]
    output.document(
        "model ps",
        daemon=running,
        models=[asdict(one) | {"resident_bytes": resident} for one, resident in rows],
    )
    if rows:
        for line in table([_row(one, resident) for one, resident in rows], HEADING):
            output.line(line)
        output.note(
            "RESIDENT holds the pages of the weights' file, which the system drops when it needs room"
        )
    elif running:
        output.line("no model is loaded; each is when it is first asked")
    if not running:
        output.line("no daemon runs on this home, so no broker")
    return ExitCode.OK if running or rows else ExitCode.DAEMON_DOWN


def _resident(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OverflowError):
        return None


def _row(one: Loaded, resident: int | None) -> list[str]:
    state = f"busy, {one.calls} calls" if one.calls > 1 else one.state
    if one.waiting:
        state += f", {one.waiting} wait"
    gpu = f" + {one.vram_bytes >> 20} GPU" if one.vram_bytes else ""
    cells: list[Any] = [
        one.model,
        state,
        one.pid,
        one.context,
        f"{one.slots} ({one.parallel} at a time)",
        one.cache,
        one.gpu_layers,
        f"{one.ram_bytes >> 20} MiB{gpu}",
        "gone" if resident is None else f"{resident >> 20} MiB",
        one.last_used,
    ]
    return [clean(str(cell)) for cell in cells]
