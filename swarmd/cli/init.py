"""``swarmd init``."""

from __future__ import annotations

from pathlib import Path

import click

from swarmd import home as homes
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.errors import UsageError

__all__ = ["init"]


@click.command(cls=Command)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@pass_context
def init(context: Context, folder: Path | None) -> None:
    """Make a home in DIR, or make an old one complete. Nothing that exists is changed.

    Without DIR: the home that --home or $SWARMD_HOME names, or else the current folder.
    """
    if folder and context.home_option:
        raise UsageError("both DIR and --home name a home", hint="Give one of them.")
    named = folder or context.home_option or context.env.get("SWARMD_HOME") or Path()
    home = homes.Home(Path(named).expanduser().absolute())
    added = homes.init(home, context.env)
    output = context.output
    output.document("init", home=str(home.root), added=[str(path.relative_to(home.root)) for path in added])
    for path in added if context.verbose else ():
        output.line(f"  + {path.relative_to(home.root)}")
    output.line(
        f"{'made' if added else 'complete:'} the home {home.root}"
        + (f" ({len(added)} files)" if added else "")
    )
    context.home_option = None if home.root in (Path.cwd(), *Path.cwd().parents) else str(home.root)
    output.note(f'next: "{context.command("up -d")}"; "swarmd doctor" checks this machine')
