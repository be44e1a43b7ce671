"""The master's state, as a fold of its log.

``State.apply`` is the only code that changes it, live and after a restart alike. What a line leaves
out (requests, plans, verdicts) stands in a payload file that was written before the line.

A line is asked for on one state and applied to a later one. Where that makes a difference the line
says what it was about (an order's id, which bears the epoch), and one that comes too late changes
nothing: the fold is the fence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import TypeAdapter

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
    Way,
    load,
)

__all__ = ["SNAPSHOT", "TERMINAL", "Payloads", "RequestState", "State", "TaskState"]

TERMINAL: frozenset[PacketStatus] = frozenset({"succeeded", "failed", "skipped", "cancelled"})

Payloads = Callable[[str, str], bytes]
"""Reads a payload file: (request_id, name inside the request's folder) to bytes."""

_QUIET = frozenset(
    {
        "escalation",
        "model_call_start",
        "patch_applied",
        "task_assigned",
        "task_created",
        "verification_start",
    }
)
"""Lines after which nothing follows for their request."""

Stage = Literal["received", "prepared", "planned", "delivered", "cancelling"]


_NOTHING: Final = Usage()


@dataclass
class TaskState:
    """One packet and everything that happened to it."""

    packet: Packet
    status: PacketStatus = "pending"
    history: list[Outcome] = field(default_factory=list)
    earlier: int = 0
    """How many outcomes in ``history`` are from before the request was opened again: they are kept, and
    no longer counted."""
    tier: Tier = "fast"
    attempt: int = 0
    sample: int = 0
    width: int = 1
    """How many samples its last order asked for, or statements."""
    way: Way = "sample"
    """How its last order asked."""
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
    usage: Usage = _NOTHING

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
    usage: Usage = _NOTHING
    cloud_usage: Usage = _NOTHING
    branch: str | None = None
    commit: str | None = None
    patch: str | None = None
    warnings: list[str] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    warrants: list[str] = field(default_factory=list)
    crashes: int = 0
    error: dict[str, str] | None = None
    """Set when the request has failed as a whole: code, message, hint."""
    reopened: int = 0
    """How often it was opened again after it had ended."""

    def enter(self, stage: Stage) -> None:
        """Go on to ``stage``, unless it was cancelled: what was under way then may still be reported."""
        if self.stage != "cancelling":
            self.stage = stage

    @property
    def request_id(self) -> str:
        """Its name everywhere."""
        return self.request.request_id

    @property
    def order(self) -> tuple[int, int]:
        """By priority, then by arrival."""
        return PRIORITIES.index(self.request.priority), self.first_seq

    @property
    def running(self) -> int:
        """How many of its tasks an agent or a verifier has in hand."""
        return sum(task.status in ("running", "verifying") for task in self.tasks.values())


class State:
    """All active requests, and nothing else that matters."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self.requests: dict[str, RequestState] = {}
        self.ending: dict[str, int] = {}
        """Requests whose end was committed and whose result is not known to be in the outbox yet, with
        the byte offset of their first line."""
        self.touched: dict[str, None] = {}
        """Requests that a line was about since the scheduler looked last."""
        self.sources: dict[str, str] = {}
        """Active requests by the file that they were taken from."""
        self.taken: dict[str, str] = {}
        """The same of requests that a fold passed over, because they have ended: power loss may have
        brought back their files."""
        self.paused = False
        """A user's pause: nothing new is begun."""
        self._paused_by_line = False
        """A line has said so: a checkpoint, which tells how it was when it was begun, does not any more."""
        self._offset = 0

    def in_order(self) -> Iterator[RequestState]:
        """Active requests, the most urgent first."""
        return iter(sorted(self.requests.values(), key=lambda request: request.order))

    def fold_from(self, end: int) -> int:
        """The byte offset from which a fold of the log gives this state; ``end``: the log's size."""
        offsets = (request.first_offset for request in self.requests.values())
        return min([end, *offsets, *self.ending.values()])

    def published(self, request_id: str) -> None:
        """The result of an ended request is where people find it: no fold needs its lines any more."""
        self.ending.pop(request_id, None)

    def apply(self, line: Line, offset: int) -> None:
        """Take one committed line into account; it begins at or after byte ``offset``.

        Lines of other requests or events change nothing.
        """
        self._offset = offset
        request_id = line.get("request_id")
        if request_id is None:
            self._apply_general(line)
            return
        request = self.requests.get(request_id)
        if line["event"] not in _QUIET:
            self.touched[request_id] = None
        if line["event"] == "request_received":
            self._on_request_received(line)
        elif line["event"] == "request_reopened":
            self._on_request_reopened(line)
        elif request is not None and (handler := _HANDLERS.get(line["event"])):
            handler(self, request, request.tasks.get(line.get("task_id", "")), line, line["data"])

    def _apply_general(self, line: Line) -> None:
        if line["event"] in ("daemon_paused", "daemon_resumed"):
            self.paused, self._paused_by_line = line["event"] == "daemon_paused", True
            self.touched.update(dict.fromkeys(self.requests))
        elif line["event"] == "checkpoint" and not self._paused_by_line:
            self.paused = bool(line["data"].get("paused", False))

    def _on_request_received(self, line: Line) -> None:
        request_id = line["request_id"]
        request = load(AcceptedRequest, self._payloads(request_id, "request.json"))
        self._enlist(RequestState(request, line["seq"], self._offset, line["ts"]))

    def _enlist(self, request: RequestState) -> None:
        self.requests[request.request_id] = request
        if request.request.source_id:
            self.sources[request.request.source_id] = request.request_id

    def _on_request_reopened(self, line: Line) -> None:
        """Go on with a request that had ended: what it has done stands, the rest is tried again."""
        request_id = line["request_id"]
        if request_id in self.requests:
            return
        request = SNAPSHOT.validate_json(self._payloads(request_id, "state.json"))
        request.first_seq, request.first_offset = line["seq"], self._offset
        request.received_ts = line["ts"]
        request.reopened += 1
        _reset(request, keep=bool(line["data"]["keeps_work"]))
        self.ending.pop(request_id, None)
        self._enlist(request)

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
        if task.status == "pending":
            task.status = "ready"

    def _on_task_assigned(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        if task.status != "ready":
            return
        task.status = "running"
        task.tier, task.attempt, task.sample = line["tier"], line["attempt"], data["sample"]
        task.width, task.way = data.get("width", 1), data.get("way", "sample")
        task.epoch, task.agent_id, task.order_id = data["epoch"], line["actor"], data["order_id"]
        task.worked_by = line["actor"]
        task.proposal, task.passed = None, False

    def _on_proposal_received(
        self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        if task.status == "running" and task.order_id == data["order_id"]:
            task.status, task.proposal, task.agent_id = "verifying", data["file"], None

    def _on_verification_fail(
        self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        if task.ended:
            return
        task.history.append(Outcome.model_validate(data["outcome"]))
        task.verdict = data.get("verdict") or task.verdict
        task.status, task.proposal, task.agent_id, task.passed = "ready", None, None, False

    def _on_verification_pass(
        self, request: RequestState, task: TaskState, line: Line, data: dict[str, Any]
    ) -> None:
        if task.ended:
            return
        task.history.append(Outcome.model_validate(data["outcome"]))
        task.verdict = data.get("verdict") or task.verdict
        task.passed = True
        verdict = self.verdict(line["request_id"], task)
        if verdict is not None:
            request.warnings += verdict.warnings
            request.not_verified += verdict.not_verified

    def _on_task_complete(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        if task.ended:
            return
        task.status, task.commit = "succeeded", data.get("commit")
        task.text, task.summary = data.get("text", ""), data.get("summary", "")

    def _on_task_abort(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        if not task.ended:
            task.status, task.reason, task.agent_id = line["status"], data["reason"], None

    def _on_lease_expired(self, _: RequestState, task: TaskState, line: Line, data: dict[str, Any]) -> None:
        current = data.get("work") in (None, "", task.order_id)
        if task.status == "running" and current:  # a proposal that came in meanwhile counts
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
        self.sources.pop(request.request.source_id, None)
        self.ending[line["request_id"]] = request.first_offset

    def lose(self, line: Line, offset: int, why: str) -> None:
        """A committed line cannot be applied, because a payload file of its request is gone or damaged:
        the request fails, and the others go on."""
        request_id = line["request_id"]
        self.touched[request_id] = None
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


def _reset(request: RequestState, *, keep: bool) -> None:
    """Make ``request`` ready to go on; without ``keep`` its private repository is gone, and with it what
    its tasks had done."""
    request.error, request.branch, request.commit, request.patch = None, None, None, None
    request.crashes = 0
    for task in request.tasks.values():
        if task.status != "succeeded" or not keep:
            task.status, task.reason, task.crashes, task.passed = "pending", "", 0, False
            task.agent_id, task.proposal, task.commit = None, None, None
            task.earlier = len(task.history)
    request.stage = ("planned" if request.plan else "prepared") if keep and request.survey else "received"


_HANDLERS: Final[dict[str, Callable[..., None]]] = {
    name.removeprefix("_on_"): function
    for name, function in vars(State).items()
    if name.startswith("_on_") and name not in ("_on_request_received", "_on_request_reopened")
}

SNAPSHOT: Final[TypeAdapter[RequestState]] = TypeAdapter(RequestState)
"""A request's whole state as JSON: the payload state.json of a request that may be opened again."""
