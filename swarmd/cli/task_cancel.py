"""``swarmd task cancel``."""

from __future__ import annotations

import click

from swarmd import client
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.known import known_request
from swarmd.cli.waiting import require_daemon
from swarmd.messages import Command as Order

__all__ = ["cancel"]


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@pass_context
def cancel(context: Context, request_id: str) -> int:
    """Stop a request: nothing of it is delivered. One that has ended stays as it is."""
    home, output = context.existing_home(), context.output
    state = known_request(home, request_id)
    if state.result is not None:
        output.document("task cancel", request_id=request_id, asked=False, status=state.result.status)
        output.line(f"{request_id} has ended already: {state.result.status}")
        return ExitCode.FAILED
    require_daemon(home)
    client.command(home, Order(command="cancel", request_id=request_id))
    output.document("task cancel", request_id=request_id, asked=True)
    output.line(f"asked the daemon to cancel {request_id}")
    output.note(f"next: {context.command(f'task watch {request_id}')}")
    return ExitCode.OK
