"""Talk to a daemon through its folders: submit, wait, command, look.

Nothing here needs the daemon's code, or the daemon running: a request that is dropped now is taken
when it starts. Reading never changes anything.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from swarmd import durable
from swarmd.audit import Line, read_lines
from swarmd.clock import short_id
from swarmd.errors import ConfigError, RequestError
from swarmd.home import Home
from swarmd.messages import (
    PRIORITIES,
    AcceptedRequest,
    Command,
    DeadLetter,
    Message,
    Packet,
    Plan,
    Priority,
    Request,
    Result,
    dump,
    load,
)

__all__ = ["RequestState", "command", "requests", "status", "submit", "wait"]

_MAX_FILE = 64 * 1024 * 1024
_LOG_TAIL = 1024 * 1024
"""How much of the log's end is searched for lines that came before ``wait``."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class RequestState:
    """What the folders say about one request."""

    request_id: str
    state: str
    """``waiting`` (dropped, not yet taken), ``planning``, ``running``, or the result's status."""
    priority: Priority | None = None
    request: AcceptedRequest | None = None
    plan: Plan | None = None
    tasks: list[Packet] = field(default_factory=list)
    result: Result | None = None


def submit(
    home: Home, request: Request | Mapping[str, Any], priority: Priority = "normal", *, durably: bool = True
) -> str:
    """Drop ``request`` into the inbox and return its id, which is made here if it has none.

    The same request under the same id may be submitted again: it is taken once. With ``durably``
    the file survives power loss from now on. Raises RequestError for what cannot be a request or an
    id that belongs to another one, ConfigError when ``home`` is none.
    """
    asked = _check(request)
    request_id = asked.request_id or _new_id(asked.user_request)
    if (known := _accepted(home, request_id)) and _asks_other(known, asked):
        raise RequestError(
            f'the id "{request_id}" belongs to another request',
            code="E-REQUEST-DUPLICATE",
            field="request_id",
            hint='Choose another "request_id", or leave it out to have one made.',
        )
    folder = home.inbox / priority
    if not folder.is_dir():
        raise ConfigError(
            f"{home.root} is not a home: {folder} is missing", hint='Make one with "swarmd init".'
        )
    data = dump(asked.model_copy(update={"request_id": request_id}))
    # Two submitters of one id must not overwrite each other's file: the daemon judges both.
    durable.write(folder / f"{request_id}.{short_id(8)}.json", data, durable=durably)
    return request_id


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
    return "-".join([*words, short_id(6)])[-64:].lstrip("-")


def wait(
    home: Home,
    request_id: str,
    timeout: float | None = None,
    on_line: Callable[[Line], None] | None = None,
    *,
    poll_s: float = 0.05,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Result:
    """The result of ``request_id`` as soon as it is there; ``on_line`` gets each of its log lines.

    Raises TimeoutError after ``timeout`` seconds, and RequestError when its file went to the dead
    letters instead.
    """
    deadline = None if timeout is None else monotonic() + timeout
    lines = _Follower(home.master_log, request_id)
    rounds = 0
    while True:
        result = _read(Result, home.outbox / f"{request_id}.json")
        for line in lines.new() if on_line else ():
            on_line(line)  # type: ignore[misc]
        if result is not None:
            return result
        if rounds % 10 == 0:
            _raise_if_dead(home, request_id)
        rounds += 1
        if deadline is not None and monotonic() >= deadline:
            raise TimeoutError(f"{request_id} has no result after {timeout:g} seconds")
        sleep(poll_s)


class _Follower:
    """One request's lines at the end of a growing log."""

    def __init__(self, path: Path, request_id: str) -> None:
        self._path = path
        self._request_id = request_id
        self._offset = _tail_offset(path)

    def new(self) -> Iterator[Line]:
        """The lines that were added since the last call."""
        try:
            if self._path.stat().st_size < self._offset:
                self._offset = 0  # another log has begun under this name
            for line, offset in read_lines(self._path, offset=self._offset):
                self._offset = offset
                if line.get("request_id") == self._request_id:
                    yield line
        except (OSError, orjson.JSONDecodeError):
            return  # the result is what counts; "swarmd audit verify" tells of a damaged log


def _tail_offset(path: Path) -> int:
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, 2) - _LOG_TAIL)
            file.seek(start)
            return start + len(file.readline()) if start else 0
    except OSError:
        return 0


def _raise_if_dead(home: Home, request_id: str) -> None:
    if _accepted(home, request_id):
        return
    for path in home.deadletter.glob(f"{request_id}.*.error.json"):
        letter = _read(DeadLetter, path)
        if letter is not None:
            raise RequestError(letter.message, code=letter.code, hint=letter.hint, field=letter.field)


def command(home: Home, order: Command) -> Path:
    """Leave ``order`` for the daemon in bus/control/ and return the file. It is gone when it was
    carried out. Raises ConfigError when ``home`` is none."""
    if not home.control.is_dir():
        raise ConfigError(f"{home.root} is not a home", hint='Make one with "swarmd init".')
    path = home.control / f"{order.command}.{short_id(8)}.json"
    durable.write(path, dump(order))
    return path


def requests(home: Home, limit: int = 200) -> list[RequestState]:
    """The requests that wait, are active, or have ended (the last ``limit`` of these), oldest first."""
    active = [path.name for path in _folder(home.active) if path.is_dir()]
    ended = sorted(_folder(home.outbox), key=_mtime)[-limit:]
    finished = [path.stem for path in ended if path.suffix == ".json" and not path.name.startswith(".")]
    states = [status(home, request_id) for request_id in dict.fromkeys([*finished, *active])]
    taken = {state.request_id for state in states if state}
    waiting = [state for state in _waiting(home) if state.request_id not in taken]
    return [*(state for state in states if state), *waiting]


def status(home: Home, request_id: str) -> RequestState | None:
    """What the folders say about ``request_id``; None when they do not know it."""
    result = _read(Result, home.outbox / f"{request_id}.json")
    folder = _request_folder(home, request_id)
    request = _read(AcceptedRequest, folder / "request.json") if folder else None
    if folder is None or request is None:
        if result is not None:
            return RequestState(request_id, result.status, result=result)
        return next((state for state in _waiting(home) if state.request_id == request_id), None)
    plan = _read(Plan, folder / "plan.json")
    tasks = [_read(Packet, path) for path in sorted(_folder(folder / "tasks"))]
    state = result.status if result else "running" if plan else "planning"
    return RequestState(
        request_id, state, request.priority, request, plan, [task for task in tasks if task], result
    )


def _request_folder(home: Home, request_id: str) -> Path | None:
    folders = [home.request_folder(request_id)]
    folders += [day / request_id for day in sorted(_folder(home.done), reverse=True)]
    return next((folder for folder in folders if folder.is_dir()), None)


def _accepted(home: Home, request_id: str) -> AcceptedRequest | None:
    folder = _request_folder(home, request_id)
    return _read(AcceptedRequest, folder / "request.json") if folder else None


def _waiting(home: Home) -> list[RequestState]:
    """What ``submit`` dropped and nobody has taken: the id is the file name's first part."""
    return [
        RequestState(path.name.partition(".")[0], "waiting", priority)
        for priority in PRIORITIES
        for path in sorted(_folder(home.inbox / priority), key=_mtime)
        if not path.name.startswith(".")
    ]


def _folder(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _mtime(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _read(kind: type[M], path: Path) -> M | None:
    """The message in ``path``; None when it is absent, or not (any more) a message of that kind."""
    try:
        return load(kind, durable.read_regular(path, _MAX_FILE))
    except (OSError, ValidationError):
        return None
