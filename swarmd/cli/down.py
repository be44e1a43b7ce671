"""``swarmd down``."""

from __future__ import annotations

import click

from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command

__all__ = ["down"]

GRACE_S = 20.0
"""What ending all processes may take beside the draining."""


@click.command(cls=Command)
@click.option("--now", is_flag=True, help="Do not wait for running steps; they are done again later.")
@pass_context
def down(context: Context, now: bool) -> None:
    """Stop the daemon. Running steps may finish first; nothing that was accepted is lost."""
    from swarmd.daemon import presence

    home, output = context.existing_home(), context.output
    running = presence.read(home)
    if running is None:
        output.document("down", home=str(home.root), stopped=False)
        output.line(f"no daemon runs on {home.root}")
        return
    drain = 0.0 if now else context.settings.daemon.drain_s
    output.note(
        f"stopping the daemon (pid {running.pid})" + ("" if now else f"; steps get {drain:g} s to finish")
    )
    presence.stop(home, now=now, timeout=drain + GRACE_S)
    output.document("down", home=str(home.root), stopped=True)
    output.line("the daemon has stopped")
