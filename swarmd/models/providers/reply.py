"""A reply as it grows out of a stream, checked for what no server can be trusted with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from swarmd.config import ModelSettings
from swarmd.errors import (
    ModelMissingError,
    ModelOverflowError,
    ModelReplyError,
    ModelTimeoutError,
)
from swarmd.messages import ChatCall, ChatReply, Usage
from swarmd.models import tokens
from swarmd.models.pricing import price
from swarmd.models.providers.failure import TransientError

if TYPE_CHECKING:
    from swarmd.models.providers.base import OnPiece, Provider

__all__ = ["Pace", "ReplyParts", "whole_number"]

T = TypeVar("T")

MOST_TOKENS = 2**31
"""A larger count is none."""
TOKEN_CHARACTERS = 256
"""No token is longer: one may stand for a long run of spaces."""


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
        """The result of ``step``, or ModelTimeoutError at a deadline."""
        end = self.started + self._settings.call_s
        try:
            async with asyncio.timeout_at(min(self._deadline, end)):
                return await step
        except TimeoutError:
            reason = self._waiting_for if self._deadline < end else f"not done in {self._settings.call_s:g} s"
            raise ModelTimeoutError(f"the model gave {reason}") from None

    def elapsed_ms(self) -> int:
        """Since the call was made."""
        return int((self._now() - self.started) * 1000)


class ReplyParts:
    """One reply: its pieces, its end, and what the server says about it."""

    def __init__(self, call: ChatCall, model: str, pace: Pace, on_piece: OnPiece) -> None:
        """``model`` is its name in swarmd.toml."""
        self.finish: str | None = None
        self.answered_by: str | None = None
        """The model that the server says it is from."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self._call, self._model, self._pace, self._on_piece = call, model, pace, on_piece
        self._pieces: list[str] = []
        self._room = call.max_tokens * TOKEN_CHARACTERS + 4096

    def add(self, piece: object) -> None:
        """The next piece of text, passed on at once. Raises ModelReplyError when it is none, or when the
        reply goes on and on past its max_tokens."""
        if not isinstance(piece, str):
            raise ModelReplyError(f"{self._model}'s server sent {type(piece).__name__} instead of text")
        self._room -= len(piece)
        if self._room < 0:
            raise ModelReplyError(
                f"{self._model} wrote on and on past the {self._call.max_tokens} tokens asked for"
            )
        self._pieces.append(piece)
        self._pace.token()
        self._on_piece(_sendable(piece))

    def counts(self, *, prompt: object = None, completion: object = None, cached: object = None) -> None:
        """What the server counted; what it leaves out stays as it was."""
        self.prompt_tokens = whole_number(prompt) or self.prompt_tokens
        self.completion_tokens = whole_number(completion) or self.completion_tokens
        self.cached_tokens = min(whole_number(cached) or self.cached_tokens, self.prompt_tokens)

    def whole(self, provider: Provider, settings: ModelSettings, known: tokens.Calibration) -> ChatReply:
        """The reply, checked: it has its end, a text, and was made from the whole prompt."""
        call, model, text = self._call, self._model, _sendable("".join(self._pieces))
        if self.finish is None:
            problem = f"{model} broke off in the middle of its reply"
            raise TransientError(problem, code="E-MODEL-TRUNCATED", broken=True)
        if self.finish not in ("stop", "length"):
            raise ModelReplyError(f"{model} ended its reply with {self.finish[:64]!r}")
        self._refuse_a_cut_prompt(settings, known)
        if not text.strip() and call.suffix is None:  # a gap may need nothing
            raise ModelReplyError(f"{model} gave an empty reply")
        known.learn(call, self.prompt_tokens)
        return ChatReply(
            text=text,
            model=model,
            provider=provider.kind,
            finish="stop" if self.finish == "stop" else "length",
            usage=self._usage(settings, local=provider.local),
            latency_ms=self._pace.elapsed_ms(),
        )

    def _refuse_a_cut_prompt(self, settings: ModelSettings, known: tokens.Calibration) -> None:
        read = self.prompt_tokens
        if read and (
            tokens.was_cut(self._call, read, settings.context)
            or known.was_cut(self._call, read, settings.context)
        ):
            raise ModelOverflowError(
                f"{self._model} read only {read} tokens of a longer prompt; its server cut it"
            )

    def _usage(self, settings: ModelSettings, *, local: bool) -> Usage:
        completion = self.completion_tokens or self._pace.count
        if not self.prompt_tokens and not local:  # some gateways count nothing, and bill it all the same
            self.prompt_tokens = tokens.at_least(self._call)
        cost = (
            0 if local else price(self._model, settings, self.prompt_tokens, completion, self.cached_tokens)
        )
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=completion,
            cached_tokens=self.cached_tokens,
            calls=1,
            micro_usd=cost or 0,  # what nobody knows the price of counts as free
            local=local,
        )

    def refuse_another(self, asked: str, listed: frozenset[str] | None) -> None:
        """Raise ModelMissingError when the server says that it answered with another model than ``asked``.

        Servers may call one model by several names (a dated version, the name behind an alias). So another
        name counts only if it is that of another model in the server's list, or, where there is no list
        (None), if neither name is the other's beginning or end.
        """
        said = self.answered_by
        if not said or said == asked or said.removesuffix(":latest") == asked.removesuffix(":latest"):
            return
        alike = any(one.startswith(other) or one.endswith(f"/{other}") for one, other in _both(said, asked))
        if (said in listed) if listed is not None else not alike:
            raise ModelMissingError(f"asked for {asked}, the server answered with {said[:128]}")


def _both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)


def whole_number(value: object) -> int:
    """``value`` if it is a count that can be believed, else 0."""
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS
    return value if right and isinstance(value, int) else 0


def _sendable(text: str) -> str:
    """``text`` without halves of characters, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        joined: Any = json.loads(json.dumps(text))  # two halves that belong together become one
        return str(joined.encode("utf-8", "replace").decode())
    return text
