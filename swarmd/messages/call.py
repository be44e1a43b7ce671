"""What the broker is asked, and what it answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from swarmd.messages._base import Message

__all__ = ["CallContext", "ChatCall", "ChatMessage", "ChatReply", "Usage"]


class Usage(Message):
    """Tokens and money over any number of calls."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """The part of the prompt that the engine had already read."""
    calls: int = 0
    micro_usd: int = 0
    local: bool = True
    """False when any of it was answered from another machine."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            calls=self.calls + other.calls,
            micro_usd=self.micro_usd + other.micro_usd,
            local=self.local and other.local,
        )


class ChatMessage(Message):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class CallContext(Message):
    """What a call is part of. Only the master says it: an agent's calls get that of the order it holds."""

    request_id: str | None = None
    task_id: str | None = None
    attempt: int | None = None
    kind: str = ""
    """The request's kind."""
    agent_type: str = ""
    skill: str = ""
    priority: Literal["critical", "high", "normal", "low"] = "normal"
    risk: Literal["low", "high"] = "low"
    privacy: Literal["strict", "balanced", "off"] = "strict"
    """The request's, at most as open as the home's."""
    workspace: str = ""
    """The project's folder: a path that is taken out of what leaves the machine."""
    tokens: int | None = None
    """Most tokens that the request may use in all; None: no limit."""
    micro_usd: int = 0
    """Most that it may spend on paid models, in all."""


class ChatCall(Message):
    """One question to a model. The broker chooses the model from the tier."""

    model_config = ConfigDict(populate_by_name=True)

    tier: Literal["fast", "deep", "reviewer"]
    messages: list[ChatMessage] = Field(min_length=1)
    """Where the last one is the assistant's, the reply goes on with it, if the server can."""
    suffix: str | None = None
    """When given, the model fills a gap: the only message is the text before it, this the text behind it.
    Not every model can: E-MODEL-FILL."""
    max_tokens: int = Field(ge=1)
    """Cap on the reply."""
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int | None = None
    top_p: float | None = None
    stop: list[str] = Field(default_factory=list)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON schema that the reply must satisfy; the broker checks that it does."""
    model: str | None = None
    """A model's name from swarmd.toml, instead of the tier's."""
    purpose: str = Field(default="chat", max_length=64)
    """What it is for, in one word, for the log."""
    request_id: str | None = Field(default=None, max_length=64)
    task_id: str | None = Field(default=None, max_length=64)
    attempt: int | None = Field(default=None, ge=0, lt=2**31)
    privacy: Literal["strict", "balanced", "off"] = "strict"
    stream: bool = False
    """Whether the asker wants the reply's text piece by piece, too, as it comes."""
    about: CallContext | None = None
    """Taken from the master's own calls only."""


class ChatReply(Message):
    """A model's answer, whole: a cut or empty one is an error instead."""

    text: str
    model: str
    provider: str
    finish: Literal["stop", "length"]
    """``length``: the reply reached max_tokens."""
    usage: Usage
    latency_ms: int
