"""What people drop in: requests and commands, and what becomes of the bad ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from swarmd.messages._base import SHORT_ID, Message

__all__ = [
    "KINDS",
    "PRIORITIES",
    "AcceptedRequest",
    "Command",
    "DeadLetter",
    "Limits",
    "Priority",
    "Request",
]

Priority = Literal["critical", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
"""The inbox folders, most urgent first."""

Kind = Literal[
    "auto", "feature", "bugfix", "test", "docs", "review", "refactor", "research", "deploy", "project"
]
KINDS: tuple[Kind, ...] = (
    "auto",
    "feature",
    "bugfix",
    "test",
    "docs",
    "review",
    "refactor",
    "research",
    "deploy",
    "project",
)

RequestId = Annotated[str, StringConstraints(pattern=SHORT_ID)]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Argv = Annotated[list[Annotated[str, StringConstraints(max_length=4096)]], Field(min_length=1, max_length=64)]


class Limits(Message):
    """What a request may use before it is stopped. Absent: the home's own limits."""

    seconds: int | None = Field(default=None, ge=1, lt=2**53)
    """Wall time, in seconds, from acceptance to result."""
    tokens: int | None = Field(default=None, ge=1, lt=2**53)
    """Prompt and completion tokens over all model calls."""
    micro_usd: int | None = Field(default=None, ge=0, lt=2**53)
    """Cost of cloud calls, in millionths of a US dollar."""


class Request(Message):
    """What a user drops into bus/inbox/<priority>/. Only ``user_request`` is needed."""

    user_request: str = Field(min_length=1, max_length=32_768)
    """What is wanted, in the user's words."""
    request_id: RequestId | None = None
    """The name of the result and of the branch. Default: from the file's name, made unique."""
    workspace: str | None = Field(default=None, max_length=4096)
    """Absolute path of a git repository. Absent: a new project under workspaces/."""
    base: str | None = Field(default=None, max_length=255)
    """The commit, tag or branch to start from. Default: the repository's HEAD."""
    kind: Kind = "auto"
    """What sort of work it is; ``auto`` lets the planner decide."""
    files: list[RelativePath] = Field(default_factory=list, max_length=64)
    """The files to change, relative to the repository's root. Default: the planner decides."""
    verify: list[Argv] = Field(default_factory=list, max_length=16)
    """Extra gates, each an argument list that must exit 0 in the sandbox."""
    privacy: Literal["strict", "balanced", "off"] = "strict"
    """What may leave the machine; it may only tighten the home's own setting."""
    tier: Literal["fast", "deep", "reviewer"] | None = None
    """The model tier to start on."""
    deliver: Literal["branch", "patch", "merge"] = "branch"
    """How the result arrives; ``merge`` needs a warrant."""
    limits: Limits = Limits()
    """What the request may use."""


class AcceptedRequest(Request):
    """A request after intake: it has an id, a priority and a time of arrival."""

    request_id: RequestId
    priority: Priority = "normal"
    received_at: str
    source_name: str
    """The dropped file's name."""
    content_sha256: str
    """SHA-256 of the dropped file's bytes: tells a repeated request from a changed one."""
    source_id: str = ""
    """Which file it was (inode and change time): tells the same file, seen again after a crash, from
    a second one of the same name and content."""


class DeadLetter(Message):
    """Why a dropped file could not be taken; stands beside it as <name>.error.json."""

    name: str
    """The file's name in bus/deadletter/."""
    original_name: str
    """The name under which it was dropped."""
    code: str
    field: str | None = None
    message: str
    hint: str
    at: str
    priority: Priority | None = None
    """The inbox folder that it goes back to when it is tried again; absent: normal."""


class Command(Message):
    """A file in bus/control/: what a user tells the running daemon."""

    command: Literal["cancel", "retry", "pause", "resume", "reload"]
    request_id: RequestId | None = None
    """The request that ``cancel`` or ``retry`` means."""
