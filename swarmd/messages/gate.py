"""What the verifier runs, what came of it, and its verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.messages._base import Message

__all__ = ["Failure", "GateCounts", "GateResult", "GateSpec", "TestFailure", "Verdict"]

FailureClass = Literal[
    "format",  # the reply holds no edit that can be read
    "nothing",  # the edit changes nothing
    "repeated",  # the edit is one that was judged before
    "gaps",  # there is no statement, or no other, that could be filled in
    "refused",  # the edit breaks a rule: outside its files, a symlink, a test runner's internals …
    "apply",  # the patch does not apply
    "syntax",  # the result does not parse
    "name",  # an unknown name, import or attribute
    "types",  # the type checker finds something new
    "lint",  # the linter finds something new
    "assertion",  # a test fails
    "unconfirmed",  # it passes, but so may a wrong one: another answer is asked for, to be compared with it
    "missing",  # tests that ran on the base did not run
    "forged",  # the planted failing test did not fail, or the report was tampered with
    "timeout",
    "limits",  # memory or processes
    "review",  # the reviewer points at a defect
    "conflict",  # it does not apply on top of the other tasks
    "model",  # no model answered
]


class Failure(Message):
    """Why a sample failed, for the next one and for people."""

    kind: FailureClass
    gate: str | None = None
    digest: str
    """The trimmed evidence: at most about 1,500 characters."""
    signature: str
    """Equal for failures that look alike; a repeated one ends the branch it is on."""


class GateSpec(Message):
    """One gate of a project, as discovered or as the request gives it."""

    gate: str
    """Its id: parse, lint, types, build, examples, tests, verify-1 …"""
    runner: Literal["parse", "ruff", "mypy", "examples", "pytest", "unittest", "npm", "command"]
    argv: list[str]
    """What is run, for the evidence; relative to the project's root."""
    timeout_s: int = 300
    mandatory: bool = True


class GateCounts(Message):
    """What a test or lint gate counted."""

    collected: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    findings: int = 0


class TestFailure(Message):
    """One failing test, trimmed."""

    __test__ = False  # its name makes pytest take it for a test class

    test_id: str
    path: str | None = None
    line: int | None = None
    message: str
    """Expected against actual, or the exception, on a few lines."""
    frames: list[str] = Field(default_factory=list)
    """``path:line function`` of the project's own frames, outermost first."""


class GateResult(Message):
    """One run of one gate."""

    gate: str
    argv: list[str]
    ok: bool
    exit_code: int | None
    """None: it was ended by a limit."""
    seconds: float
    counts: GateCounts = GateCounts()
    failures: list[TestFailure] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list)
    """New against the base commit, ``path:line: rule message``."""
    sandbox_level: str
    """bwrap, landlock, or none (the gate runs no project code)."""
    output_sha256: str | None = None
    """Name of the artifact that holds the full output."""
    detail: str = ""
    """Why it failed, when the counts do not say it."""
    failure_kind: FailureClass | None = None


class Verdict(Message):
    """What the verifier found of one proposal."""

    order_id: str
    ok: bool
    failure: Failure | None = None
    gates: list[GateResult] = Field(default_factory=list)
    patch_sha256: str | None = None
    """The patch as applied, after the protected paths were taken out."""
    diff_lines: int = 0
    diff_files: int = 0
    canonical: str = ""
    """As the proposal says: equal for patches that come to the same program."""
    chosen: int = 0
    """Which of the proposal's patches the verdict is about, from 0."""
    others: list[str] = Field(default_factory=list)
    """``canonical`` of the others that were judged, and failed."""
    protected: list[str] = Field(default_factory=list)
    """Paths that the proposal wanted to change and only a warrant may."""
    not_verified: list[str] = Field(default_factory=list)
    held: bool = False
    """Testing only: good tests that fail until the code they test lands. They are not integrated on
    their own but passed as ``Job.accepted_tests`` with that code."""
    warnings: list[str] = Field(default_factory=list)
