"""Leaving a request in the inbox: checked, whole, and under a name that nobody else uses."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from swarmd import durable
from swarmd.client.state import accepted
from swarmd.clock import short_id
from swarmd.errors import ConfigError, RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Priority, Request, dump

__all__ = ["Ticket", "drop", "keep", "leave"]

_RANDOM = 12
"""Random digits of a made id: a million requests of the same words hardly ever meet."""


class Ticket(str):
    """The id of a submitted request: a plain string that also knows the file it was dropped as."""

    path: Path | None
    """The dropped file. It is gone once the daemon has acknowledged or refused it."""

    def __new__(cls, request_id: str, path: Path | None = None) -> Ticket:
        """``request_id``, dropped as ``path``."""
        ticket = super().__new__(cls, request_id)
        ticket.path = path
        return ticket


def drop(home: Home, request: Request | Mapping[str, Any], priority: Priority) -> Ticket:
    """Put ``request`` into the inbox and return its ticket. Nothing is synced.

    Raises RequestError for what cannot be a request or an id that belongs to another one,
    ConfigError when ``home`` is none, SwarmdError E-HOME-WRITE when there is no room or no right.
    """
    asked = _check(request)
    request_id = asked.request_id or _new_id(asked.user_request)
    if asked.request_id and (known := accepted(home, request_id)) and _asks_other(known, asked):
        raise RequestError(
            f'the id "{request_id}" belongs to another request',
            code="E-REQUEST-DUPLICATE",
            field="request_id",
            hint='Choose another "request_id", or leave it out to have one made.',
        )
    data = dump(asked.model_copy(update={"request_id": request_id}))
    # Two submitters of one id must not overwrite each other's file: the daemon judges both.
    path = home.inbox / priority / f"{request_id}.{short_id(8)}.json"
    leave(home, path, data)
    return Ticket(request_id, path)


def leave(home: Home, path: Path, data: bytes) -> None:
    """Make the file ``path`` of ``home`` in one step, unsynced. Raises as ``drop`` does."""
    try:
        durable.write(path, data, durable=False)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{home.root} is not a home: {path.parent} is missing", hint='Make one with "swarmd init".'
        ) from error
    except OSError as error:
        raise SwarmdError(
            f"nothing can be written to {path.parent}: {error.strerror or error}",
            code="E-HOME-WRITE",
            hint="Make room on its disk, or see that this user may write there; nothing was left behind.",
        ) from error


def keep(path: Path) -> None:
    """Make the dropped file survive power loss. One that is gone was taken: that is fine.

    Raises durable.FsyncFailedError when the disk does not confirm it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        durable.sync(fd)
    finally:
        os.close(fd)
    durable.sync_dir(path.parent)


def _check(request: Request | Mapping[str, Any]) -> Request:
    try:
        data = dump(request) if isinstance(request, Request) else orjson.dumps(dict(request))
        return Request.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RequestError(f'"{name}": {first["msg"]}', code="E-REQUEST-VALUE", field=name) from error
    except TypeError as error:  # orjson: not JSON
        raise RequestError(
            f"the request cannot be written as JSON: {error}", code="E-REQUEST-TYPE"
        ) from error


def _asks_other(known: AcceptedRequest, asked: Request) -> bool:
    names = set(Request.model_fields) - {"request_id"}
    return known.model_dump(include=names) != asked.model_dump(include=names)


def _new_id(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)[:5]
    return "-".join([*words, short_id(_RANDOM)])[-64:].lstrip("-")
