"""``swarmd bus dead``."""

from __future__ import annotations

import click

from swarmd.audit.pretty import clean
from swarmd.bus import deadletter
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command

__all__ = ["dead"]


@click.command(cls=Command)
@pass_context
def dead(context: Context) -> None:
    """Show the files that could not be taken: why, and what to do about each."""
    home, output = context.existing_home(), context.output
    letters = deadletter.listing(home)
    output.document("bus dead", letters=[letter.model_dump(mode="json") for letter in letters])
    if not letters:
        output.line("no dead letters")
    for letter in letters:
        where = f" ({clean(letter.field)})" if letter.field else ""
        output.line(
            f"{output.paint(clean(letter.code), 'red')}  {clean(letter.original_name)!r}  {clean(letter.at)}"
        )
        output.line(f"  {clean(letter.message)}{where}")
        output.line(f"  hint: {clean(letter.hint)}")
        output.line(f"  file: {clean(str(home.deadletter / letter.name))}")
