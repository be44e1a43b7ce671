"""The log is the commit: the one way in which the master's state changes.

A change first writes its payload files (synced as a group), then its lines (synced as a group); what
has no line did not happen. The lines are then applied to the state, by the same code that folds them
after a restart. Lines that belong to an agent type or to a model are copied into those logs, whose
heads the master's log anchors.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from swarmd import durable
from swarmd.audit import Chain, Line
from swarmd.clock import Clock, rfc3339
from swarmd.home import Home

__all__ = ["Event", "Journal", "event"]

Event = dict[str, Any]
T = TypeVar("T")

_CHAINED = ("v", "seq", "writer", "prev")
"""What every log gives its lines itself."""
_MAX_DATA = 48 * 1024
"""Longest ``data`` in bytes: it leaves room in the 64 KiB of a line for the rest of it."""
_CAPS = ((8000, 200), (1500, 60), (400, 20), (200, 10))
"""Characters of a string and items of a list, from the widest caps to those that always fit."""
_MAX_INT = 2**53 - 1
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FIELDS = ("request_id", "task_id", "tier", "attempt", "latency_ms", "diff_size", "status")


def event(
    name: str,
    *,
    actor: str = "master",
    level: str = "info",
    data: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Event:
    """One line to be: ``fields`` are those of every log line (request_id, task_id, tier, attempt,
    latency_ms, diff_size, status); everything else goes into ``data``."""
    unknown = fields.keys() - set(_FIELDS)
    if unknown:
        raise TypeError(f"not fields of a log line: {sorted(unknown)}")
    present = {key: fields[key] for key in _FIELDS if fields.get(key) is not None}
    return {"event": name, "level": level, "actor": actor, **present, "data": _fitted(dict(data or {}))}


def _fitted(data: dict[str, Any]) -> Any:
    """``data`` as the log takes it, cut until it fits: much of it comes from models and projects, and
    a line that is refused would end the daemon, and the next one, which comes to the same line."""
    cleaned: Any = {}
    for chars, items in _CAPS:
        cleaned = _clean(data, chars, items)
        if len(orjson.dumps(cleaned)) <= _MAX_DATA:
            break
    return cleaned


def _clean(value: Any, chars: int, items: int) -> Any:
    """``value`` without lone surrogates (file names may bring them), endless parts and giant numbers."""
    if isinstance(value, str):
        return value[:chars].encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key, chars, items): _clean(part, chars, items) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(part, chars, items) for part in value[:items]]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_MAX_INT, min(value, _MAX_INT))
    return value


def _make_folders(files: Mapping[Path, bytes]) -> None:
    for folder in {path.parent for path in files}:
        if not folder.is_dir():
            durable.make_dirs(folder)
            durable.sync_dir(folder.parent)


class Journal:
    """The writer of all logs of a home."""

    def __init__(self, home: Home, clock: Clock, apply: Callable[[Line, int], None]) -> None:
        durable.make_dirs(home.logs / "agents")
        self._home = home
        self._clock = clock
        self._apply = apply
        self.on_line: Callable[[Line], None] = lambda line: None
        """Told every line after the state has taken it into account."""
        self._writer = f"{os.getpid()}"
        self._views: dict[Path, Chain] = {}
        self._lock = asyncio.Lock()
        self._failed: durable.FsyncFailedError | None = None
        self.master = Chain(home.master_log, self._writer)
        self.lines_since_checkpoint = 0
        self.waiting_for_space = False

    async def commit(self, *events: Event, files: Mapping[Path, bytes] | None = None) -> list[Line]:
        """Make ``events`` happen, with the payload ``files`` they speak of. Returns the lines.

        A full disk is waited for: nothing is lost and nothing else is committed meanwhile. Raises
        FsyncFailedError, after which this process must end and nothing can be committed any more.
        """
        async with self._lock:
            return await self.with_room(lambda: self._commit(events, files or {}))

    async def with_room(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, which is tried again for as long as the disk is full."""
        while True:
            try:
                done = work()
            except OSError as error:
                if error.errno not in _FULL or isinstance(error, durable.FsyncFailedError):
                    raise
            else:
                self.waiting_for_space = False
                return done
            self.waiting_for_space = True
            await asyncio.sleep(1.0)

    def _commit(self, events: Sequence[Event], files: Mapping[Path, bytes]) -> list[Line]:
        if self._failed is not None:
            raise self._failed  # another sync may succeed, and would hide what was lost
        try:
            return self._write(events, files)
        except durable.FsyncFailedError as error:
            self._failed = error
            raise

    def _write(self, events: Sequence[Event], files: Mapping[Path, bytes]) -> list[Line]:
        if files:
            _make_folders(files)
            durable.write_group(files)
        stamp = rfc3339(self._clock.now())
        offset = self.master.size
        lines = self.master.append([{"ts": stamp, **fields} for fields in events])
        self.lines_since_checkpoint += len(lines)
        for line in lines:
            self._apply(line, offset)
            self.on_line(line)
        with contextlib.suppress(OSError):  # views; the master's log has the lines
            self._copy(lines)
        return lines

    def _copy(self, lines: Sequence[Line]) -> None:
        for line in lines:
            for path in self._view_paths(line):
                fields = {key: value for key, value in line.items() if key not in _CHAINED}
                self._view(path).append([fields], durable_write=False)

    def _view_paths(self, line: Line) -> list[Path]:
        paths = []
        agent_type = line["data"].get("agent_type")
        if agent_type:
            paths.append(self._home.agent_log(str(agent_type)))
        if line["event"].startswith(("model_", "privacy_")):
            paths.append(self._home.models_log)
        return paths

    def _view(self, path: Path) -> Chain:
        if path not in self._views:
            self._views[path] = Chain(path, self._writer)
        return self._views[path]

    def sync_views(self) -> None:
        """Make the copies durable: a head may only be anchored when power loss cannot undo it."""
        for chain in self._views.values():
            chain.sync()

    def heads(self) -> dict[str, dict[str, Any]]:
        """Where every log stands, by its path under logs/: what an anchor holds."""
        chains = {self._home.master_log: self.master, **self._views}
        return {
            str(path.relative_to(self._home.logs)): {"seq": chain.head.seq, "hash": chain.head.hash}
            for path, chain in sorted(chains.items())
        }

    def open_views(self) -> None:
        """Open the logs that earlier runs began, so that anchors name them."""
        for path in [*sorted((self._home.logs / "agents").glob("*.jsonl")), self._home.models_log]:
            if path.exists():
                self._view(path)

    async def checkpoint(self, data: Mapping[str, Any]) -> None:
        """Anchor all logs and say where a fold of the state may begin."""
        self.sync_views()
        await self.commit(event("checkpoint", level="debug", data={**data, "heads": self.heads()}))
        self.lines_since_checkpoint = 0

    def close(self) -> None:
        """Close all logs."""
        for chain in [self.master, *self._views.values()]:
            chain.close()
