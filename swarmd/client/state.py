"""What the folders say about requests. Reading never changes anything."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from swarmd import durable
from swarmd.home import Home
from swarmd.messages import PRIORITIES, AcceptedRequest, Message, Packet, Plan, Priority, Result, load

__all__ = [
    "RequestState",
    "accepted",
    "done_folder",
    "is_known",
    "read",
    "requests",
    "result_of",
    "status",
    "waiting_files",
]

_MAX_FILE = 64 * 1024 * 1024

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


def status(home: Home, request_id: str) -> RequestState | None:
    """What the folders say about ``request_id``; None when they do not know it.

    The inbox is listed (its files are not looked at) only for an id that is known nowhere else.
    """
    result = read(Result, home.outbox / f"{request_id}.json")
    folder = _request_folder(home, request_id)
    request = read(AcceptedRequest, folder / "request.json") if folder else None
    if folder is None or request is None:
        if result is not None:
            return RequestState(request_id, result.status, result=result)
        waiting = next(waiting_files(home, request_id), None)
        return RequestState(request_id, "waiting", waiting[0]) if waiting else None
    if result is None and folder.parent != home.active:
        result = read(Result, folder / "result.json")  # somebody has cleared the outbox
    plan = read(Plan, folder / "plan.json")
    tasks = [read(Packet, folder / "tasks" / name) for name in sorted(_names(folder / "tasks"))]
    state = result.status if result else "running" if plan else "planning"
    return RequestState(
        request_id, state, request.priority, request, plan, [task for task in tasks if task], result
    )


def requests(home: Home, limit: int = 200) -> list[RequestState]:
    """The requests that have ended, are active, or wait, each group oldest first.

    Of those that have ended the last ``limit`` count, of those that wait the first ``limit`` in each
    priority: it stays usable with a hundred thousand of both.
    """
    ended = [
        name.removesuffix(".json")
        for name in reversed(heapq.nlargest(limit, _names(home.outbox), _Ages(home.outbox).age))
        if name.endswith(".json")
    ]
    active = _names(home.active)
    states = [status(home, request_id) for request_id in dict.fromkeys([*ended, *active])]
    taken = {state.request_id for state in states if state}
    waiting = [state for state in _waiting(home, limit) if state.request_id not in taken]
    return [*(state for state in states if state), *waiting]


def waiting_files(home: Home, request_id: str) -> Iterator[tuple[Priority, Path]]:
    """The dropped files of ``request_id`` that nobody has taken, most urgent first: the id is the
    name's part before the first dot."""
    prefix = f"{request_id}."
    for priority in PRIORITIES:
        folder = home.inbox / priority
        yield from ((priority, folder / name) for name in _names(folder) if name.startswith(prefix))


def accepted(home: Home, request_id: str) -> AcceptedRequest | None:
    """The request as the daemon took it, active or ended; None when it took none of this id."""
    folder = _request_folder(home, request_id)
    return read(AcceptedRequest, folder / "request.json") if folder else None


def is_known(home: Home, request_id: str) -> bool:
    """Whether the daemon has acknowledged a request of this id."""
    # In the order in which a request moves, so that it cannot slip through between two looks.
    return (
        home.request_folder(request_id).is_dir()
        or (home.outbox / f"{request_id}.json").exists()
        or done_folder(home, request_id) is not None
    )


def done_folder(home: Home, request_id: str) -> Path | None:
    """Where the folder of the ended request ``request_id`` lies; the cost grows with the days."""
    days = (home.done / day / request_id for day in sorted(_names(home.done), reverse=True))
    return next((folder for folder in days if folder.is_dir()), None)


def result_of(home: Home, request_id: str) -> Result | None:
    """The result of a request whose outbox file was cleared, from its folder in bus/done/."""
    folder = done_folder(home, request_id)
    return read(Result, folder / "result.json") if folder else None


def read(kind: type[M], path: Path) -> M | None:
    """The message in ``path``; None when it is absent, or not (any more) a message of that kind."""
    try:
        return load(kind, durable.read_regular(path, _MAX_FILE))
    except (OSError, ValidationError):
        return None


def _request_folder(home: Home, request_id: str) -> Path | None:
    folder = home.request_folder(request_id)
    return folder if folder.is_dir() else done_folder(home, request_id)


def _waiting(home: Home, limit: int) -> Iterator[RequestState]:
    for priority in PRIORITIES:
        folder = home.inbox / priority
        for name in heapq.nsmallest(limit, _names(folder), _Ages(folder).age):
            yield RequestState(name.partition(".")[0], "waiting", priority)


class _Ages:
    """When the files of a folder were written, for sorting by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)

    def age(self, name: str) -> int:
        """The file's modification time, in nanoseconds; 0 when it is gone."""
        with contextlib.suppress(OSError):
            return os.lstat(f"{self._folder}/{name}").st_mtime_ns
        return 0


def _names(folder: Path) -> list[str]:
    """The visible names in ``folder``; none when it is missing."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - speed
    except OSError:
        return []
