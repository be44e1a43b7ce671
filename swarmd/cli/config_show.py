"""``swarmd config show``."""

from __future__ import annotations

import click
import orjson

from swarmd import config
from swarmd.audit.pretty import clean
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.output import table

__all__ = ["show"]


@click.command(cls=Command)
@click.option("--origin", is_flag=True, help="Also show where each value comes from.")
@pass_context
def show(context: Context, origin: bool) -> None:
    """Show every setting. All are documented in the home's swarmd.toml."""
    home, output = context.home, context.output
    found = config.origins(home.settings_file, context.env)
    output.document(
        "config show",
        home=str(home.root),
        file=str(home.settings_file),
        settings=[{"name": name, "value": value, "origin": where} for name, value, where in found],
    )
    rows = [
        [name, clean(orjson.dumps(value).decode())] + ([clean(where)] if origin else [])
        for name, value, where in found
    ]
    for line in table(rows):
        output.line(line)
    output.note(
        f"file: {home.settings_file}" + ("" if home.settings_file.exists() else " (absent: all defaults)")
    )
