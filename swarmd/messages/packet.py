"""The work: plans, task packets, the orders that agents get and the proposals that they make."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from swarmd.messages._base import Message
from swarmd.messages.calibration import EditForm
from swarmd.messages.call import Usage
from swarmd.messages.gate import Failure
from swarmd.messages.request import Kind, Priority, RequestId
from swarmd.messages.transcript import CallRecord

__all__ = ["Lease", "Order", "Outcome", "Packet", "PacketStatus", "Plan", "Proposal", "Tier", "Way"]

Tier = Literal["fast", "deep", "reviewer"]
Way = Literal["fill", "sample", "reask", "repair", "shrink", "settle"]
"""fill: for single statements, each anew without being shown what stands there now. sample: plainly. reask:
after a reply that could not be used, told why. repair: shown a patch and why it failed. shrink: for less
than before, told why. settle: not at all: an answer that passed is proposed once more, to be taken though no
other agrees with it."""
PacketStatus = Literal[
    "pending", "ready", "running", "verifying", "succeeded", "failed", "skipped", "cancelled"
]
TaskId = Annotated[str, StringConstraints(pattern=r"^task-\d{3}$")]
TypeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Lease(Message):
    """Who holds a packet. What a holder of an older epoch brings late is dropped."""

    agent_id: str
    epoch: int
    expires_at: float
    """Seconds on the boot clock."""


class Packet(Message):
    """One task of a request, for one agent type."""

    packet_id: Annotated[str, StringConstraints(pattern=r"^pkt-[a-z0-9-]+$")]
    task_id: TaskId
    request_id: RequestId
    agent_type: TypeName
    skill: str | None = None
    """The page under agents/<type>/skills/ that the agent is shown."""
    action: str = Field(min_length=1, max_length=4000)
    """What to do, in one or two sentences."""
    files_owned: list[str] = Field(default_factory=list)
    """The only paths that its patch may touch, relative to the project's root."""
    dependencies: list[TaskId] = Field(default_factory=list)
    acceptance: list[str] = Field(default_factory=list)
    """Ids of the gates that must pass; empty: all of the project's."""
    priority: Priority = "normal"
    status: PacketStatus = "pending"
    tier: Tier = "fast"
    attempt: int = 0
    """The round it is in, from 1; 0: not begun."""
    max_attempts: int = 5
    lease: Lease | None = None


class Plan(Message):
    """A request's packets, and where they came from."""

    request_id: RequestId
    origin: Literal["direct", "model", "repaired", "template"]
    """direct: no planning call was needed; model: the model's plan passed the check; repaired: it
    did after one repair; template: it did not, and the kind's template stands in."""
    kind: Kind
    packets: list[Packet]
    note: str = ""
    """The planner's reasoning, or why its plan was not used."""


class Outcome(Message):
    """How one sample of an attempt ended, or several that were drawn at one time: a line of a task's
    history, which the policy reads."""

    attempt: int
    sample: int
    """Its number in the attempt; of several the first one's."""
    width: int = 1
    """How many samples were drawn at one time, or statements asked for; the other facts are of the one that
    came nearest."""
    way: Way = "sample"
    """How it was asked for."""
    tier: Tier
    ok: bool
    failure: Failure | None = None
    patch_sha256: str | None = None
    diff_lines: int = 0
    diff_files: int = 0
    canonical: str = ""
    """Equal for patches that come to the same program; empty: there was none."""
    chosen: int = 0
    """Which of the proposal's patches it is about, from 0."""
    others: list[str] = Field(default_factory=list)
    """``canonical`` of the other patches of the same proposal that were judged, and failed."""
    red: int = 0
    """Failing tests, or findings, of the gate that rejected it; 0: they are not counted."""


class Order(Message):
    """What an agent finds in its in/ folder: one sample of one attempt at one packet."""

    order_id: str
    packet: Packet
    epoch: int
    user_request: str
    snapshot: str = ""
    """Absolute path of the project's files to read; never to be written. Empty: there is no project."""
    survey: str = ""
    """Absolute path of the request's survey.json; empty: there is none."""
    attempt: int
    sample: int
    tier: Tier
    temperature: float
    seed: int
    max_tokens: int
    """Cap on the reply's tokens."""
    context_tokens: int
    """Cap on the prompt's tokens."""
    privacy: Literal["strict", "balanced", "off"] = "strict"
    """The request's privacy, or the home's where that is tighter."""
    nth: int = 1
    """The number of its sample among all of its tier, from 1: they are asked for in different ways."""
    copies: int = Field(default=2, ge=0)
    """How often to ask again at once when the reply is code that was there before."""
    width: int = Field(default=1, ge=1, le=64)
    """How many samples to draw at one time, with this seed and the ones after it; how many statements to
    fill in."""
    way: Way = "sample"
    """How the sample is to be asked for."""
    forms: list[EditForm] = Field(default_factory=list, max_length=8)
    """Edit formats, the one that its model handles best first; empty: the model is not calibrated."""
    continues: bool = False
    """Its model goes on with a reply that was begun for it."""
    feedback: Failure | None = None
    """Why an earlier sample failed."""
    previous_patch: str | None = None
    """Its patch, when it is to be repaired."""
    judged: list[str] = Field(default_factory=list)
    """``canonical`` of the patches for this packet that were judged and failed."""
    pattern: str | None = None
    """A knowledge page that fits the request."""
    diff: str | None = None
    """What the earlier tasks changed, for review, docs and git."""
    findings: list[str] = Field(default_factory=list)
    """What the static rules found in that diff."""
    small: bool = False
    """For review and git: the diff is so small that no model is asked about it."""


CanonicalHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{0,64}$")]


class Candidate(Message):
    """One patch of several that were drawn at one time."""

    patch: str
    canonical: CanonicalHash = ""


class Proposal(Message):
    """What an agent leaves in its out/ folder. It proves nothing by itself."""

    order_id: str
    agent_id: str
    packet_id: str
    epoch: int
    kind: Literal["patch", "findings", "message", "plan", "none"]
    patch: str = ""
    """A unified diff against the snapshot."""
    canonical: CanonicalHash = ""
    """A hash that is equal for patches that come to the same program: such are not judged twice."""
    others: list[Candidate] = Field(default_factory=list, max_length=63)
    """Other patches for the same order. The first that passes its gates is taken."""
    ranked: bool = False
    """The patches stand in the order in which they are to be judged; else the smallest goes first."""
    text: str = ""
    """A commit message, a deployment plan, or the reason why there is no patch."""
    summary: str = ""
    findings: list[str] = Field(default_factory=list)
    rejects: bool = False
    """Review only: the reading found a defect that it can point at."""
    failure: Failure | None = None
    """Why there is nothing to judge: the reply could not be read, or changed nothing."""
    usage: Usage = Usage()
    calls: list[CallRecord] = Field(default_factory=list)
    """What was asked, word by word. The master keeps it apart from the proposal."""

    @property
    def patches(self) -> list[str]:
        """All of its patches, in the order that ``chosen`` counts."""
        return [self.patch, *(other.patch for other in self.others)]
