"""``swarmd privacy report``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.log_filter import moment
from swarmd.cli.output import JSON_VERSION
from swarmd.cli.privacy_gather import Gathered, Spool, gather
from swarmd.cli.privacy_markdown import markdown
from swarmd.cli.privacy_text import show_text, verdict
from swarmd.errors import ConfigError, UsageError

__all__ = ["report"]


@click.command("report", cls=Command)
@click.option("--request", "request_id", metavar="ID", help="Only calls of this request.")
@click.option("--since", metavar="TIME", help="Only lines not older: 90s, 10m, 2h, 1d, or a date and time.")
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown, to be kept or handed on.")
@pass_context
def report(context: Context, request_id: str | None, since: str | None, as_markdown: bool) -> int:
    """Show every model call with its destination, its bytes, what was decided, and its line in the log.

    The log is verified first, and only lines that hold are told of. With them: how much went where,
    what was kept from leaving, and calls that began and have no end. Bytes are those of the prompt's
    and the reply's text.

    \b
    Exit status:  0  every log holds
                  1  a chain does not hold
                  2  a log was cut short
                  4  a log ends in a torn line, as a crash leaves it
    """
    if as_markdown and context.json:
        raise UsageError("--md and --json are two ways to print", hint="Choose one of them.")
    start = moment(since, datetime.now(UTC)) if since else None
    with closing(gather(context.existing_home(), request_id, start)) as gathered:
        if context.json:
            _print_json(gathered, _setting(context))
        elif as_markdown:
            for line in markdown(gathered, _setting(context)):
                context.output.line(line)
        else:
            show_text(context.output, gathered)
        return gathered.chain.exit_code


def _setting(context: Context) -> str:
    try:
        return str(context.settings.privacy)
    except ConfigError as error:
        return f"unknown, because the settings cannot be read ({error.message})"


def _print_json(gathered: Gathered, setting: str) -> None:
    """One document, whose long parts are written row by row."""
    head: dict[str, Any] = {
        "v": JSON_VERSION,
        "command": "privacy report",
        "home": gathered.home,
        "made": gathered.made,
        "privacy": setting,
        "request_id": gathered.request_id,
        "since": gathered.since,
        "first": gathered.first or None,
        "last": gathered.last or None,
        "nothing_left": verdict(gathered)[0],
        "calls_total": gathered.calls.count,
        "calls_left": gathered.left,
        "calls_unknown": gathered.unknown,
        "blocked_total": gathered.blocked.count,
        "chain": {
            "ok": gathered.chain.exit_code == 0,
            "last_line": gathered.held,
            "last_hash": gathered.master.head or None,
            "logs": [asdict(log) for log in gathered.chain.logs],
            "warnings": list(gathered.chain.warnings),
        },
        "flows": [asdict(flow) for flow in gathered.flows.values()],
    }
    click.echo(orjson.dumps(head, option=orjson.OPT_INDENT_2).decode()[:-2] + ",")
    _print_rows("blocked", gathered.blocked)
    click.echo(",")
    _print_rows("calls", gathered.calls)
    click.echo("\n}")


def _print_rows(name: str, rows: Spool) -> None:
    click.echo(f'  "{name}": [', nl=False)
    for number, row in enumerate(rows):
        click.echo(f"{',' if number else ''}\n    {orjson.dumps(row).decode()}", nl=False)
    click.echo(("\n  " if rows.count else "") + "]", nl=False)
