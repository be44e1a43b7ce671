"""One call from beginning to end: its turn, its tries, its check, and its two lines in the log."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from swarmd.clock import short_id
from swarmd.config import Settings
from swarmd.errors import ModelError, ModelReplyError, SwarmdError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.privacy import PrivacyError
from swarmd.models.providers.base import Counter, OnProgress, Provider, TransientError
from swarmd.models.routing import Router
from swarmd.models.schema import fault_in_reply, refuse_unknown_keywords, unfenced

__all__ = ["AbortedError", "Calls"]

Emit = Callable[[str, Mapping[str, Any]], None]
"""Tells the master of an event; the fields are strings and whole numbers only."""

BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Waits before a server that refuses connections is asked again; a busy one is asked on, at the last."""
UNLIMITED = 10_000
RETRY_TEMPERATURE = 0.4
"""A second try at a reply with the wrong form: at temperature 0 it would be the same reply."""


class AbortedError(ModelError):
    """The call was ended because its request was cancelled or its asker went away."""

    code = "E-MODEL-ABORTED"


class Calls:
    """Makes calls, a limited number at one time for each tier and each model."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        emit: Emit,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._router = router
        self._emit = emit
        self._sleep = sleep
        self._numbers = itertools.count(1)
        self._run = short_id(6)
        limits = settings.policy.concurrency
        self._tiers = {
            "fast": asyncio.Semaphore(limits.fast),
            "deep": asyncio.Semaphore(limits.deep),
            "reviewer": asyncio.Semaphore(limits.reviewer),
        }
        self._models: dict[str, asyncio.Semaphore] = {}

    async def chat(self, call: ChatCall, client: str, on_progress: OnProgress) -> ChatReply:
        """The reply to ``call``. Raises ModelError or ConfigError; cancelling it ends the work."""
        model = self._router.model_of(call)
        if call.schema_ is not None:
            refuse_unknown_keywords(call.schema_)
        facts = self._facts(call, client, model)
        async with self._tiers[call.tier]:
            try:
                provider = await self._router.provider(model, self._router.privacy_of(call))
            except PrivacyError as error:
                self._emit("privacy_blocked", facts | {"code": error.code, "reason": error.message})
                raise
            async with self._slot(model, provider):
                return await self._logged(call, model, provider, facts, on_progress)

    async def count(self, call: ChatCall) -> int | None:
        """The tokens of ``call``'s prompt by the tokenizer of its model's engine; None where the engine
        cannot be asked for that. Raises ModelError or ConfigError."""
        model = self._router.model_of(call)
        provider = await self._router.provider(model, self._router.privacy_of(call))
        return await provider.count(call) if isinstance(provider, Counter) else None

    def _slot(self, model: str, provider: Provider) -> asyncio.Semaphore:
        """The embedded engine and Ollama answer ``parallel`` calls at one time and let others wait
        without end, which would use up the waiting calls' own deadlines: they wait here instead."""
        if model not in self._models:
            slots = self._settings.models[model].parallel if provider.kind != "openai" else UNLIMITED
            self._models[model] = asyncio.Semaphore(slots)
        return self._models[model]

    async def _logged(
        self, call: ChatCall, model: str, provider: Provider, facts: dict[str, Any], on_progress: OnProgress
    ) -> ChatReply:
        facts = facts | {"provider": provider.kind, "local": provider.local}
        begun = asyncio.get_running_loop().time()
        self._emit("model_call_start", facts)
        try:
            reply = await self._checked(call, model, provider, on_progress)
        except PrivacyError as error:
            self._emit("privacy_blocked", facts | {"code": error.code, "reason": error.message})
            self._emit("model_call_complete", facts | _failed(error, begun))
            raise
        except SwarmdError as error:
            self._emit("model_call_complete", facts | _failed(error, begun))
            raise
        except asyncio.CancelledError:
            self._emit("model_call_complete", facts | _failed(AbortedError("aborted"), begun))
            raise
        done = {"provider": reply.provider, "finish": reply.finish, "latency_ms": _ms_since(begun)}
        usage = reply.usage.model_dump(exclude={"v", "local"})
        self._emit("model_call_complete", facts | done | usage)
        return reply

    async def _checked(
        self, call: ChatCall, model: str, provider: Provider, on_progress: OnProgress
    ) -> ChatReply:
        """The reply, asked for once more when it has not the form that the schema asks for."""
        reply = await self._persistent(call, model, provider, on_progress)
        if call.schema_ is None:
            return reply
        if fault_in_reply(unfenced(reply.text), call.schema_) is None:
            return reply.model_copy(update={"text": unfenced(reply.text)})
        changed = {
            "temperature": max(call.temperature, RETRY_TEMPERATURE),
            "seed": None if call.seed is None else call.seed + 1,
        }
        again = await self._persistent(call.model_copy(update=changed), model, provider, on_progress)
        if fault := fault_in_reply(unfenced(again.text), call.schema_):
            cut = " (it reached max_tokens)" if again.finish == "length" else ""
            raise ModelReplyError(f"{model}'s reply does not follow the schema: {fault}{cut}")
        total = reply.usage + again.usage
        return again.model_copy(update={"text": unfenced(again.text), "usage": total})

    async def _persistent(
        self, call: ChatCall, model: str, provider: Provider, on_progress: OnProgress
    ) -> ChatReply:
        """The one retry loop: while a server is busy, some times while it refuses, once when it broke."""
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + self._settings.models[model].first_token_s
        broken = 0
        for tries in itertools.count():
            try:
                return await provider.chat(call, on_progress)
            except TransientError as error:
                broken += error.broken
                spent = loop.time() > patience_ends if error.busy else tries >= len(BACKOFF_S)
                if spent or broken > 1:
                    raise
                if error.retry_after is not None:
                    await self._sleep(error.retry_after)
                elif not error.broken:
                    await self._sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
                if not error.busy:
                    await self._router.forget(model, provider)
                    provider = await self._router.provider(model, self._router.privacy_of(call))
        raise AssertionError("unreachable")

    def _facts(self, call: ChatCall, client: str, model: str) -> dict[str, Any]:
        """What is the same in all of a call's events."""
        prompt = "\0".join(f"{turn.role}\n{turn.content}" for turn in call.messages)
        if call.suffix is not None:
            prompt = f"{prompt}\0suffix\n{call.suffix}"
        facts = {
            "call_id": f"call-{self._run}-{next(self._numbers)}",
            "client": client,
            "tier": call.tier,
            "model": model,
            "purpose": call.purpose[:64],
            "request_id": call.request_id,
            "task_id": call.task_id,
            "attempt": call.attempt,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        }
        return {name: value for name, value in facts.items() if value is not None}


def _failed(error: SwarmdError, begun: float) -> dict[str, Any]:
    return {"code": error.code, "reason": error.message[:300], "latency_ms": _ms_since(begun)}


def _ms_since(begun: float) -> int:
    return int((asyncio.get_running_loop().time() - begun) * 1000)
