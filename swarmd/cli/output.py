"""What commands print: lines for people, or JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click
import orjson

__all__ = ["Output", "has_colour", "is_plain", "table"]

JSON_VERSION = 1

COLOURS = {"red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}


def has_colour(stream: TextIO, env: Mapping[str, str], *, no_color: bool = False) -> bool:
    """Whether to colour what is written to ``stream``: --no-color and NO_COLOR say no, FORCE_COLOR
    says yes, and else it must be a terminal that can."""
    if no_color or env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return stream.isatty() and env.get("TERM") != "dumb"


def is_plain(stream: TextIO) -> bool:
    """Whether ``stream`` takes ASCII only."""
    try:
        "✓".encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return True
    return False


class Output:
    """The standard streams, as --json, --no-color, -q and -v want them."""

    def __init__(
        self, *, json: bool, no_color: bool, quiet: bool, env: Mapping[str, str] = os.environ
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.colour = has_colour(sys.stdout, env, no_color=no_color)
        self.colour_err = has_colour(sys.stderr, env, no_color=no_color)

    def line(self, text: str = "") -> None:
        """A line of the answer, for people. Nothing with --json."""
        if not self.json:
            click.echo(text, color=self.colour)

    def note(self, text: str) -> None:
        """A word beside the answer, on stderr. Nothing with --json or -q."""
        if not self.json and not self.quiet:
            click.echo(text, err=True, color=self.colour_err)

    def document(self, command: str, **fields: Any) -> None:
        """The whole answer of ``command`` as one JSON document. Nothing without --json."""
        if self.json:
            self.json_line({"v": JSON_VERSION, "command": command, **fields}, indent=True)

    def json_line(self, value: Mapping[str, Any], *, indent: bool = False) -> None:
        """``value`` as JSON, on one line or indented."""
        text = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 if indent else 0).decode()
        click.echo(text, color=True)

    def paint(self, text: str, colour: str) -> str:
        """``text`` in ``colour`` where stdout is coloured."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colour else text

    def warning(self, text: str) -> None:
        """What someone should know, on stderr, with -q, too."""
        label = "\x1b[33mwarning:\x1b[0m" if self.colour_err else "warning:"
        click.echo(f"{label} {text}", err=True, color=self.colour_err)

    def error(self, code: str, message: str, hint: str) -> None:
        """An error, once, on stderr: what happened, and what to do."""
        if self.json:
            error = {"v": JSON_VERSION, "error": {"code": code, "message": message, "hint": hint}}
            click.echo(orjson.dumps(error).decode(), err=True, color=True)
            return
        label = f"error[{code}]:"
        click.echo(
            f"\x1b[31;1m{label}\x1b[0m {message}" if self.colour_err else f"{label} {message}",
            err=True,
            color=self.colour_err,
        )
        if hint:
            click.echo(
                f"\x1b[36mhint:\x1b[0m {hint}" if self.colour_err else f"hint: {hint}",
                err=True,
                color=self.colour_err,
            )


def table(rows: Sequence[Sequence[str]], heading: Sequence[str] = ()) -> list[str]:
    """``rows`` in columns as wide as their widest cell; the last column is not padded."""
    every = [list(heading), *map(list, rows)] if heading else [list(row) for row in rows]
    if not every:
        return []
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*every, strict=True)]
    widths[-1] = 0
    return [
        "  ".join(
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in every
    ]
