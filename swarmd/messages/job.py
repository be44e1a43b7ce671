"""What the master asks of a verifier, and what it reports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.messages._base import Message
from swarmd.messages.example import Example
from swarmd.messages.gate import GateResult, GateSpec, Verdict
from swarmd.messages.packet import Packet
from swarmd.messages.request import AcceptedRequest
from swarmd.messages.result import ErrorInfo

__all__ = ["Job", "JobReport", "Spectrum", "Survey", "Suspect"]

MAX_SUSPECTS = 20
MAX_LINES = 100


class Suspect(Message):
    """A function that failing tests of the base commit ran through, and how suspicious that makes it."""

    path: str
    name: str
    """Qualified inside its file: ``Cart.total``."""
    line: int
    """Its first line, decorators included."""
    end: int
    failed: int
    """Failing tests that ran its most suspicious line."""
    passed: int
    """Passing tests that ran that line."""
    score: float
    """That line's suspiciousness from 0 to 1, by the formula of Ochiai."""
    lines: list[tuple[int, float]] = Field(default_factory=list, max_length=MAX_LINES)
    """Its lines that failing tests ran, each with its suspiciousness, the most suspicious first."""


class Spectrum(Message):
    """Which functions the failing tests of the base commit ran, and which the passing ones did.

    The project's own code can forge it: it only says where to look first, and proves nothing.
    """

    failed: int = 0
    """Failing tests that were looked at."""
    passed: int = 0
    """Passing tests that they were compared with."""
    suspects: list[Suspect] = Field(default_factory=list, max_length=MAX_SUSPECTS)
    """The most suspicious first."""
    note: str = ""
    """Why there are none, or why they may be less exact than they could be."""


class Survey(Message):
    """What is known of a project at the request's base commit."""

    request_id: str
    workspace: str
    """The user's repository, absolute."""
    base_commit: str
    base_name: str
    """The branch or ref that it was resolved from."""
    language: Literal["python", "node", "other"] = "other"
    files: list[str] = Field(default_factory=list)
    """Tracked files, at most 5,000."""
    gates: list[GateSpec] = Field(default_factory=list)
    first_tests: GateSpec | None = None
    """How tests would be run, in a project that has none yet; no gate before there are some."""
    base_results: list[GateResult] = Field(default_factory=list)
    base_passed: list[str] = Field(default_factory=list)
    """Ids of the tests that pass on the base commit."""
    base_failed: list[str] = Field(default_factory=list)
    protected: list[str] = Field(default_factory=list)
    """Files that are judged as they are in the base commit."""
    examples: list[Example] = Field(default_factory=list)
    """Those that fail on the base commit and that the request is about."""
    spectrum: Spectrum | None = None
    """Where the defect may be, by what its failing tests run; None: nothing was looked at."""
    warnings: list[str] = Field(default_factory=list)
    not_verified: list[str] = Field(default_factory=list)

    @property
    def test_gate(self) -> GateSpec | None:
        """The gate that can tell one test from another, as it is or would be; None: there is none."""
        runners = (gate for gate in self.gates if gate.runner in ("pytest", "unittest"))
        return next(runners, self.first_tests)


DISK_FULL = "E-DISK-FULL"
"""Code of a report about a job that only wants room on the disk: it is given again."""


class Job(Message):
    """One piece of work for a verifier. Every job can be repeated after a crash."""

    job_id: str
    kind: Literal["prepare", "judge", "integrate", "deliver"]
    request: AcceptedRequest
    packet: Packet | None = None
    order_id: str | None = None
    proposal: str | None = None
    """Absolute path of the proposal to judge or to integrate."""
    model: str = ""
    """Which of swarmd.toml's models made it; empty: none did."""
    settles: bool = False
    """What passes its gates is taken, without a second opinion."""
    message: str = ""
    """The commit message, for ``deliver``."""
    trailers: dict[str, str] = Field(default_factory=dict)
    accepted_tests: list[str] = Field(default_factory=list)
    """Proposals (absolute paths) of the testing tasks that land together with this code."""
    role: Literal["coding", "testing", "review", "docs", "git", "deploy"] | None = None
    """By which role's rules a proposal is judged. Default: the packet's agent type, if it is named
    like a role, else coding."""


class JobReport(Message):
    """What came of a job."""

    job_id: str
    ok: bool
    verdict: Verdict | None = None
    commit: str | None = None
    """The integration tip, or the delivered commit."""
    branch: str | None = None
    patch: str | None = None
    """File name of the whole patch, inside the request's folder."""
    summary: str = ""
    warnings: list[str] = Field(default_factory=list)
    not_verified: list[str] = Field(default_factory=list)
    error: ErrorInfo | None = None
