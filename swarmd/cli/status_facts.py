"""What the folders and files of a home say, gathered fast enough to ask at any time.

Nothing here asks the daemon, takes a lock, or looks at each of many files: folders are counted by
their names alone, and the log is read from its end. pydantic is not loaded, so what is read is checked
by hand, and what does not fit is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from swarmd import durable
from swarmd.daemon import presence
from swarmd.daemon.presence import Presence
from swarmd.home import Home

__all__ = ["Facts", "Live", "gather"]

PRIORITIES = ("critical", "high", "normal", "low")
SHOWN = 10
"""Most active requests and last results that are named."""
TAIL_BYTES = 256 * 1024
"""How much of the log's end is searched for results."""
MAX_VIEW = 16 * 1024 * 1024
VERY_MANY = 5000
FRESH_S = 5.0
"""So old may the daemon's own figures be."""
IGNORED = (".tmp", ".part", "~")
"""Names in an inbox that are no requests: they are still being written."""
RECORD = ".error.json"


@dataclass(frozen=True)
class Live:
    """What the running daemon says of itself in bus/status.json."""

    at: str
    durability: str
    paused: bool
    intake: str
    """open, or why no request is taken at the moment."""
    waiting_for_space: bool
    waiting: dict[str, int]
    """Files in the inbox, by priority, as it knew them then."""
    stale_s: float
    """How old it is, in seconds, by the wall clock."""


@dataclass(frozen=True)
class Facts:
    """All that "swarmd status" shows."""

    daemon: Presence | None
    live: Live | None
    """None without a daemon, or when the one that runs has not said anything yet."""
    waiting: dict[str, int]
    """Files in the inbox, by priority."""
    active: int
    active_shown: list[tuple[str, str]]
    """Some active requests, each with its state."""
    agents: list[dict[str, Any]]
    results: int
    """How many results lie in bus/outbox/."""
    last_results: list[dict[str, Any]]
    """The newest results, newest first: at, request_id, status."""
    dead_letters: int
    warrants: list[str]
    free_mib: int | None
    """Room on the home's disk."""


def gather(home: Home, now: datetime | None = None) -> Facts:
    """Look at ``home``. What is missing or unreadable counts as empty: this never fails because of it."""
    running = presence.read(home)
    live = _live(home, running, now or datetime.now(UTC)) if running else None
    active = [name for name in _names(home.active) if _is_shown(name)]
    return Facts(
        daemon=running,
        live=live,
        waiting=_waiting(home, live),
        active=len(active),
        active_shown=sorted((name, _state(home.active / name)) for name in active[:SHOWN]),
        agents=_agents(home) if running else [],
        results=len([name for name in _names(home.outbox) if name.endswith(".json") and name[0] != "."]),
        last_results=list(islice(_last_results(home), SHOWN)),
        dead_letters=sum(name.endswith(RECORD) for name in _names(home.deadletter)),
        warrants=sorted(
            name.removesuffix(".json")
            for name in _names(home.warrants / "pending")
            if name.endswith(".json") and _is_shown(name)
        ),
        free_mib=_free_mib(home.root),
    )


def _waiting(home: Home, live: Live | None) -> dict[str, int]:
    """Files in the inbox, by priority. Of very many the daemon's own count will do: to list them takes
    longer than a person likes to wait."""
    if live and live.stale_s < FRESH_S and sum(live.waiting.values()) > VERY_MANY:
        return live.waiting
    waiting = {priority: _requests(home.inbox / priority) for priority in PRIORITIES}
    waiting["normal"] += _requests(home.inbox) - sum((home.inbox / name).is_dir() for name in PRIORITIES)
    return waiting


def _names(folder: Path) -> list[str]:
    """The names in ``folder``, without a look at any of the files."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - with 100,000 of them, half the time of the others
    except OSError:
        return []


def _free_mib(folder: Path) -> int | None:
    try:
        room = os.statvfs(folder)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize >> 20


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def _requests(folder: Path) -> int:
    """How many names there are of requests; a loop without calls, for there may be very many."""
    return len([name for name in _names(folder) if not (name[0] == "." or name.endswith(IGNORED))])


def _state(folder: Path) -> str:
    return "running" if (folder / "plan.json").exists() else "planning"


def _json(path: Path) -> Mapping[str, Any]:
    """The object in ``path``; an empty one when there is none."""
    try:
        found = orjson.loads(durable.read_regular(path, MAX_VIEW))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _live(home: Home, running: Presence, now: datetime) -> Live | None:
    """The daemon's own words; None when they are those of an earlier one."""
    found = _json(home.status_file)
    at = _moment(found.get("at"))
    if found.get("pid") != running.pid or at is None or at < _began(running):
        return None
    return Live(
        at=str(found["at"]),
        durability=str(found.get("durability") or "unknown"),
        paused=found.get("paused") is True,
        intake=str(found.get("intake") or "open"),
        waiting_for_space=bool(found.get("waiting_for_space")),
        waiting=_counts(found.get("waiting")),
        stale_s=round((now - at).total_seconds(), 3),
    )


def _counts(found: object) -> dict[str, int]:
    counts = found if isinstance(found, dict) else {}
    return {name: count for name in PRIORITIES if isinstance(count := counts.get(name, 0), int)}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _began(running: Presence) -> datetime:
    """When it started: a pid may return, and a view of an earlier process with it."""
    return _moment(running.started_at) or datetime.min.replace(tzinfo=UTC)


def _agents(home: Home) -> list[dict[str, Any]]:
    agents = _json(home.active_agents_file).get("agents")
    found = agents.values() if isinstance(agents, dict) else ()
    known = (agent for agent in found if isinstance(agent, dict) and isinstance(agent.get("agent_id"), str))
    return sorted(known, key=lambda agent: str(agent["agent_id"]))


def _last_results(home: Home) -> Iterator[dict[str, Any]]:
    """Ended requests, newest first, as far as the end of the log tells of them."""
    for path in (home.master_log, _newest_archived(home)):
        for raw in reversed(_tail(path) if path else []):
            if b'"request_complete"' not in raw:
                continue
            try:
                line = orjson.loads(raw)
            except ValueError:  # cut off at the beginning, torn at the end, or damaged
                continue
            if isinstance(line, dict) and line.get("event") == "request_complete":
                yield {"at": line.get("ts")} | {name: line.get(name) for name in ("request_id", "status")}


def _newest_archived(home: Home) -> Path | None:
    """The segment before the one that is written now, by its number."""
    folder = home.logs / "archive"
    name = max((name for name in _names(folder) if name.startswith("master.")), default="")
    return folder / name if name else None


def _tail(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read(TAIL_BYTES).splitlines()
    except OSError:
        return []
