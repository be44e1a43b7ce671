"""Asking a human: a warrant names one action on exactly one diff, and ends by itself.

Here warrants are asked for, listed and let expire. Nothing in this module grants one, and nothing
takes a file in warrants/granted/ for a permission: that needs a checked signature.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from swarmd import durable
from swarmd.clock import rfc3339
from swarmd.messages import Message, dump, load
from swarmd.messages.request import RequestId

__all__ = ["Action", "Pending", "Warrant", "ask", "expire", "pending", "warrant_id"]

Action = Literal["merge", "push", "deploy", "protected"]
"""``protected``: a change to what judges the work (tests, their configuration, the CI)."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
"""UTC with milliseconds, always of one length: earlier ones sort first."""

DEFAULT_LIFE = timedelta(days=7)
MAX_SUMMARY = 4000
_MAX_FILE = 64 * 1024
_FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{20}\.json")


class Warrant(Message):
    """council/warrants/pending/<warrant_id>.json: what a human is asked to sign."""

    warrant_id: str
    action: Action
    request_id: RequestId
    diff_sha256: Sha256
    """SHA-256 of the patch that the action would bring about."""
    base_commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    summary: str = Field(max_length=MAX_SUMMARY)
    """The effects as the harness parsed them, not as an agent describes them."""
    requested_at: Moment
    expires_at: Moment
    """From then on it is no longer waited for."""
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Keeps a signature on an earlier warrant for the same diff from counting again."""


@dataclass(frozen=True)
class Pending:
    """What waits for a human, and what is in the folder but is no warrant."""

    warrants: list[Warrant] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a file does not count, by its name."""


def warrant_id(action: Action, request_id: str, diff_sha256: str, base_commit: str) -> str:
    """The id of the warrant for exactly this: equal for equal things, so asking twice asks once."""
    bound = "\0".join((action, request_id, diff_sha256, base_commit))
    return f"{action}-{hashlib.sha256(bound.encode()).hexdigest()[:20]}"


def ask(
    folder: Path,
    *,
    action: Action,
    request_id: str,
    diff_sha256: str,
    base_commit: str,
    summary: str,
    now: datetime,
    life: timedelta = DEFAULT_LIFE,
    nonce: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Warrant:
    """Ask for a warrant under ``folder`` (council/warrants) and return it.

    While one for the same action, request, diff and base waits, that one is returned unchanged; an
    expired one is asked for anew. Raises OSError when it cannot be written.
    """
    identity = warrant_id(action, request_id, diff_sha256, base_commit)
    path = folder / "pending" / f"{identity}.json"
    known = _read(path)
    if isinstance(known, Warrant) and known.expires_at > rfc3339(now):
        return known
    warrant = Warrant(
        warrant_id=identity,
        action=action,
        request_id=request_id,
        diff_sha256=diff_sha256,
        base_commit=base_commit,
        summary=summary[:MAX_SUMMARY],
        requested_at=rfc3339(now),
        expires_at=rfc3339(now + life),
        nonce=nonce(),
    )
    if isinstance(known, Warrant):
        _retire(folder, known)
    durable.write(path, dump(warrant))
    return warrant


def pending(folder: Path) -> Pending:
    """The warrants that wait under ``folder``, oldest first, expired ones included."""
    found = Pending()
    for path in sorted((folder / "pending").glob("[!.]*")):
        warrant = _read(path)
        if isinstance(warrant, Warrant):
            found.warrants.append(warrant)
        else:
            found.problems[path.name] = warrant
    found.warrants.sort(key=lambda warrant: (warrant.requested_at, warrant.warrant_id))
    return found


def expire(folder: Path, now: datetime) -> list[Warrant]:
    """Move every warrant whose time is over to expired/ and return those."""
    late = [warrant for warrant in pending(folder).warrants if warrant.expires_at <= rfc3339(now)]
    for warrant in late:
        _retire(folder, warrant)
    return late


def _retire(folder: Path, warrant: Warrant) -> None:
    """Expired ones keep their nonce in their name: the same thing can be asked for again."""
    name = f"{warrant.warrant_id}.{warrant.nonce[:8]}.json"
    (folder / "pending" / f"{warrant.warrant_id}.json").replace(folder / "expired" / name)


def _read(path: Path) -> Warrant | str:
    """The warrant in ``path``, or why there is none: it must be named after what it binds."""
    if not _FILE_NAME.fullmatch(path.name):
        return "its name is not that of a warrant"
    try:
        warrant = load(Warrant, durable.read_regular(path, _MAX_FILE))
    except (OSError, ValidationError) as error:
        return f"it cannot be read: {str(error).splitlines()[0]}"
    bound = warrant_id(warrant.action, warrant.request_id, warrant.diff_sha256, warrant.base_commit)
    if warrant.warrant_id != bound or path.name != f"{bound}.json":
        return "its name does not match what it binds"
    return warrant
