"""Which tasks a request cannot do without."""

from __future__ import annotations

from swarmd.daemon.state import RequestState, TaskState
from swarmd.planning.kinds import asks_for_tests

__all__ = ["blocker", "is_optional", "required_failure"]


def is_optional(request: RequestState, task: TaskState) -> bool:
    """Whether the request goes on without ``task``, with a warning in its result: review and git say
    something about the work, and tests that were not asked for add to it."""
    kind = request.plan.kind if request.plan else request.request.kind
    if task.packet.agent_type == "git":
        return True
    if task.packet.agent_type == "review":
        return not any(o.failure and o.failure.kind == "review" for o in task.history) and kind != "review"
    wanted = kind == "test" or asks_for_tests(request.request.user_request)
    return task.packet.agent_type == "testing" and not wanted


def required_failure(request: RequestState) -> TaskState | None:
    """The first task whose failure makes the whole request fail."""
    for task in request.tasks.values():
        if task.status in ("failed", "skipped") and not is_optional(request, task):
            return task
    return None


def blocker(request: RequestState, task: TaskState) -> TaskState | None:
    """The first task that ``task`` depends on, that did not succeed, and that it cannot do without."""
    for name in task.packet.dependencies:
        needed = request.tasks[name]
        if not needed.ended or needed.status == "succeeded":
            continue
        # One that was skipped had a blocker itself.
        if needed.status != "failed" or not is_optional(request, needed):
            return needed
    return None
