"""Every message that crosses a process boundary or stays on disk, as a versioned pydantic model.

Names are snake_case, moments UTC RFC 3339 strings, money integer micro-USD, unknown fields refused.
"""

from swarmd.messages._base import SHORT_ID, Message, dump, load
from swarmd.messages.calibration import Calibration, EditForm, FormScore, FormTrial, ModelIdentity
from swarmd.messages.call import CallContext, ChatCall, ChatMessage, ChatReply, Usage
from swarmd.messages.example import Example, Step
from swarmd.messages.gate import Failure, GateCounts, GateResult, GateSpec, TestFailure, Verdict
from swarmd.messages.job import DISK_FULL, Job, JobReport, Spectrum, Survey, Suspect
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
    "Calibration",
    "CallContext",
    "CallRecord",
    "ChatCall",
    "ChatMessage",
    "ChatReply",
    "Command",
    "DeadLetter",
    "EditForm",
    "ErrorInfo",
    "Example",
    "Failure",
    "FormScore",
    "FormTrial",
    "GateCounts",
    "GateResult",
    "GateSpec",
    "Job",
    "JobReport",
    "Lease",
    "Limits",
    "Message",
    "ModelIdentity",
    "Order",
    "Outcome",
    "Packet",
    "PacketStatus",
    "Plan",
    "Priority",
    "Proposal",
    "Request",
    "Result",
    "Spectrum",
    "Step",
    "Survey",
    "Suspect",
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
