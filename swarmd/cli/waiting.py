"""Waiting for a request, without waiting for a daemon that has gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from swarmd import client
from swarmd.audit import Line
from swarmd.cli.exit_codes import ExitCode
from swarmd.daemon import presence
from swarmd.errors import DaemonDownError, SwarmdError
from swarmd.home import Home
from swarmd.messages import Result

__all__ = ["WaitTimeoutError", "require_daemon", "wait"]

CHECK_S = 2.0
"""How often it is seen whether the daemon still runs."""
GRACE_S = 10.0
"""How long it may be gone: a daemon that is started again goes on with the request."""


class WaitTimeoutError(SwarmdError):
    """The request goes on. Wait again with "swarmd task watch", or give a longer --timeout."""

    code = "E-TIMEOUT"
    exit_code = ExitCode.TIMEOUT


def require_daemon(home: Home) -> None:
    """Raise DaemonDownError when no daemon runs on ``home``."""
    if presence.read(home) is None:
        raise DaemonDownError(f"no daemon runs on {home.root}")


def wait(home: Home, request_id: str, timeout: float | None, on_line: Callable[[Line], None]) -> Result:
    """The result of ``request_id``. Raises WaitTimeoutError after ``timeout`` seconds, DaemonDownError
    when the daemon has gone for good, RequestError when the request could not be taken."""
    checked = seen = time.monotonic()

    def sleep(seconds: float) -> None:
        nonlocal checked, seen
        time.sleep(seconds)
        now = time.monotonic()
        if now - checked >= CHECK_S:
            checked = now
            if presence.read(home) is not None:
                seen = now
            elif now - seen >= GRACE_S:
                raise DaemonDownError(f"the daemon on {home.root} has gone; the request is kept")

    try:
        return client.wait(home, request_id, timeout, on_line, sleep=sleep)
    except TimeoutError as error:
        raise WaitTimeoutError(str(error)) from error
