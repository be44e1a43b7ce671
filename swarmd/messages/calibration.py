"""What ``swarmd model calibrate`` found out about one model, as it is kept in the home."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from swarmd.messages._base import Message

__all__ = ["Calibration", "EditForm", "FormScore", "FormTrial", "ModelIdentity"]

EditForm = Literal["symbol", "file", "replace"]
"""symbol: definitions, spliced by name. file: the whole text. replace: search/replace blocks."""


def _each_once(order: list[EditForm]) -> list[EditForm]:
    if len(set(order)) != len(order):
        raise ValueError("a format stands there twice")
    return order


class ModelIdentity(Message):
    """Which model it was, as far as the settings and the catalogue say. Another model under the same name
    has another identity, and what was measured says nothing about it."""

    model: str
    """Its name in swarmd.toml."""
    provider: str
    """The provider that is set: auto, embedded, ollama or openai."""
    weights: str | None = None
    """What ``weights`` is set to."""
    digest: str | None = None
    """``sha256:`` of the catalogue's weights; ``file:``, size and time of change of a GGUF of one's own;
    None: only a server knows."""
    name: str | None = None
    """What it is called on its server."""
    base_url: str | None = None
    """The server of the provider openai."""


class FormTrial(Message):
    """One exercise, asked for in one format."""

    exercise: str
    form: EditForm
    well_formed: bool
    """The reply was read as an edit that applies, parses and breaks no rule; it may change nothing."""
    correct: bool
    """It is well-formed, and the exercise's check passes."""
    reason: str = ""
    """Why it is not."""
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    latency_ms: int = Field(default=0, ge=0)


class FormScore(Message):
    """All trials of one format together."""

    form: EditForm
    correct: int = Field(ge=0)
    well_formed: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    latency_ms: int = Field(ge=0)


class Calibration(Message):
    """How one model does with each edit format, on the same exercises."""

    identity: ModelIdentity
    exercises: str = Field(min_length=1, max_length=64)
    """Version of the exercises: a hash over what they say."""
    count: int = Field(ge=1)
    """How many of them were done."""
    seed: int
    measured_at: str
    """UTC, RFC 3339."""
    served_by: str
    """The provider that answered: for ``auto``, which one it was."""
    order: Annotated[list[EditForm], AfterValidator(_each_once)] = Field(min_length=3, max_length=3)
    """The formats, the one to ask for first."""
    scores: list[FormScore] = Field(min_length=3, max_length=3)
    trials: list[FormTrial] = Field(default_factory=list, max_length=3000)
