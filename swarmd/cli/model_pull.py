"""``swarmd model pull``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.model_names import weights_named, weights_of_tiers
from swarmd.models.sources import Progress
from swarmd.models.store import Store, default_folder

__all__ = ["pull"]

STEP_PERCENT = 10
"""How often a pipe is told of the progress."""


@click.command(cls=Command)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@pass_context
def pull(context: Context, names: tuple[str, ...]) -> None:
    """Fetch weights, and check every byte. What was begun is gone on with.

    NAME is a tier, a model of swarmd.toml, or weights of "swarmd model list". Default: all that the
    tiers may need.
    """
    settings, output = context.settings, context.output
    store = Store(default_folder(settings, context.env))
    wanted = dict.fromkeys(weights_named(settings, name) for name in names) or weights_of_tiers(settings)
    pulled = []
    for name in wanted:
        with _progress(context, name) as on_progress:
            path = store.pull(name, on_progress)
        pulled.append({"name": name, "path": str(path), "bytes": path.stat().st_size})
        output.line(f"{output.paint('ready', 'green')}  {name}  {path}")
    if not wanted:
        output.line("the tiers need no weights")
    output.document("model pull", weights=pulled)


@contextmanager
def _progress(context: Context, name: str) -> Iterator[Progress]:
    """A bar on a terminal, a line now and then on a pipe; both on stderr."""
    if context.quiet or context.json:
        yield lambda have, total, doing: None
    elif context.output.colour_err and sys.stderr.isatty():
        with _bar(name) as on_progress:
            yield on_progress
    else:
        yield _lines(context, name)


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(name), total=None)

        def show(have: int, total: int, doing: str) -> None:
            bar.update(task, completed=have, total=total, description=escape(f"{name} ({doing})"))

        yield show


def _lines(context: Context, name: str) -> Progress:
    told = ("", -1)

    def tell(have: int, total: int, doing: str) -> None:
        nonlocal told
        step = have * 100 // max(1, total) // STEP_PERCENT
        if (doing, step) != told:
            told = (doing, step)
            context.output.note(f"{name}  {have / 1e6:,.0f} of {total / 1e6:,.0f} MB  {doing}")

    return tell
