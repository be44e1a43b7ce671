"""Cancelling a request and trying one again, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from swarmd.client.letter import CANCELLED, letters_of, requeue, withdraw
from swarmd.client.pace import Pace, Steps
from swarmd.client.presence import daemon_pid
from swarmd.client.state import is_known, status
from swarmd.client.steps import tell_steps
from swarmd.errors import RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import Command

__all__ = ["Cancelled", "Retried", "cancel_steps", "retry_steps"]

Cancelled = Literal["withdrawn", "cancelling", "ended"]
"""What ``cancel`` found and did: the request was taken out of the inbox before it had begun; or the
daemon stops it and then writes its result; or it had ended before, and stays as it was."""

Retried = Literal["requeued", "reopened"]
"""What ``retry`` did: put a request that was cancelled before it had begun back into the inbox; or had
the daemon go on with one that had ended."""

IN_HAND_S = 0.3
"""How long the daemon may have had a file in hand that was taken away from it."""


def cancel_steps(
    home: Home, request_id: str, timeout: float | None, monotonic: Callable[[], float] = time.monotonic
) -> Steps[Cancelled]:
    """Stop ``request_id``, wherever it is."""
    state = status(home, request_id)
    if state is None:
        raise _unknown(request_id)
    if state.result is not None:
        return "ended"
    if state.state == "waiting":
        letters = withdraw(home, request_id)
        pace = Pace(IN_HAND_S if daemon_pid(home) is not None else 0.0, monotonic)
        while not is_known(home, request_id):
            if pace.is_over():
                return "withdrawn"
            yield pace.pause()
        for letter in letters:  # the daemon had read it before it was taken away: it is a request now
            for name in (letter.name, f"{letter.name}.error.json"):
                (home.deadletter / name).unlink(missing_ok=True)
    try:
        yield from tell_steps(home, Command(command="cancel", request_id=request_id), timeout, monotonic)
    except SwarmdError as error:
        if error.code != "E-COMMAND-IGNORED":
            raise
        state = status(home, request_id)  # it ended meanwhile, or somebody else cancels it, too
        if state is not None and state.result is not None:
            return "ended"
    return "cancelling"


def retry_steps(
    home: Home, request_id: str, timeout: float | None, monotonic: Callable[[], float] = time.monotonic
) -> Steps[Retried]:
    """Go on with ``request_id``, which failed or was cancelled."""
    state = status(home, request_id)
    if state is None:
        letters = [letter for letter in letters_of(home, request_id) if letter.code == CANCELLED]
        if not letters:
            raise _unknown(request_id)
        requeue(home, letters[-1].name)
        return "requeued"
    if state.result is None:
        raise RequestError(
            f"{request_id} has not ended: it is {state.state}",
            code="E-REQUEST-ACTIVE",
            hint=f'Wait for it, or cancel it first: "swarmd task cancel {request_id}".',
        )
    if state.result.status in ("succeeded", "unconfirmed"):
        raise RequestError(
            f"{request_id} was delivered: there is nothing to try again",
            code="E-REQUEST-SUCCEEDED",
            hint="Submit a new request, with another id.",
        )
    yield from tell_steps(home, Command(command="retry", request_id=request_id), timeout, monotonic)
    return "reopened"


def _unknown(request_id: str) -> RequestError:
    return RequestError(
        f"no request is called {request_id!r}",
        code="E-REQUEST-UNKNOWN",
        hint='"swarmd task list" shows all there are.',
    )
