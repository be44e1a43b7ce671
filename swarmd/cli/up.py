"""``swarmd up``."""

from __future__ import annotations

import click

from swarmd import home as homes
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command

__all__ = ["up"]


@click.command(cls=Command)
@click.option("-d", "--detach", is_flag=True, help="Run in the background; return when it is ready.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With -d: how long to wait for it to be ready.",
)
@pass_context
def up(context: Context, detach: bool, timeout: float) -> int:
    """Start the daemon, on a new home if there is none yet.

    In the foreground, Ctrl-C lets running steps finish; a second one ends it at once.
    """
    home, output = context.home, context.output
    if not home.bus.is_dir() or not home.settings_file.exists():
        homes.init(home, context.env)
        output.note(f"made the home {home.root}")
    settings = context.settings
    if detach:
        from swarmd.cli.launch import launch

        presence, started = launch(home, context.env, timeout)
        output.document("up", home=str(home.root), started=started, daemon=presence.document())
        output.line(
            f"the daemon {'is ready' if started else 'already runs'} (pid {presence.pid}) on {home.root}"
        )
        add = context.command('task add "…" --workspace DIR')
        output.note(f"next: {add}   (or drop a file into bus/inbox/)")
        return 0
    from swarmd import daemon

    output.note(f"swarmd runs on {home.root}; Ctrl-C stops it")
    return daemon.run(home, settings, warn=output.warning)
