"""What the base commit's own gate runs showed: everything that a patch is compared against."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from swarmd import durable
from swarmd.errors import SwarmdError
from swarmd.messages import Message, dump, load
from swarmd.messages.example import Example

__all__ = ["BaseFacts", "ExampleFacts", "GateFacts", "TestFacts", "load_facts", "save_facts"]

FILE_NAME = "base.json"
MAX_BYTES = 64 * 1024 * 1024


class TestFacts(Message):
    """How the base commit's tests went."""

    __test__ = False

    passed: list[str] = Field(default_factory=list)
    failed: list[str] = Field(default_factory=list)
    """Failing tests and files that could not be collected."""
    skipped: list[str] = Field(default_factory=list)
    seals: dict[str, str] = Field(default_factory=dict)
    tampered: list[str] = Field(default_factory=list)
    """Parts of the test runner that the project itself replaces."""
    touched: list[str] = Field(default_factory=list)
    """Protected files that the tests themselves write."""
    wrong: list[str] = Field(default_factory=list)
    """Why the base's own run cannot be believed."""
    started: bool = True
    """False: the runner itself does not work here."""
    finished: bool = True
    seconds: float = 0.0


class GateFacts(Message):
    """One gate's outcome on the base commit."""

    ok: bool
    findings: list[str] = Field(default_factory=list)
    """Keys of the findings, without line numbers; repeated ones as often as they occur."""
    usable: bool = True
    """False: the gate does not work on the base itself, so it decides nothing."""


class ExampleFacts(Message):
    """The examples of a request that count, and how they went on the base commit."""

    examples: list[Example] = Field(default_factory=list)
    targets: list[str] = Field(default_factory=list)
    """Ids of those that fail there and that the request is about."""
    runs: TestFacts = Field(default_factory=TestFacts)
    """How all of them went there."""


class BaseFacts(Message):
    """All of it, kept as base.json beside survey.json."""

    base_commit: str
    gates: dict[str, GateFacts] = Field(default_factory=dict)
    tests: TestFacts | None = None
    examples: ExampleFacts | None = None


def save_facts(folder: Path, facts: BaseFacts) -> None:
    """Write ``facts`` into the request's folder."""
    durable.write(folder / FILE_NAME, dump(facts))


def load_facts(folder: Path) -> BaseFacts:
    """Read them back. Raises SwarmdError when they are absent or damaged."""
    try:
        return load(BaseFacts, durable.read_regular(folder / FILE_NAME, MAX_BYTES))
    except (OSError, ValidationError) as error:
        raise SwarmdError(
            f"{folder / FILE_NAME} cannot be read: {error}",
            code="E-SURVEY",
            hint="The request has to be prepared again; drop it once more under another request_id.",
        ) from error
