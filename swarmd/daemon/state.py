"""The master's state, as a fold of its log.

``State.apply`` is the only code that changes it, live and after a restart alike. What a line leaves
out (requests, plans, verdicts) stands in a payload file that was synced before the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from swarmd.audit import Line
from swarmd.messages import (
    PRIORITIES,
    AcceptedRequest,
    Outcome,
    Packet,
    PacketStatus,
    Plan,
    Survey,
    Tier,
    Usage,
    Verdict,
    load,
)

__all__ = ["TERMINAL", "Payloads", "RequestState", "State", "TaskState"]

TERMINAL: frozenset[PacketStatus] = frozenset({"succeeded", "failed", "skipped", "cancelled"})

Payloads = Callable[[str, str], bytes]
"""Reads a payload file: (request_id, name inside the request's folder) to bytes."""

Stage = Literal["received", "prepared", "planned", "delivered", "cancelling"]


@dataclass
class TaskState:
    """One packet and everything that happened to it."""

    packet: Packet
    status: PacketStatus = "pending"
    history: list[Outcome] = field(default_factory=list)
    tier: Tier = "fast"
    attempt: int = 0
    sample: int = 0
    epoch: int = 0
    agent_id: str | None = None
    worked_by: str | None = None
    """The agent that was given it last, also after it has proposed."""
    order_id: str | None = None
    proposal: str | None = None
    """File name under proposals/, when one waits to be judged or integrated."""
    passed: bool = False
    """The proposal was judged good and waits to be integrated."""
    verdict: str | None = None
    """File name under verdicts/, of the last verdict."""
    crashes: int = 0
    commit: str | None = None
    text: str = ""
    """A commit message, findings or a plan: what an agent delivered besides a patch."""
    summary: str = ""
    reason: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in TERMINAL

    def held_by(self, agent_id: str, order_id: str | None) -> bool:
        """Whether that agent works on it, with that very order."""
        return self.status == "running" and (self.agent_id, self.order_id) == (agent_id, order_id)


@dataclass
class RequestState:
    """One active request."""

    request: AcceptedRequest
    first_seq: int
    first_offset: int
    """Byte offset in the master's log of its first line: a fold of it begins there."""
    received_ts: str
    stage: Stage = "received"
    survey: Survey | None = None
    plan: Plan | None = None
    tasks: dict[str, TaskState] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    cloud_usage: Usage = field(default_factory=Usage)
    branch: str | None = None
    commit: str | None = None
    patch: str | None = None
    warnings: list[str] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    warrants: list[str] = field(default_factory=list)
    crashes: int = 0
    error: dict[str, str] | None = None
    """Set when the request has failed as a whole: code, message, hint."""
    result_ready: bool = False

    def enter(self, stage: Stage) -> None:
        """Go on to ``stage``, unless it was cancelled: what was under way then may still be reported."""
        if self.stage != "cancelling":
            self.stage = stage

    @property
    def order(self) -> tuple[int, int]:
        """By priority, then by arrival."""
        return PRIORITIES.index(self.request.priority), self.first_seq


class State:
    """All active requests, and nothing else that matters."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self.requests: dict[str, RequestState] = {}
        self.finished: dict[str, str] = {}
        """Requests whose end was committed in this fold, with their status."""
        self._offset = 0

    def in_order(self) -> Iterator[RequestState]:
        """Active requests, the most urgent first."""
        return iter(sorted(self.requests.values(), key=lambda request: request.order))

    def fold_from(self, end: int) -> int:
        """The byte offset from which a fold of the log gives this state; ``end``: the log's size."""
        return min((request.first_offset for request in self.requests.values()), default=end)

    def apply(self, line: Line, offset: int) -> None:
        """Take one committed line into account; it begins at or after byte ``offset``.

        Lines of other requests or events change nothing.
        """
        self._offset = offset
        if line["event"] == "request_received":
            self._on_request_received(line)
            return
        request = self.requests.get(line.get("request_id", ""))
        if request is None:
            return
        handler = getattr(self, f"_on_{line['event']}", None)
        if handler is not None:
            handler(request, request.tasks.get(line.get("task_id", "")), line, line["data"])

    def _on_request_received(self, line: Line) -> None:
        request_id = line["request_id"]
        request = load(AcceptedRequest, self._payloads(request_id, "request.json"))
        self.requests[request_id] = RequestState(request, line["seq"], self._offset, line["ts"])

    def _on_request_prepared(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        request.survey = load(Survey, self._payloads(line["request_id"], "survey.json"))
        request.warnings += request.survey.warnings
        request.not_verified += request.survey.not_verified
        request.enter("prepared")

    def _on_plan_created(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        plan = load(Plan, self._payloads(line["request_id"], "plan.json"))
        request.plan = plan
        request.tasks = {packet.task_id: TaskState(packet, tier=packet.tier) for packet in plan.packets}
        request.enter("planned")

    def _on_task_ready(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        task.status = "ready"

    def _on_task_assigned(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        task.status = "running"
        task.tier, task.attempt, task.sample = line["tier"], line["attempt"], data["sample"]
        task.epoch, task.agent_id, task.order_id = data["epoch"], line["actor"], data["order_id"]
        task.worked_by = line["actor"]
        task.proposal, task.passed = None, False

    def _on_proposal_received(
        self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        task.status, task.proposal, task.agent_id = "verifying", data["file"], None

    def _on_verification_fail(
        self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        task.history.append(Outcome.model_validate(data["outcome"]))
        task.verdict = data.get("verdict") or task.verdict
        task.status, task.proposal, task.agent_id, task.passed = "ready", None, None, False

    def _on_verification_pass(
        self, request: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        task.history.append(Outcome.model_validate(data["outcome"]))
        task.verdict = data.get("verdict") or task.verdict
        task.passed = True
        verdict = self.verdict(line["request_id"], task)
        if verdict is not None:
            request.warnings += verdict.warnings
            request.not_verified += verdict.not_verified

    def _on_task_complete(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        task.status, task.commit = "succeeded", data.get("commit")
        task.text, task.summary = data.get("text", ""), data.get("summary", "")

    def _on_task_abort(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        task.status, task.reason = line["status"], data["reason"]

    def _on_lease_expired(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        if task.status == "running":  # a proposal that came in meanwhile counts
            task.status, task.agent_id = "ready", None
        task.crashes += data["crashed"]

    def _on_verifier_lost(self, request: RequestState, task: Any, line: Line, data: dict[str, Any]) -> None:
        if isinstance(task, TaskState):
            task.crashes += data["crashed"]
        else:
            request.crashes += data["crashed"]

    def _on_model_call_complete(
        self, request: RequestState, task: Any, line: Line, data: dict[str, Any]
    ) -> None:
        usage = Usage(
            prompt_tokens=data.get("prompt_tokens") or 0,
            completion_tokens=data.get("completion_tokens") or 0,
            cached_tokens=data.get("cached_tokens") or 0,
            calls=1,
            micro_usd=data.get("micro_usd") or 0,
            local=bool(data.get("local", True)),
        )
        if usage.local:
            request.usage += usage
        else:
            request.cloud_usage += usage
        if isinstance(task, TaskState):
            task.usage += usage

    def _on_warrant_requested(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        if data["warrant"] not in request.warrants:
            request.warrants.append(data["warrant"])

    def _on_request_delivered(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        request.branch, request.commit, request.patch = data["branch"], data["commit"], data["patch"]
        request.warnings += data["warnings"]
        request.stage, request.error = "delivered", None  # too late for a limit or a cancel: it is done

    def _on_request_failing(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        request.error = {key: str(data[key]) for key in ("code", "message", "hint")}

    def _on_request_cancelling(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        if request.stage != "delivered":
            request.stage = "cancelling"

    def _on_request_complete(self, request: RequestState, _: Any, line: Line, data: dict[str, Any]) -> None:
        self.requests.pop(line["request_id"])
        self.finished[line["request_id"]] = line["status"]

    def lose(self, line: Line, offset: int, why: str) -> None:
        """A committed line cannot be applied, because a payload file of its request is gone or damaged:
        the request fails, and the others go on."""
        request_id = line["request_id"]
        if request_id not in self.requests:
            request = AcceptedRequest(
                user_request=str(line["data"].get("text") or "(lost)"),
                request_id=request_id,
                received_at=line["ts"],
                source_name="",
                content_sha256="",
            )
            self.requests[request_id] = RequestState(request, line["seq"], offset, line["ts"])
        self.requests[request_id].error = {
            "code": "E-PAYLOAD-LOST",
            "message": f"its files in bus/active/ are damaged: {why[:1000]}",
            "hint": "Drop the request again under another id.",
        }

    def verdict(self, request_id: str, task: TaskState) -> Verdict | None:
        """The last verdict on ``task``, from its payload file."""
        if task.verdict is None:
            return None
        return load(Verdict, self._payloads(request_id, f"verdicts/{task.verdict}"))
