"""How far the active requests are: folded from the log, which is the only place where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from swarmd.audit import Line, read_lines
from swarmd.errors import AuditError
from swarmd.home import Home

__all__ = ["Progress", "TaskProgress", "fold", "progress_of"]

TASK_STATES = {
    "task_created": "pending",
    "task_ready": "ready",
    "lease_expired": "ready",
    "task_assigned": "running",
    "proposal_received": "verifying",
    "verification_start": "verifying",
    "verification_fail": "ready",
    "task_complete": "succeeded",
    "task_abort": "failed",
}
"""The state that an event brings a task into."""

REQUEST_STATES = {
    "request_received": "planning",
    "plan_created": "running",
    "request_cancelling": "cancelling",
    "request_failing": "failing",
}
"""The state that an event brings a request into."""

OVER = frozenset({"succeeded", "failed", "skipped", "cancelled"})


@dataclass
class TaskProgress:
    """One task, as far as the log has come."""

    task_id: str
    agent_type: str = ""
    action: str = ""
    status: str = "pending"
    tier: str = ""
    attempt: int = 0
    agent_id: str = ""
    """Who worked on it last."""


@dataclass
class Progress:
    """One request, as far as the log has come."""

    state: str = ""
    """Empty: no line speaks of it yet."""
    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    warrants: list[str] = field(default_factory=list)
    """Those that were asked for."""

    def __str__(self) -> str:
        """Tasks done, of all: 2/3."""
        return (
            f"{sum(task.status in OVER for task in self.tasks.values())}/{len(self.tasks)}"
            if self.tasks
            else "-"
        )


def progress_of(home: Home, request_ids: Collection[str]) -> dict[str, Progress]:
    """The progress of each request. Raises AuditError when the log cannot be read."""
    if not request_ids:
        return {}
    try:
        return fold((line for line, _ in read_lines(home.master_log)), request_ids)
    except orjson.JSONDecodeError as error:
        raise AuditError(f"{home.master_log} holds a line that is not JSON: {error}") from error


def fold(lines: Iterable[Line], request_ids: Collection[str]) -> dict[str, Progress]:
    """The progress of each request after ``lines``. Events that are not known change nothing."""
    found = {request_id: Progress() for request_id in request_ids}
    for line in lines:
        request = found.get(str(line.get("request_id")))
        if request is not None:
            _apply(request, str(line.get("event")), line)
    return found


def _apply(request: Progress, event: str, line: Line) -> None:
    data = line["data"] if isinstance(line.get("data"), dict) else {}
    request.state = REQUEST_STATES.get(event, request.state)
    if event == "warrant_requested":
        request.warrants.append(str(data.get("warrant")))
    task_id = line.get("task_id")
    if isinstance(task_id, str) and event in TASK_STATES:
        _apply_to_task(request.tasks.setdefault(task_id, TaskProgress(task_id)), event, line, data)


def _apply_to_task(task: TaskProgress, event: str, line: Line, data: dict[str, Any]) -> None:
    task.status = TASK_STATES[event]
    task.tier, task.attempt = str(line.get("tier") or task.tier), int(line.get("attempt") or task.attempt)
    if event == "task_created":
        task.agent_type, task.action = str(data.get("agent_type") or ""), str(data.get("action") or "")
    elif event == "task_assigned":
        task.agent_id = str(line.get("actor") or "")
    elif event == "task_abort":  # failed, skipped or cancelled
        task.status = str(line.get("status") or task.status)
