"""``swarmd.client`` for asyncio: the same names, the same promises, the loop runs on while they wait.

Looking at a file takes microseconds and is done in the loop. What may take longer, syncing and listing
folders, is done in a thread: ``submit`` (only where no receipt comes), ``command``, ``status``,
``requests``, ``requeue``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from swarmd import client
from swarmd.audit import Line
from swarmd.client.drop import Ticket, drop, keep
from swarmd.client.order import Cancelled, Retried, cancel_steps, retry_steps
from swarmd.client.pace import Steps, WaitTimeoutError
from swarmd.client.state import RequestState
from swarmd.client.steps import Lines, receipt_steps, result_steps, safe_steps, tell_steps
from swarmd.errors import DaemonDownError
from swarmd.home import Home
from swarmd.messages import Command, Priority, Request, Result

__all__ = [
    "cancel",
    "command",
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


async def submit(
    home: Home,
    request: Request | Mapping[str, Any],
    priority: Priority = "normal",
    *,
    durably: bool = True,
    wait_receipt: bool | float = False,
) -> Ticket:
    """As ``client.submit``."""
    ticket = drop(home, request, priority)
    try:
        if wait_receipt is not False:
            await _run(receipt_steps(home, ticket, None if wait_receipt is True else wait_receipt, 0.0))
        elif durably and not await _run(safe_steps(home, ticket)):
            await _keep(ticket)
    except (WaitTimeoutError, DaemonDownError):
        if durably:
            await _keep(ticket)
        raise
    return ticket


async def receipt(
    home: Home, request_id: str, timeout: float | None = None, *, grace_s: float | None = None
) -> None:
    """As ``client.receipt``."""
    await _run(receipt_steps(home, request_id, timeout, grace_s))


async def wait(
    home: Home,
    request_id: str,
    timeout: float | None = None,
    on_line: Callable[[Line], None] | None = None,
    *,
    grace_s: float | None = None,
) -> Result:
    """As ``client.wait``."""
    lines = Lines(home, request_id) if on_line else None
    return await _run(result_steps(home, request_id, timeout, grace_s, lines), on_line)


async def watch(
    home: Home, request_id: str, timeout: float | None = None, *, grace_s: float | None = None
) -> AsyncIterator[Line]:
    """As ``client.watch``."""
    for step in result_steps(home, request_id, timeout, grace_s, Lines(home, request_id)):
        if isinstance(step, float):
            await asyncio.sleep(step)
        else:
            yield step


async def cancel(home: Home, request_id: str, timeout: float | None = 10.0) -> Cancelled:
    """As ``client.cancel``."""
    return await _run(cancel_steps(home, request_id, timeout))


async def retry(home: Home, request_id: str, timeout: float | None = 10.0) -> Retried:
    """As ``client.retry``."""
    return await _run(retry_steps(home, request_id, timeout))


async def command(home: Home, order: Command) -> Path:
    """As ``client.command``."""
    return await asyncio.to_thread(client.command, home, order)


async def tell(home: Home, order: Command, timeout: float | None = 10.0) -> Line | None:
    """As ``client.tell``."""
    return await _run(tell_steps(home, order, timeout))


async def status(home: Home, request_id: str) -> RequestState | None:
    """As ``client.status``."""
    return await asyncio.to_thread(client.status, home, request_id)


async def requests(home: Home, limit: int = 200) -> list[RequestState]:
    """As ``client.requests``."""
    return await asyncio.to_thread(client.requests, home, limit)


async def requeue(home: Home, name: str, priority: Priority | None = None) -> Path:
    """As ``client.requeue``."""
    return await asyncio.to_thread(client.requeue, home, name, priority)


async def _keep(ticket: Ticket) -> None:
    if ticket.path is not None:
        await asyncio.to_thread(keep, ticket.path)


async def _run(steps: Steps[T], on_line: Callable[[Line], None] | None = None) -> T:
    """Do ``steps`` one after the other, letting the loop run for each pause."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: T = end.value
            return found
        if isinstance(step, float):
            await asyncio.sleep(step)
        elif on_line is not None:
            on_line(step)
