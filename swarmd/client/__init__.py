"""Talk to a daemon through its folders: submit, wait, command, look.

Nothing here needs the daemon's code, or the daemon running: a request that is dropped now is taken
when it starts. ``swarmd.client.aio`` has the same functions for asyncio. Times are in seconds, and
``timeout=None`` means no end. Raised are members of swarmd.errors.SwarmdError, among them:

- RequestError: it cannot be a request, was refused, or there is none of that id;
- WaitTimeoutError (a TimeoutError, too): it goes on without you;
- DaemonDownError: only a running daemon could do it;
- ConfigError: there is no home.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from swarmd.audit import Line
from swarmd.client.drop import Ticket, drop, keep
from swarmd.client.letter import requeue
from swarmd.client.order import Cancelled, Retried, cancel_steps, retry_steps
from swarmd.client.pace import Steps, WaitTimeoutError
from swarmd.client.presence import daemon_pid
from swarmd.client.state import RequestState, requests, status
from swarmd.client.steps import (
    Lines,
    command_file,
    receipt_steps,
    result_steps,
    safe_steps,
    tell_steps,
)
from swarmd.errors import DaemonDownError
from swarmd.home import Home
from swarmd.messages import Command, Priority, Request, Result

__all__ = [
    "Cancelled",
    "RequestState",
    "Retried",
    "Ticket",
    "WaitTimeoutError",
    "cancel",
    "command",
    "daemon_pid",
    "receipt",
    "requests",
    "requeue",
    "retry",
    "status",
    "submit",
    "tell",
    "wait",
    "watch",
]

T = TypeVar("T")
Sleep = Callable[[float], None]
Monotonic = Callable[[], float]


def submit(
    home: Home,
    request: Request | Mapping[str, Any],
    priority: Priority = "normal",
    *,
    durably: bool = True,
    wait_receipt: bool | float = False,
) -> Ticket:
    """Drop ``request`` into the inbox and return its id, which is made here if it has none.

    With ``durably`` it survives power loss from now on, for one sync at most: a running daemon's
    receipt is waited for (it is as durable as ``daemon.durability`` says), and where none comes within
    a second the file is synced here. With ``wait_receipt`` (True, or so many seconds) it returns only
    when the daemon has acknowledged it; if it raises DaemonDownError or WaitTimeoutError instead, the
    request is kept in the inbox all the same.

    The same request under the same id may be submitted again: it is taken once. Raises RequestError
    for what cannot be a request or an id that belongs to another one, ConfigError when ``home`` is
    none, SwarmdError E-HOME-WRITE when it cannot be written.
    """
    ticket = drop(home, request, priority)
    try:
        if wait_receipt is not False:
            _run(receipt_steps(home, ticket, None if wait_receipt is True else wait_receipt, 0.0))
        elif durably and not _run(safe_steps(home, ticket)):
            _keep(ticket)
    except (WaitTimeoutError, DaemonDownError):
        if durably:
            _keep(ticket)
        raise
    return ticket


def receipt(
    home: Home, request_id: str, timeout: float | None = None, *, grace_s: float | None = None
) -> None:
    """Wait until the daemon has acknowledged ``request_id``: from then on it ends in one result.

    Given what ``submit`` returned, it is about that very file. Raises RequestError when it was refused,
    WaitTimeoutError, and DaemonDownError when no daemon has run for ``grace_s`` (None: it may start).
    """
    _run(receipt_steps(home, request_id, timeout, grace_s))


def wait(
    home: Home,
    request_id: str,
    timeout: float | None = None,
    on_line: Callable[[Line], None] | None = None,
    *,
    grace_s: float | None = None,
    sleep: Sleep = time.sleep,
    monotonic: Monotonic = time.monotonic,
) -> Result:
    """The result of ``request_id`` as soon as it is there; ``on_line`` gets each of its log lines.

    Raises RequestError when its file went to the dead letters instead, WaitTimeoutError after
    ``timeout``, and DaemonDownError when no daemon has run for ``grace_s`` (None: it may start).
    """
    lines = Lines(home, request_id) if on_line else None
    return _run(result_steps(home, request_id, timeout, grace_s, lines, monotonic), sleep, on_line)


def watch(
    home: Home, request_id: str, timeout: float | None = None, *, grace_s: float | None = None
) -> Iterator[Line]:
    """The log lines of ``request_id`` as they come, until it has its result, which ``wait`` then
    returns at once. Begins with those at the end of the log. Raises as ``wait`` does."""
    for step in result_steps(home, request_id, timeout, grace_s, Lines(home, request_id)):
        if isinstance(step, float):
            time.sleep(step)
        else:
            yield step


def cancel(home: Home, request_id: str, timeout: float | None = 10.0) -> Cancelled:
    """Stop ``request_id``; return what was done.

    One that waits in the inbox is taken out of it, also while no daemon runs. For one that has begun
    it returns when the daemon has taken the order, and raises DaemonDownError at once when none runs,
    WaitTimeoutError when it does not take it (the order stays). Raises RequestError E-REQUEST-UNKNOWN.
    """
    return _run(cancel_steps(home, request_id, timeout))


def retry(home: Home, request_id: str, timeout: float | None = 10.0) -> Retried:
    """Go on with ``request_id``, which failed or was cancelled; its earlier attempts are kept.

    When it returns, ``wait`` waits for the new result. Raises RequestError (E-REQUEST-UNKNOWN, -ACTIVE,
    -SUCCEEDED), DaemonDownError at once when none runs, WaitTimeoutError when the daemon does not take
    the order (which stays), SwarmdError E-COMMAND-IGNORED when it cannot be done.
    """
    return _run(retry_steps(home, request_id, timeout))


def command(home: Home, order: Command) -> Path:
    """Leave ``order`` for the daemon in bus/control/ and return the file, which survives power loss. It
    is gone when it was carried out, now or after the next start. Raises as ``submit`` does."""
    path = command_file(home, order)
    keep(path)
    return path


def tell(home: Home, order: Command, timeout: float | None = 10.0) -> Line | None:
    """Have the running daemon carry ``order`` out, and return the log line that says so (None: the log
    cannot be read).

    Raises DaemonDownError at once when none runs, WaitTimeoutError when it does not take the order
    (which stays), SwarmdError E-COMMAND-IGNORED when it could not be done.
    """
    return _run(tell_steps(home, order, timeout))


def _keep(ticket: Ticket) -> None:
    if ticket.path is not None:
        keep(ticket.path)


def _run(steps: Steps[T], sleep: Sleep = time.sleep, on_line: Callable[[Line], None] | None = None) -> T:
    """Do ``steps`` one after the other, sleeping for each pause, and return what they came to."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: T = end.value
            return found
        if isinstance(step, float):
            sleep(step)
        elif on_line is not None:
            on_line(step)
