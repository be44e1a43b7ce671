"""The master's journal: its log, and the logs of agent types and models, which are copies of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from swarmd import durable
from swarmd.audit import Chain, Line, cut_broken
from swarmd.bus.journal import Event
from swarmd.bus.journal import Journal as GroupJournal
from swarmd.bus.wal import WriteAhead
from swarmd.clock import Clock, rfc3339
from swarmd.config import Durability
from swarmd.home import Home

__all__ = ["Event", "Journal", "event"]

_CHAINED = ("v", "seq", "writer", "prev")
"""What every log gives its lines itself."""
_MAX_DATA = 48 * 1024
"""Longest ``data`` in bytes: it leaves room in the 64 KiB of a line for the rest of it."""
_SHORT = 1500
"""``data`` of so few bytes needs no caps."""
_CAPS = ((8000, 200), (1500, 60), (400, 20), (200, 10))
"""Characters of a string and items of a list, from the widest caps to those that always fit."""
_MAX_INT = 2**53 - 1
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
    with contextlib.suppress(TypeError):  # nearly always there is nothing to mend
        if len(orjson.dumps(data, option=orjson.OPT_STRICT_INTEGER)) <= _SHORT:
            return data
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


class Journal(GroupJournal):
    """The writer of all logs of a home. Lines that belong to an agent type or to a model are copied into
    those logs, whose heads the checkpoints in the master's log anchor."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        apply: Callable[[Line, int], None],
        *,
        durability: Durability = "power",
        segment_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """Open the master's log, and the others that earlier runs began. What the write-ahead files
        hold must have been replayed."""
        durable.make_dirs(home.logs / "agents", home.wal)
        self._home = home
        self._writer = f"{os.getpid()}"
        self._segment_bytes = segment_bytes
        self._synced = durability != "off"
        self._views: dict[Path, Chain] = {}
        self._agent_logs: dict[str, Path] = {}
        self.on_line: Callable[[Line], None] = lambda line: None
        """Told every line after the state has taken it into account."""
        self.on_change: Callable[[], None] = lambda: None
        """Told after each group."""
        chain = Chain(home.master_log, self._writer, segment_bytes=segment_bytes)
        super().__init__(
            chain,
            WriteAhead(home.wal, chain.size) if durability == "power" else None,
            home.root,
            apply,
            lambda: rfc3339(clock.now()),
        )
        for path in [*sorted((home.logs / "agents").glob("*.jsonl")), home.models_log]:
            if path.exists():
                cut_broken(path)  # power loss, or a damaged copy: the master's log has its lines
                self._view(path)

    @property
    def master(self) -> Chain:
        """The master's log."""
        return self.chain

    def on_group(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.on_line(line)
        with contextlib.suppress(OSError):  # views; the master's log has the lines
            self._copy(lines)
        self.on_change()

    def _copy(self, lines: Sequence[Line]) -> None:
        by_path: dict[Path, list[Line]] = {}
        for line in lines:
            for path in self._view_paths(line):
                fields = {key: value for key, value in line.items() if key not in _CHAINED}
                by_path.setdefault(path, []).append(fields)
        for path, copies in by_path.items():
            self._view(path).append(copies, durable_write=False)

    def _view_paths(self, line: Line) -> list[Path]:
        paths = []
        if agent_type := line["data"].get("agent_type"):
            if agent_type not in self._agent_logs:
                self._agent_logs[agent_type] = self._home.agent_log(str(agent_type))
            paths.append(self._agent_logs[agent_type])
        if line["event"].startswith(("model_", "privacy_")):
            paths.append(self._home.models_log)
        return paths

    def _view(self, path: Path) -> Chain:
        if path not in self._views:
            self._views[path] = Chain(path, self._writer, segment_bytes=self._segment_bytes)
        return self._views[path]

    def heads(self) -> dict[str, dict[str, Any]]:
        """Where every log stands, by its path under logs/: what an anchor holds."""
        chains = {self._home.master_log: self.chain, **self._views}
        return {
            str(path.relative_to(self._home.logs)): {"seq": chain.head.seq, "hash": chain.head.hash}
            for path, chain in sorted(chains.items())
        }

    async def anchor(self, fold_from: int, *, paused: bool) -> None:
        """Sync all there is, then say in the log where every log stands, and from which byte of it a
        fold gives the state: only what power loss cannot undo may be anchored."""
        data = {"fold_from": fold_from, "paused": paused, "heads": self.heads()}
        await self.checkpoint(synced=self._synced)
        await self.commit(event("checkpoint", level="debug", data=data))
        self.lines_since_checkpoint = 0
        for chain in self._views.values():
            if chain.full:
                with contextlib.suppress(OSError):  # a later checkpoint does it
                    chain.rotate()

    def close(self) -> None:
        """Close all logs."""
        super().close()
        for chain in self._views.values():
            chain.close()
