"""The HTTP clients of all providers: they go only where they are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swarmd.errors import ModelError, ModelReplyError
from swarmd.models.guard import guard
from swarmd.models.providers.base import CONNECT_S, TransientError
from swarmd.models.sent import about_to_send

__all__ = ["client_options", "refuse_no_stream", "unreachable"]

SENT = frozenset(
    {
        *("host", "accept", "accept-encoding", "connection", "user-agent"),
        *("content-length", "content-type", "transfer-encoding", "anthropic-version"),
    }
)
"""The headers that are sent, besides credentials. The model libraries take others from the environment, and
add some about this machine."""
CREDENTIALS = frozenset({"authorization", "x-api-key"})


def client_options(
    httpx: Any,
    uds: Path | None = None,
    *,
    key: str | None = None,
    with_key: bool = False,
    local: bool = False,
) -> dict[str, Any]:
    """What an asynchronous client of the module ``httpx`` (or httpx2, its successor) is made with: no proxy,
    no redirect, no header of the environment, and no credential but ``key`` (``with_key``: whichever the
    model library takes). With ``uds`` it connects to that unix socket, whatever the URL says; with ``local``
    to this machine, whatever happens.

    It has no read timeout: ``Pace`` knows better how long a model may think.
    """
    sent = SENT | CREDENTIALS if with_key or key else SENT

    async def strip(request: Any) -> None:
        if not local:
            about_to_send(request.content)
        for name in [name for name in request.headers if name.lower() not in sent]:
            del request.headers[name]
        for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
            if key and name in request.headers:  # which of them it is, the library knows
                request.headers[name] = value

    transport = httpx.AsyncHTTPTransport(uds=str(uds) if uds else None, trust_env=False)
    return {
        "transport": guard(transport, uds) if local else transport,
        "timeout": httpx.Timeout(None, connect=CONNECT_S),
        "trust_env": False,
        "follow_redirects": False,
        "event_hooks": {"request": [strip]},
    }


def refuse_no_stream(model: str, response: Any) -> None:
    """Raise ModelReplyError when a server's answer is no event stream, such as a proxy's page."""
    kind = str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        problem = f"{model}'s server sent what is not its protocol: {kind[:64] or 'no type'} and no stream"
        raise ModelReplyError(problem)


def unreachable(who: str, error: BaseException, *, broken: bool) -> ModelError:
    """The error for a connection that cannot be made, or is lost (``broken``: in the middle of a reply). One
    of our own that the client has wrapped, such as the guard's PrivacyError, comes out as what it is."""
    while not isinstance(error, ModelError) and (deeper := error.__cause__ or error.__context__):
        error = deeper
    if isinstance(error, ModelError):
        return error
    reason = str(error) or type(error).__name__
    return TransientError(f"{who} cannot be reached: {reason[:300]}", broken=broken)
