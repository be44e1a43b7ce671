"""``swarmd task watch``."""

from __future__ import annotations

import click

from swarmd.bus import outbox
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.known import known_request
from swarmd.cli.request_text import exit_code, result_lines
from swarmd.cli.task_lines import line_printer
from swarmd.cli.waiting import require_daemon, wait

__all__ = ["watch"]


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@click.option("--compact", is_flag=True, help="Only what says how it gets on.")
@click.option("--exit-status", is_flag=True, help="Exit 0 only if the request succeeded.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Exit 124 after so long.")
@pass_context
def watch(context: Context, request_id: str, compact: bool, exit_status: bool, timeout: float | None) -> int:
    """Show what happens to a request until it ends, then its result.

    With --json: the request's log lines, one per line.
    """
    home, output = context.existing_home(), context.output
    if known_request(home, request_id).result is None:
        require_daemon(home)
    result = wait(home, request_id, timeout, line_printer(context, compact=compact))
    output.line()
    for line in result_lines(output, result, outbox.find_done(home, request_id)):
        output.line(line)
    return exit_code(result) if exit_status else ExitCode.OK
