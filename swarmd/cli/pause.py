"""``swarmd pause`` and ``swarmd resume``."""

from __future__ import annotations

import click

from swarmd import client
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.waiting import ORDER_TIMEOUT
from swarmd.messages import Command as Order

__all__ = ["pause", "resume"]


@click.command(cls=Command)
@ORDER_TIMEOUT
@pass_context
def pause(context: Context, timeout: float) -> None:
    """Have the daemon take no new requests. Those it has taken go on; others wait in the inbox."""
    client.tell(context.existing_home(), Order(command="pause"), timeout)
    context.output.document("pause", paused=True)
    context.output.line("the daemon takes no new requests")
    context.output.note(f"next: {context.command('resume')}")


@click.command(cls=Command)
@ORDER_TIMEOUT
@pass_context
def resume(context: Context, timeout: float) -> None:
    """Have a daemon that was paused take requests again."""
    client.tell(context.existing_home(), Order(command="resume"), timeout)
    context.output.document("resume", paused=False)
    context.output.line("the daemon takes requests")
