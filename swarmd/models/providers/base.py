"""What every provider keeps to, and what they share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from swarmd.errors import ModelError, ModelOverflowError, ModelReplyError, ModelTimeoutError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models import tokens
from swarmd.models.providers.failure import TransientError, failure, unknown_model
from swarmd.models.providers.reply import Pace, ReplyParts

__all__ = [
    "CONNECT_S",
    "SHORT_S",
    "Counter",
    "Health",
    "OnPiece",
    "Pace",
    "Provider",
    "ReplyParts",
    "ServedModel",
    "TransientError",
    "checked_vectors",
    "failure",
    "health_of",
    "no_embeddings",
    "refuse_if_too_long",
    "unknown_model",
    "within",
]

T = TypeVar("T")

CONNECT_S = 5.0
SHORT_S = 30.0
"""For questions to a server that need no model."""

OnPiece = Callable[[str | None], None]
"""Called with each piece of the reply's text as it comes; put together, the pieces are the reply. None: the
reply begins anew (the call broke and is asked again, or its form was wrong), and the pieces before count no
more. It must not block: the stream waits for it."""


@dataclass(frozen=True)
class Health:
    """Whether a model can be asked now."""

    code: str | None
    """None: it can. Else the code of the error that a call would get, such as E-MODEL-LOADING."""
    message: str
    latency_ms: int
    """How long the server took to say so."""

    @property
    def ok(self) -> bool:
        """Whether it can."""
        return self.code is None


@dataclass(frozen=True)
class ServedModel:
    """One model that a server has."""

    name: str
    bytes: int | None = None
    """Its size on that server's disk, if it says."""
    context: int | None = None
    """Tokens that prompt and reply may have together, if it says."""
    loaded: bool | None = None
    """Whether it is in memory; None: the server does not say."""
    elsewhere: bool = False
    """Whether the server says that it would pass the prompt on to another machine."""


class Provider(Protocol):
    """One model on one server.

    Every method raises only ModelErrors: TransientError when asking again may help, ModelOverflowError for a
    prompt that does not fit, ModelRefusedError, ModelMissingError, ModelTimeoutError, and ModelReplyError for
    an answer that is not whole or not of its protocol. None of them asks a second time by itself.
    """

    kind: str
    """embedded, ollama, openai or anthropic."""
    local: bool
    """Whether it runs on this machine."""

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        """Ask once; a ``call`` with a suffix fills a gap. Cancelling it ends the work on the server."""
        ...

    async def count(self, call: ChatCall) -> int | None:
        """The tokens of ``call``'s prompt: by the server's tokenizer, else by what it counted before, with a
        margin of 15 %; None when it never has."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each of ``texts``, all of one length. E-MODEL-EMBED: it makes none."""
        ...

    async def health(self) -> Health:
        """Whether the model can be asked, without asking it. It raises nothing."""
        ...

    async def models(self) -> list[ServedModel]:
        """Every model of its server."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


@runtime_checkable
class Counter(Protocol):
    """What can say how many tokens a prompt has."""

    async def count(self, call: ChatCall) -> int | None:
        """See ``Provider``."""
        ...


async def within(seconds: float, step: Awaitable[T], who: str) -> T:
    """The result of ``step``, or ModelTimeoutError that names ``who``."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError as error:
        raise ModelTimeoutError(f"{who} does not answer within {seconds:g} s") from error


async def health_of(check: Awaitable[object]) -> Health:
    """What ``check`` says of a model by failing or not."""
    now = asyncio.get_running_loop().time
    begun = now()
    try:
        await check
    except ModelError as error:
        return Health(error.code, error.message, int((now() - begun) * 1000))
    return Health(None, "ready", int((now() - begun) * 1000))


def no_embeddings(model: str, said: str) -> ModelError:
    """``model`` makes no vectors."""
    return ModelError(
        f"{model} makes no embeddings: {said}",
        code="E-MODEL-EMBED",
        hint="Name an embedding model in swarmd.toml.",
    )


def checked_vectors(model: str, vectors: Any, wanted: int) -> list[list[float]]:
    """``vectors`` as a server sent them: as many as ``wanted``, of one length, finite. Raises
    ModelReplyError."""
    right = isinstance(vectors, list) and len(vectors) == wanted and all(map(_is_vector, vectors))
    if not right or len({len(vector) for vector in vectors}) != 1:
        raise ModelReplyError(f"{model}'s server sent no {wanted} vectors of numbers, all of one length")
    return [[float(number) for number in vector] for vector in vectors]


def _is_vector(value: object) -> bool:
    """JSON knows neither NaN nor infinity, but Python reads both."""
    return isinstance(value, list) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
        for number in value
    )


def refuse_if_too_long(call: ChatCall, model: str, context: int, prompt_tokens: int | None = None) -> None:
    """Raise ModelOverflowError when prompt and reply cannot both fit ``context``.

    Without a count only what surely does not fit is refused.
    """
    count = tokens.at_least(call) if prompt_tokens is None else prompt_tokens
    if count + call.max_tokens > context:
        about = "at least " if prompt_tokens is None else ""
        raise ModelOverflowError(
            f"a prompt of {about}{count} tokens and a reply of up to {call.max_tokens} do not fit "
            f"the {context} tokens of {model}"
        )
