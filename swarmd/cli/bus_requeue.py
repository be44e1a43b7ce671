"""``swarmd bus requeue``."""

from __future__ import annotations

import click

from swarmd import client
from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.messages import PRIORITIES, Priority

__all__ = ["requeue"]


@click.command(cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES),
    help="How urgent it is. Default: as before, where that is known, else normal.",
)
@pass_context
def requeue(context: Context, names: tuple[str, ...], priority: Priority | None) -> None:
    """Put dead letters back where they were dropped, to be judged again.

    NAME is a file's name in bus/deadletter/, which "swarmd bus dead" shows. Correct the file first, or
    what kept it from being taken.
    """
    home, output = context.existing_home(), context.output
    moved = [{"name": name, "path": str(client.requeue(home, name, priority))} for name in names]
    output.document("bus requeue", requeued=moved)
    for letter in moved:
        output.line(f"put {clean(letter['name'])} back: {clean(letter['path'])}")
