"""Requests that are about no project: one packet, for an agent type that needs none."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.errors import PlanError
from swarmd.messages import AcceptedRequest, Packet, Plan
from swarmd.planning.kinds import resolve
from swarmd.planning.typeinfo import TypeInfo

__all__ = ["plan_unattached"]

_ACTION = 600


def plan_unattached(
    request: AcceptedRequest, types: Mapping[str, TypeInfo], *, max_attempts: int
) -> Plan | None:
    """The plan of a request that names no workspace and whose agent type needs none, made without a
    model and without a repository; None when it is about a project (or will be refused as such)."""
    if request.workspace is not None or all(info.needs_workspace for info in types.values()):
        return None
    try:
        kind, info = resolve(request, types, tests_fail=False)
    except PlanError:
        return None  # the ordinary way says what is wrong with it
    if info.needs_workspace:
        return None
    packet = Packet(
        packet_id=f"pkt-{request.request_id}-001",
        task_id="task-001",
        request_id=request.request_id,
        agent_type=info.name,
        skill=info.skills[0] if len(info.skills) == 1 else None,
        action=" ".join(request.user_request[: 4 * _ACTION].split())[:_ACTION],
        priority=request.priority,
        tier=request.tier or info.tier or "fast",
        max_attempts=info.attempts or max_attempts,
    )
    note = f"{info.name} works without a project"
    return Plan(request_id=request.request_id, origin="direct", kind=kind, packets=[packet], note=note)
