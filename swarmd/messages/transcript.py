"""What a sample asked a model, word by word, and what was answered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.messages._base import Message
from swarmd.messages.call import ChatMessage, Usage

__all__ = ["CallRecord", "Transcript"]


class CallRecord(Message):
    """One call of a sample."""

    purpose: str
    tier: Literal["fast", "deep", "reviewer"]
    model: str = ""
    """The model that answered; empty: none did."""
    provider: str = ""
    temperature: float
    top_p: float | None = None
    """None: the model's own."""
    seed: int | None = None
    max_tokens: int
    messages: list[ChatMessage]
    """As they were sent."""
    suffix: str | None = None
    """What stood behind the gap that was to be filled."""
    reply: str = ""
    finish: Literal["stop", "length"] | None = None
    """None: there was no answer."""
    error: str = ""
    """Why there was none."""
    usage: Usage = Usage()
    latency_ms: int = 0
    cut: bool = False
    """True when messages or reply were too long to be kept whole."""


class Transcript(Message):
    """All calls of one sample. It stays in the request's folder and is never logged."""

    order_id: str
    request_id: str
    task_id: str
    agent_id: str
    attempt: int
    sample: int
    tier: Literal["fast", "deep", "reviewer"]
    calls: list[CallRecord] = Field(default_factory=list)
