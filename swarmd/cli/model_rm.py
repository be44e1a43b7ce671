"""``swarmd model rm``."""

from __future__ import annotations

import sys

import click

from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.model_names import weights_named
from swarmd.errors import UsageError
from swarmd.models.store import Store, default_folder

__all__ = ["rm"]


@click.command(cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Do not ask, and remove what a running model uses.")
@pass_context
def rm(context: Context, names: tuple[str, ...], force: bool) -> None:
    """Remove weights from the disk, whole or begun. "swarmd model pull" fetches them again.

    NAME is a tier, a model of swarmd.toml, or weights of "swarmd model list".
    """
    settings, output = context.settings, context.output
    store = Store(default_folder(settings, context.env))
    wanted = list(dict.fromkeys(weights_named(settings, name) for name in names))
    if not force:
        _refuse_loaded(context, wanted)
        _ask(store, wanted)
    removed = []
    for name in wanted:
        freed = store.remove(name)
        removed.append({"name": name, "bytes": freed})
        output.line(f"removed  {name}  {freed / 1e6:,.0f} MB" if freed else f"absent   {name}")
    output.document("model rm", weights=removed)


def _refuse_loaded(context: Context, wanted: list[str]) -> None:
    from swarmd.models import loaded

    used = {one.model for models in loaded.read(context.home.runtime()).values() for one in models}
    for model in used:
        own = context.settings.models.get(model)
        if own is not None and own.weights in wanted:
            raise UsageError(
                f"the model {model} is loaded from {own.weights}",
                hint="It is unloaded when another one needs its room, or with the daemon. --force removes "
                "the file all the same; the space is free when the model has been unloaded.",
            )


def _ask(store: Store, wanted: list[str]) -> None:
    have = sum(entry.have for entry in store.list() if entry.weights.name in wanted)
    if not have:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{have / 1e6:,.0f} MB of weights would be removed", hint="Say --force to do it without asking."
        )
    click.confirm(f"Remove {have / 1e6:,.0f} MB: {', '.join(wanted)}?", abort=True, err=True)
