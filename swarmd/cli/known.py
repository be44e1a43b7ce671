"""Finding a request by its id."""

from __future__ import annotations

import difflib

from swarmd import client
from swarmd.client import RequestState
from swarmd.errors import UsageError
from swarmd.home import Home

__all__ = ["known_request"]


def known_request(home: Home, request_id: str) -> RequestState:
    """What the folders say about ``request_id``. Raises UsageError that lists the nearest ids."""
    state = client.status(home, request_id)
    if state is not None:
        return state
    known = [state.request_id for state in client.requests(home)]
    near = difflib.get_close_matches(request_id, known, 3) or known[-3:]
    raise UsageError(
        f"no request is called {request_id!r}",
        code="E-REQUEST-UNKNOWN",
        hint=f"There are, among others: {', '.join(near)}." if near else "There is none yet on this home.",
    )
