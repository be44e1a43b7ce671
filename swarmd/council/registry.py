"""Two files that say which agents there have been and which run now.

Both are views for people and programs: the master rebuilds them, so losing one loses counters, not
work. They are replaced in one step; a reader never sees half of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from swarmd import durable
from swarmd.clock import Clock, rfc3339
from swarmd.home import Home
from swarmd.messages import Message, dump, load

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


class Registry:
    """The writer of both files: there is one per home, in the master.

    The methods only note what happened; ``write`` puts it on disk.
    """

    def __init__(self, home: Home, clock: Clock, boot_id: str = "") -> None:
        """Go on from the registry file, if it can be read. No agent runs yet."""
        self._home = home
        self._clock = clock
        self._boot_id = boot_id
        known = read_registry(home)
        self._records = dict(known.agents) if known else {}
        self._active: dict[str, ActiveAgent] = {}
        self._mark_lost()

    def _mark_lost(self) -> None:
        for agent_id, record in self._records.items():
            if record.status not in ("terminated", "lost"):
                self._records[agent_id] = record.model_copy(update={"status": "lost"})

    @property
    def active(self) -> dict[str, ActiveAgent]:
        """The agents that run now, by id."""
        return dict(self._active)

    @property
    def records(self) -> dict[str, AgentRecord]:
        """All agents that are remembered, by id."""
        return dict(self._records)

    def spawned(
        self, agent_id: str, agent_type: str, skills: Sequence[str], pid: int, start_ticks: int
    ) -> None:
        """A process was started for ``agent_id``."""
        now = self._now()
        known = self._records.get(agent_id)
        self._records[agent_id] = AgentRecord(
            agent_id=agent_id,
            agent_type=agent_type,
            skills=list(skills),
            spawned=known.spawned + 1 if known else 1,
            tasks_done=known.tasks_done if known else 0,
            tasks_failed=known.tasks_failed if known else 0,
            first_seen=known.first_seen if known else now,
            last_seen=now,
        )
        self._active[agent_id] = ActiveAgent(
            agent_id=agent_id,
            agent_type=agent_type,
            pid=pid,
            start_ticks=start_ticks,
            boot_id=self._boot_id,
            started_at=now,
            heartbeat_at=now,
        )

    def idle(self, agent_id: str) -> None:
        """The agent is ready and holds no task."""
        self._change(agent_id, "idle", request_id=None, task_id=None, doing="")

    def working(self, agent_id: str, request_id: str, task_id: str) -> None:
        """The agent was given a task."""
        self._change(agent_id, "working", request_id=request_id, task_id=task_id)

    def beat(self, agent_id: str, progress: int, doing: str) -> None:
        """The agent said that it is alive. One that does not run is ignored."""
        self._update(agent_id, heartbeat_at=self._now(), progress=progress, doing=doing[:200])

    def measured(self, agent_id: str, rss_bytes: int, cpu_percent: float) -> None:
        """What the agent's process uses. One that does not run is ignored."""
        self._update(agent_id, rss_bytes=rss_bytes, cpu_percent=round(cpu_percent, 1))

    def task_ended(self, agent_id: str, *, done: bool) -> None:
        """The agent's task was judged: done, or given up."""
        record = self._records.get(agent_id)
        if record is not None:
            counter = "tasks_done" if done else "tasks_failed"
            self._records[agent_id] = record.model_copy(update={counter: getattr(record, counter) + 1})

    def ended(self, agent_id: str, *, lost: bool) -> None:
        """The agent's process is gone; ``lost``: without having been told to end."""
        self._change(agent_id, "lost" if lost else "terminated")
        self._active.pop(agent_id, None)

    def write(self) -> None:
        """Replace both files. Raises OSError when the disk does not take them."""
        now = self._now()
        self._forget_oldest()
        files = {
            self._home.registry_file: dump(AgentsRegistry(updated_at=now, agents=self._records)),
            self._home.active_agents_file: dump(ActiveAgents(updated_at=now, agents=self._active)),
        }
        durable.write_group(files, durable=False)

    def _change(self, agent_id: str, status: AgentStatus, **fields: str | None) -> None:
        record = self._records.get(agent_id)
        if record is not None and record.status != status:
            update = {"status": status, "last_seen": self._now()}
            self._records[agent_id] = record.model_copy(update=update)
        self._update(agent_id, status=status, **fields)

    def _update(self, agent_id: str, **fields: object) -> None:
        agent = self._active.get(agent_id)
        if agent is not None:
            self._active[agent_id] = agent.model_copy(update=fields)

    def _forget_oldest(self) -> None:
        gone = [r for r in self._records.values() if r.agent_id not in self._active]
        gone.sort(key=lambda record: record.last_seen)
        for record in gone[: max(0, len(self._records) - MAX_RECORDS)]:
            del self._records[record.agent_id]

    def _now(self) -> str:
        return rfc3339(self._clock.now())
