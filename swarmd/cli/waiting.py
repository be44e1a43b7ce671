"""Waiting for a request, without waiting for a daemon that has gone."""

from __future__ import annotations

from collections.abc import Callable

import click

from swarmd import client
from swarmd.audit import Line
from swarmd.client.presence import require_daemon
from swarmd.home import Home
from swarmd.messages import Result

__all__ = ["ORDER_TIMEOUT", "require_daemon", "wait"]

GRACE_S = 10.0
"""How long the daemon may be gone: one that is started again goes on with the request."""

ORDER_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Exit 124 when the daemon does not take the order within so long; it stays in bus/control/.",
)


def wait(home: Home, request_id: str, timeout: float | None, on_line: Callable[[Line], None]) -> Result:
    """The result of ``request_id``. Raises WaitTimeoutError after ``timeout`` seconds, DaemonDownError
    when the daemon has gone for good, RequestError when the request could not be taken."""
    return client.wait(home, request_id, timeout, on_line, grace_s=GRACE_S)
