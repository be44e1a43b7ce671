"""Every message that crosses a process boundary or stays on disk, as a versioned pydantic model.

Names are snake_case, moments UTC RFC 3339 strings, money integer micro-USD, unknown fields refused.
"""

from swarmd.messages._base import SHORT_ID, Message, dump, load
from swarmd.messages.call import ChatCall, ChatMessage, ChatReply, Usage
from swarmd.messages.gate import Failure, GateCounts, GateResult, GateSpec, TestFailure, Verdict
from swarmd.messages.job import DISK_FULL, Job, JobReport, Survey
from swarmd.messages.packet import (
    Lease,
    Order,
    Outcome,
    Packet,
    PacketStatus,
    Plan,
    Proposal,
    Tier,
    Way,
)
from swarmd.messages.request import (
    KINDS,
    PRIORITIES,
    AcceptedRequest,
    Command,
    DeadLetter,
    Limits,
    Priority,
    Request,
)
from swarmd.messages.result import AuditPoint, ErrorInfo, Result, TaskResult
from swarmd.messages.transcript import CallRecord, Transcript

__all__ = [
    "DISK_FULL",
    "KINDS",
    "PRIORITIES",
    "SHORT_ID",
    "AcceptedRequest",
    "AuditPoint",
    "CallRecord",
    "ChatCall",
    "ChatMessage",
    "ChatReply",
    "Command",
    "DeadLetter",
    "ErrorInfo",
    "Failure",
    "GateCounts",
    "GateResult",
    "GateSpec",
    "Job",
    "JobReport",
    "Lease",
    "Limits",
    "Message",
    "Order",
    "Outcome",
    "Packet",
    "PacketStatus",
    "Plan",
    "Priority",
    "Proposal",
    "Request",
    "Result",
    "Survey",
    "TaskResult",
    "TestFailure",
    "Tier",
    "Transcript",
    "Usage",
    "Verdict",
    "Way",
    "dump",
    "load",
]
