"""What the master's parts share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from swarmd.agents.spec import Types
from swarmd.clock import Clock
from swarmd.config import Settings
from swarmd.daemon.journal import Journal
from swarmd.daemon.state import RequestState, State, TaskState
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.workspace import PrivateRepo

__all__ = ["Context"]


@dataclass
class Context:
    """One home's running state, handed to every part by the composition root."""

    home: Home
    settings: Settings
    clock: Clock
    journal: Journal
    state: State
    types: Types
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever there may be something new to do."""
    sandbox_error: SwarmdError | None = None
    """Why model-written code cannot be run here; then every request is refused with this reason."""
    sandbox_tried: bool = False
    """It has turned out whether there is a sandbox that holds."""
    unpublished: dict[str, bytes] = field(default_factory=dict)
    """Results that are committed and could not be put into the outbox yet, by request."""
    broker_is_outdated: bool = False
    """Settings have changed that the broker read when it was started."""
    draining: bool = False
    """The daemon is about to end: nothing new is begun."""

    def repo(self, request_id: str) -> PrivateRepo:
        """The private repository of a prepared request."""
        return PrivateRepo.open(self.home.workspace(request_id))

    def task(self, request_id: str | None, task_id: str | None) -> tuple[RequestState, TaskState] | None:
        """An active request's task; None when either is gone."""
        request = self.state.requests.get(request_id or "")
        task = request.tasks.get(task_id or "") if request else None
        return (request, task) if request and task else None
