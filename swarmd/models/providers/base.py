"""What every provider keeps to, and what they share: deadlines and the words for failures."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelOverflowError, ModelReplyError, ModelUnreachableError
from swarmd.messages import ChatCall, ChatReply, Usage
from swarmd.models import tokens

__all__ = [
    "CONNECT_S",
    "SHORT_S",
    "OnProgress",
    "Pace",
    "Provider",
    "ReplyParts",
    "TransientError",
    "failure",
    "refuse_if_too_long",
    "unknown_model",
]

CONNECT_S = 5.0
SHORT_S = 30.0
"""For questions to a server that need no model."""

OnProgress = Callable[[int], None]
"""Called with the number of tokens so far."""

T = TypeVar("T")

_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|(exceed|longer than|over|larger than)[^.]{0,60}context"
    r"|context (length|size|window)[^.]{0,60}exceed|maximum context length|ContextWindowExceeded",
    re.IGNORECASE,
)


class Provider(Protocol):
    """One model on one server."""

    kind: str
    """embedded, ollama or openai."""
    local: bool
    """Whether it runs on this machine."""

    async def chat(self, call: ChatCall, on_progress: OnProgress) -> ChatReply:
        """Ask once. Cancelling it ends the work on the server.

        Raises TransientError when asking again may help, ModelOverflowError for a prompt that does
        not fit, ModelReplyError for a reply that is not whole, other ModelErrors.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


@runtime_checkable
class Counter(Protocol):
    """A provider whose engine says how many tokens a prompt has."""

    async def count(self, call: ChatCall) -> int:
        """The tokens of ``call``'s prompt, as the engine will read them."""
        ...


class TransientError(ModelUnreachableError):
    """Start the model's server, or choose another in swarmd.toml, then run "swarmd model test"."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        busy: bool = False,
        broken: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """``busy``: it is there and asks to wait, ``retry_after`` seconds if it says so. ``broken``:
        it failed in the middle of a call, which is worth one more try."""
        super().__init__(message, code=code or ("E-MODEL-BUSY" if busy else None), hint=hint)
        self.busy = busy
        self.broken = broken
        self.retry_after = retry_after


class Pace:
    """The deadlines of one call: first token, each next one, and all of it."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self.started = self._now()
        self._deadline = self.started + settings.first_token_s
        self._waiting_for = f"no token within {settings.first_token_s:g} s"
        self.count = 0

    def token(self) -> None:
        """A token has arrived."""
        self.count += 1
        self._deadline = self._now() + self._settings.between_tokens_s
        self._waiting_for = f"no further token within {self._settings.between_tokens_s:g} s"

    async def wait(self, step: Awaitable[T]) -> T:
        """The result of ``step``, or ModelUnreachableError (E-MODEL-TIMEOUT) at a deadline."""
        end = self.started + self._settings.call_s
        try:
            async with asyncio.timeout_at(min(self._deadline, end)):
                return await step
        except TimeoutError:
            reason = self._waiting_for if self._deadline < end else f"not done in {self._settings.call_s:g} s"
            raise ModelUnreachableError(
                f"the model gave {reason}",
                code="E-MODEL-TIMEOUT",
                hint="Raise first_token_s, between_tokens_s or call_s of this model in swarmd.toml, "
                "or use a smaller model.",
            ) from None

    def elapsed_ms(self) -> int:
        """Since the call was made."""
        return int((self._now() - self.started) * 1000)


class ReplyParts:
    """A reply as it grows out of a stream."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.finish: str | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0

    def whole(
        self, call: ChatCall, model: str, provider: Provider, settings: ModelSettings, ms: int
    ) -> ChatReply:
        """The reply, checked for what no server can be trusted with: its end, and an uncut prompt."""
        text = "".join(self.pieces)
        if self.finish is None:
            raise TransientError(f"{model} broke off in the middle of its reply", broken=True)
        if self.finish not in ("stop", "length"):
            raise ModelReplyError(f"{model} ended its reply with {self.finish!r}")
        if not text.strip() and call.suffix is None:  # a gap may need nothing
            raise ModelReplyError(f"{model} gave an empty reply")
        if self.prompt_tokens and tokens.was_cut(call, self.prompt_tokens, settings.context):
            raise ModelOverflowError(
                f"{model} read only {self.prompt_tokens} tokens of a longer prompt; its server cut it"
            )
        usage = Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
            calls=1,
            micro_usd=0 if provider.local else self._price(settings),
            local=provider.local,
        )
        return ChatReply(
            text=text,
            model=model,
            provider=provider.kind,
            finish="stop" if self.finish == "stop" else "length",
            usage=usage,
            latency_ms=ms,
        )

    def _price(self, settings: ModelSettings) -> int:
        prompt, reply = (
            self.prompt_tokens * settings.prompt_price,
            self.completion_tokens * settings.reply_price,
        )
        return -(-(prompt + reply) // 1_000_000)  # rounded up


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


def failure(model: str, status: int, body: str, retry_after: str | None = None) -> ModelError:
    """The error that a server's answer other than success means."""
    message = _message(body)
    said = f"{model}'s server answered {status}: {message}"
    if status in (400, 413, 422) and _OVERFLOW.search(body):
        return ModelOverflowError(said)
    if status in (429, 503):
        return TransientError(said, busy=True, retry_after=_seconds(retry_after))
    if status >= 500:
        return TransientError(said, broken=True)
    if status == 404:
        return unknown_model(model, message)
    if 300 <= status < 400:
        return ModelError(
            f"{model}'s server redirects ({status}), which is not followed", code="E-MODEL-REDIRECT"
        )
    return ModelError(said, code="E-MODEL-REFUSED")


def unknown_model(model: str, detail: str) -> ModelError:
    """The server does not have ``model``."""
    return ModelError(
        f"the server does not have the model {model}: {detail}",
        code="E-MODEL-NAME",
        hint="Give the model's name as its server lists it in swarmd.toml, or install it there.",
    )


def _message(body: str) -> str:
    """What a server says in its error, in either of the two envelopes there are, or as plain text."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        return body.strip()[:300] or "(nothing)"
    inner = data.get("error", data) if isinstance(data, dict) else data
    said = inner.get("message") if isinstance(inner, dict) else inner
    return str(said)[:300]


def _seconds(text: str | None) -> float | None:
    try:
        return min(60.0, max(0.0, float(text))) if text else None
    except ValueError:
        return None
