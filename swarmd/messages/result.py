"""What a user finds in bus/outbox/."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.messages._base import Message
from swarmd.messages.call import Usage
from swarmd.messages.gate import GateResult
from swarmd.messages.packet import PacketStatus, Tier

__all__ = ["AuditPoint", "ErrorInfo", "Result", "TaskResult"]


class ErrorInfo(Message):
    """An error, for programs and for people."""

    code: str
    message: str
    hint: str = ""


class AuditPoint(Message):
    """Where the log stood when the result was written: a cut after it shows."""

    log: str
    seq: int
    hash: str


class TaskResult(Message):
    """What came of one task."""

    task_id: str
    agent_type: str
    action: str
    status: PacketStatus
    attempts: int
    samples: int
    tier: Tier
    gates: list[GateResult] = Field(default_factory=list)
    usage: Usage = Usage()
    reason: str = ""
    """Why it failed or was skipped."""


class Result(Message):
    """How a request ended. Written once, as bus/outbox/<request_id>.json."""

    request_id: str
    status: Literal["succeeded", "unconfirmed", "failed", "cancelled", "rejected"]
    """unconfirmed: it passed its gates and was delivered, but they do not tell whether new code does what was
    asked: there were no tests or examples of it, or only examples, and no other model's answer does the same.
    Look at it before you use it."""
    summary: str
    workspace: str | None = None
    branch: str | None = None
    base_commit: str | None = None
    commit: str | None = None
    patch: str | None = None
    """File name inside bus/done/<date>/<request_id>/."""
    plan_origin: str | None = None
    tasks: list[TaskResult] = Field(default_factory=list)
    tokens: dict[Literal["local", "cloud"], int]
    cost_micro_usd: dict[Literal["local", "cloud"], int]
    seconds: float
    warnings: list[str] = Field(default_factory=list)
    not_verified: list[str] = Field(default_factory=list)
    warrants: list[str] = Field(default_factory=list)
    """Ids of the warrants that wait for a human."""
    error: ErrorInfo | None = None
    audit: AuditPoint
    finished_at: str
