"""The log lines that tell how a task gets on."""

from __future__ import annotations

from swarmd.coding.policy import Try
from swarmd.daemon.journal import Event, event
from swarmd.daemon.state import RequestState, TaskState
from swarmd.messages import Order, Outcome, Proposal

__all__ = ["assigned", "completed", "judged"]


def assigned(task: TaskState, order: Order, step: Try, agent_id: str, expires_s: float) -> list[Event]:
    """The lines of an order that is given: an escalation, if it is one, and task_assigned. ``expires_s``:
    when its lease ends, on the boot clock."""
    packet = order.packet
    events = []
    if task.history and task.history[-1].tier != order.tier:
        last = task.history[-1]
        events.append(
            event(
                "escalation",
                request_id=packet.request_id,
                task_id=packet.task_id,
                tier=order.tier,
                attempt=order.attempt,
                data={
                    "agent_type": packet.agent_type,
                    "from": last.tier,
                    "to": order.tier,
                    "reason": step.why or (last.failure.kind if last.failure else ""),
                },
            )
        )
    events.append(
        event(
            "task_assigned",
            actor=agent_id,
            request_id=packet.request_id,
            task_id=packet.task_id,
            tier=order.tier,
            attempt=order.attempt,
            data={
                "agent_type": packet.agent_type,
                "order_id": order.order_id,
                "sample": order.sample,
                "width": order.width,
                "way": order.way,
                "epoch": order.epoch,
                "temperature_milli": round(order.temperature * 1000),
                "lease_expires_boot_ms": round(expires_s * 1000),
            },
        )
    )
    return events


def judged(
    request: RequestState,
    task: TaskState,
    outcome: Outcome,
    *,
    verdict: str | None = None,
    gates: list[dict[str, object]] | None = None,
    actor: str = "master",
    then: str = "",
) -> Event:
    """The line verification_pass or verification_fail for one sample; ``then``: what follows on it."""
    return event(
        "verification_pass" if outcome.ok else "verification_fail",
        actor=actor,
        level="info" if outcome.ok else "warning",
        request_id=request.request.request_id,
        task_id=task.packet.task_id,
        tier=outcome.tier,
        attempt=outcome.attempt,
        diff_size=outcome.diff_lines,
        status="pass" if outcome.ok else (outcome.failure.kind if outcome.failure else "fail"),
        data={
            "agent_type": task.packet.agent_type,
            "outcome": outcome.model_dump(mode="json"),
            "verdict": verdict,
            "gates": gates or [],
            "then": then,
        },
    )


def completed(request: RequestState, task: TaskState, proposal: Proposal) -> Event:
    """The line task_complete of a task whose proposal needs no verifier."""
    return event(
        "task_complete",
        request_id=request.request.request_id,
        task_id=task.packet.task_id,
        tier=task.tier,
        attempt=task.attempt,
        status="succeeded",
        data={
            "agent_type": task.packet.agent_type,
            "text": proposal.text[:8000],
            "summary": proposal.summary[:4000],
        },
    )
