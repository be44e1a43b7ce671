"""Two files that say which agents there have been and which run now.

Both are views for people and programs: the master rebuilds them, so losing one loses counters, not
work. They are replaced in one step; a reader never sees half of one. What the writer holds is plain and
keeps the text of each agent, so that a change costs that agent's text and one write, however many there
are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
from pydantic import Field, ValidationError

from swarmd import durable
from swarmd.clock import Clock, rfc3339
from swarmd.home import Home
from swarmd.messages import Message, load

__all__ = [
    "ActiveAgent",
    "ActiveAgents",
    "AgentRecord",
    "AgentsRegistry",
    "Registry",
    "read_active",
    "read_registry",
]

MAX_RECORDS = 1000
"""Agents that are remembered; beyond that, the ones that were seen longest ago are forgotten."""
_MAX_FILE = 16 * 1024 * 1024

AgentStatus = Literal["starting", "idle", "working", "terminated", "lost"]


class AgentRecord(Message):
    """What is remembered of one agent."""

    agent_id: str
    agent_type: str
    skills: list[str] = Field(default_factory=list)
    status: AgentStatus = "starting"
    """lost: it ended without being told to."""
    spawned: int = 0
    """How often a process was started under this id."""
    tasks_done: int = 0
    tasks_failed: int = 0
    orders: int = 0
    """How many orders it has answered."""
    busy_ms: int = 0
    """How long these took it together, in milliseconds."""
    success_rate: float | None = None
    """tasks_done as a part of all its tasks that were judged; None: there are none yet."""
    mean_latency_ms: int | None = None
    """From an order to its answer, on average; None: there are none yet."""
    rss_bytes: int = 0
    cpu_percent: float = 0.0
    """Both as last measured."""
    first_seen: str
    last_seen: str
    """When its status last changed."""


class AgentsRegistry(Message):
    """council/keys/agents-registry.json: all agents."""

    updated_at: str
    agents: dict[str, AgentRecord] = Field(default_factory=dict)


class ActiveAgent(Message):
    """What is known of one running agent."""

    agent_id: str
    agent_type: str
    skills: list[str] = Field(default_factory=list)
    pid: int
    start_ticks: int
    """The process's start, in clock ticks since boot: with the pid it names one process."""
    boot_id: str = ""
    status: AgentStatus = "starting"
    started_at: str
    heartbeat_at: str
    progress: int = 0
    """Rises while it works."""
    doing: str = ""
    rss_bytes: int = 0
    cpu_percent: float = 0.0
    request_id: str | None = None
    task_id: str | None = None
    tasks_done: int = 0
    tasks_failed: int = 0
    success_rate: float | None = None
    mean_latency_ms: int | None = None
    """These four as in the registry, over all processes of that id."""


class ActiveAgents(Message):
    """council/keys/active-agents.json: the agents that run now."""

    updated_at: str
    agents: dict[str, ActiveAgent] = Field(default_factory=dict)


M = TypeVar("M", bound=Message)


def _read(path: Path, kind: type[M]) -> M | None:
    """The content of ``path``; None when it is absent or not what it should be."""
    try:
        return load(kind, durable.read_regular(path, _MAX_FILE))
    except (OSError, ValidationError):
        return None


def read_registry(home: Home) -> AgentsRegistry | None:
    """All agents ever seen in ``home``; None when the file is absent or unreadable."""
    return _read(home.registry_file, AgentsRegistry)


def read_active(home: Home) -> ActiveAgents | None:
    """The agents that ran when the file was last written; None when it is absent or unreadable."""
    return _read(home.active_agents_file, ActiveAgents)


@dataclass(slots=True)
class _Entry:
    """One agent: what is remembered of it and, while it runs, of its process."""

    record: dict[str, Any]
    active: dict[str, Any] | None = None
    record_text: bytes | None = None
    """As it stands in the file; None: it has changed."""
    active_text: bytes | None = None


