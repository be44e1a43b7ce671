"""Log lines on the terminal."""

from __future__ import annotations

import sys

from swarmd.audit import Line
from swarmd.audit.pretty import Style, render
from swarmd.cli.context import Context
from swarmd.cli.output import is_plain

__all__ = ["print_line"]


def print_line(context: Context, line: Line) -> None:
    """Show one log line at once, as the global options want it."""
    if context.json:
        context.output.json_line(line)
    else:
        style = Style(context.output.colour, is_plain(sys.stdout), context.verbose)
        context.output.line(render(line, style))
