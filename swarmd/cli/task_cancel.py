"""``swarmd task cancel``."""

from __future__ import annotations

import click

from swarmd import client
from swarmd.cli.context import Context, pass_context
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.groups import Command
from swarmd.cli.known import known_request
from swarmd.cli.waiting import ORDER_TIMEOUT

__all__ = ["cancel"]


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@ORDER_TIMEOUT
@pass_context
def cancel(context: Context, request_id: str, timeout: float) -> int:
    """Stop a request: nothing of it is delivered, and "swarmd task retry" can go on with it later.

    One that still waits in the inbox is taken out of it, with or without a daemon. One that has ended
    stays as it is.
    """
    home, output = context.existing_home(), context.output
    known_request(home, request_id)
    did = client.cancel(home, request_id, timeout)
    if did == "ended":
        state = known_request(home, request_id).state
        output.document("task cancel", request_id=request_id, asked=False, status=state)
        output.line(f"{request_id} has ended already: {state}")
        return ExitCode.FAILED
    output.document("task cancel", request_id=request_id, asked=True, status=did)
    if did == "withdrawn":
        output.line(f"took {request_id} out of the inbox")
        output.note(f"{context.command(f'task retry {request_id}')} puts it back")
    else:
        output.line(f"the daemon cancels {request_id}")
        output.note(f"next: {context.command(f'task watch {request_id}')}")
    return ExitCode.OK