class Registry:
    """The writer of both files: there is one per home, in the master.

    The methods only note what happened; ``write`` puts on disk what is new.
    """

    def __init__(self, home: Home, clock: Clock, boot_id: str = "") -> None:
        """Go on from the registry file, if it can be read. No agent runs yet."""
        self._home = home
        self._clock = clock
        self._boot_id = boot_id
        known = read_registry(home)
        agents = known.agents if known else {}
        self._entries = {name: _Entry(record.model_dump(mode="json")) for name, record in agents.items()}
        for entry in self._entries.values():
            if entry.record["status"] not in ("terminated", "lost"):
                entry.record["status"] = "lost"
        self._records_changed = self._active_changed = True

    @property
    def active(self) -> dict[str, ActiveAgent]:
        """The agents that run now, by id."""
        return {name: ActiveAgent(**e.active) for name, e in self._entries.items() if e.active is not None}

    @property
    def records(self) -> dict[str, AgentRecord]:
        """All agents that are remembered, by id."""
        return {name: AgentRecord(**entry.record) for name, entry in self._entries.items()}

    @property
    def changed(self) -> bool:
        """Whether the files do not say yet what is known here."""
        return self._records_changed or self._active_changed

    def runs(self, agent_id: str) -> bool:
        """Whether ``agent_id`` is known to run."""
        entry = self._entries.get(agent_id)
        return entry is not None and entry.active is not None

    def spawned(
        self, agent_id: str, agent_type: str, skills: Sequence[str], pid: int, start_ticks: int
    ) -> None:
        """A process was started for ``agent_id``."""
        now = self._now()
        entry = self._entries.get(agent_id)
        if entry is None:
            record = AgentRecord(agent_id=agent_id, agent_type=agent_type, first_seen=now, last_seen=now)
            entry = self._entries[agent_id] = _Entry(record.model_dump(mode="json"))
        active = ActiveAgent(
            agent_id=agent_id,
            agent_type=agent_type,
            pid=pid,
            start_ticks=start_ticks,
            boot_id=self._boot_id,
            started_at=now,
            heartbeat_at=now,
        )
        entry.active = active.model_dump(mode="json")
        same = {"agent_type": agent_type, "skills": list(skills), "status": "starting"}
        self._record(entry, **same, spawned=entry.record["spawned"] + 1, last_seen=now)
        self._show(entry, **same, **{name: entry.record[name] for name in _SHARED})

    def idle(self, agent_id: str) -> None:
        """The agent is ready and holds no task."""
        self._change(agent_id, "idle", request_id=None, task_id=None, doing="")

    def working(self, agent_id: str, request_id: str, task_id: str) -> None:
        """The agent was given a task."""
        self._change(agent_id, "working", request_id=request_id, task_id=task_id)

    def beat(self, agent_id: str, progress: int, doing: str) -> None:
        """The agent said that it is alive. One that does not run is ignored."""
        entry = self._entries.get(agent_id)
        if entry is not None:
            self._show(entry, heartbeat_at=self._now(), progress=progress, doing=doing[:200])

    def measured(self, agent_id: str, rss_bytes: int, cpu_percent: float) -> None:
        """What the agent's process uses. One that does not run is ignored."""
        entry = self._entries.get(agent_id)
        if entry is not None and entry.active is not None:
            used = {"rss_bytes": rss_bytes, "cpu_percent": round(cpu_percent, 1)}
            self._show(entry, **used)
            self._record(entry, **used)

    def answered(self, agent_id: str, seconds: float) -> None:
        """The agent has answered an order, ``seconds`` after it was given it."""
        entry = self._entries.get(agent_id)
        if entry is not None:
            orders = entry.record["orders"] + 1
            busy = entry.record["busy_ms"] + max(0, round(seconds * 1000))
            self._record(entry, orders=orders, busy_ms=busy, mean_latency_ms=round(busy / orders))
            self._show(entry, mean_latency_ms=entry.record["mean_latency_ms"])

    def task_ended(self, agent_id: str, *, done: bool) -> None:
        """The agent's task was judged: done, or given up."""
        entry = self._entries.get(agent_id)
        if entry is not None:
            counter = "tasks_done" if done else "tasks_failed"
            self._record(entry, **{counter: entry.record[counter] + 1})
            good, bad = entry.record["tasks_done"], entry.record["tasks_failed"]
            self._record(entry, success_rate=round(good / (good + bad), 4))
            self._show(entry, **{name: entry.record[name] for name in _SHARED})

    def ended(self, agent_id: str, *, lost: bool) -> None:
        """The agent's process is gone; ``lost``: without having been told to end."""
        self._change(agent_id, "lost" if lost else "terminated")
        entry = self._entries.get(agent_id)
        if entry is not None and entry.active is not None:
            entry.active = entry.active_text = None
            self._active_changed = True

    def write(self) -> None:
        """Replace the files that are to say something new. Raises OSError when the disk does not take
        them; they are new still, then."""
        now = self._now()
        self._forget_oldest()
        if self._records_changed:
            durable.write(self._home.registry_file, self._records_text(now), durable=False)
            self._records_changed = False
        if self._active_changed:
            durable.write(self._home.active_agents_file, self._active_text(now), durable=False)
            self._active_changed = False

    def _records_text(self, now: str) -> bytes:
        texts = []
        for name, entry in self._entries.items():
            if entry.record_text is None:
                entry.record_text = _line(name, entry.record)
            texts.append(entry.record_text)
        return _file(now, texts)

    def _active_text(self, now: str) -> bytes:
        texts = []
        for name, entry in self._entries.items():
            if entry.active is not None:
                if entry.active_text is None:
                    entry.active_text = _line(name, entry.active)
                texts.append(entry.active_text)
        return _file(now, texts)

    def _change(self, agent_id: str, status: AgentStatus, **fields: str | None) -> None:
        entry = self._entries.get(agent_id)
        if entry is None:
            return
        if entry.record["status"] != status:
            self._record(entry, status=status, last_seen=self._now())
        self._show(entry, status=status, **fields)

    def _record(self, entry: _Entry, **fields: object) -> None:
        if any(entry.record[name] != value for name, value in fields.items()):
            entry.record.update(fields)
            entry.record_text, self._records_changed = None, True

    def _show(self, entry: _Entry, **fields: object) -> None:
        active = entry.active
        if active is not None and any(active[name] != value for name, value in fields.items()):
            active.update(fields)
            entry.active_text, self._active_changed = None, True

    def _forget_oldest(self) -> None:
        if len(self._entries) <= MAX_RECORDS:
            return
        gone = [(e.record["last_seen"], name) for name, e in self._entries.items() if e.active is None]
        for _, name in sorted(gone)[: len(self._entries) - MAX_RECORDS]:
            del self._entries[name]
            self._records_changed = True

    def _now(self) -> str:
        return rfc3339(self._clock.now())


_SHARED = ("tasks_done", "tasks_failed", "success_rate", "mean_latency_ms")
"""What both files say of an agent."""


def _line(name: str, agent: dict[str, Any]) -> bytes:
    return b"\n    " + orjson.dumps(name) + b": " + orjson.dumps(agent)


def _file(now: str, agents: Sequence[bytes]) -> bytes:
    """A whole file as ``AgentsRegistry`` and ``ActiveAgents`` have it, one line for each agent."""
    head = b'{\n  "v": 1,\n  "updated_at": ' + orjson.dumps(now) + b',\n  "agents": {'
    return head + b",".join(agents) + (b"\n  }\n}\n" if agents else b"}\n}\n")
