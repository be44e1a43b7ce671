"""``swarmd task retry``."""

from __future__ import annotations

import click

from swarmd import client
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.known import known_request
from swarmd.cli.waiting import ORDER_TIMEOUT
from swarmd.errors import RequestError

__all__ = ["retry"]


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@ORDER_TIMEOUT
@pass_context
def retry(context: Context, request_id: str, timeout: float) -> None:
    """Go on with a request that failed or was cancelled, under its own id; what was tried is kept.

    One that was cancelled before it had begun goes back into the inbox.
    """
    home, output = context.existing_home(), context.output
    try:
        did = client.retry(home, request_id, timeout)
    except RequestError as error:
        if error.code == "E-REQUEST-UNKNOWN":
            known_request(home, request_id)  # names the nearest
        raise
    output.document("task retry", request_id=request_id, status=did)
    if did == "requeued":
        output.line(f"put {request_id} back into the inbox")
    else:
        output.line(f"the daemon goes on with {request_id}")
    output.note(f"next: {context.command(f'task watch {request_id}')}")
