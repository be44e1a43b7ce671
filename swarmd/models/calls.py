"""One call from beginning to end: whom it goes to, its turn, its tries and its check."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from swarmd.config import ModelSettings, Settings
from swarmd.errors import (
    ConfigError,
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelRefusedError,
    ModelReplyError,
    ModelUnreachableError,
    SwarmdError,
    WeightsError,
)
from swarmd.messages import CallContext, ChatCall, ChatReply, Tier, Usage
from swarmd.models.breaker import Breaker, Breakers
from swarmd.models.budget import Budget, BudgetError, Reservation, worst_case
from swarmd.models.candidates import Decision, decide
from swarmd.models.ledger import Emit, Ledger
from swarmd.models.outgoing import Outgoing
from swarmd.models.privacy import PrivacyError, blocked
from swarmd.models.providers.base import OnPiece, Provider, TransientError
from swarmd.models.purse import Purse
from swarmd.models.queue import CallQueue, Claim
from swarmd.models.routing import Router
from swarmd.models.schema import fault_in_reply, refuse_unknown_keywords, unfenced
from swarmd.models.sent import Record

__all__ = ["AbortedError", "Calls"]

BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Waits before a server that refuses connections is asked again; a busy one is asked on, at the last."""
LOOK_AGAIN_S = 1.0
"""How often a call that has nobody else to go to looks whether its model is back."""
UNLIMITED = 10_000
RETRY_TEMPERATURE = 0.4
"""A second try at a reply with the wrong form: at temperature 0 it would be the same reply."""
PASSED_ON = frozenset({"E-MODEL-NAME", "E-MODEL-MEMORY", "E-MODEL-REDIRECT", "E-MODEL-SENT", "E-BUDGET-FILE"})
"""Codes of errors that another model may not have, besides those of servers that cannot be reached."""


class AbortedError(ModelError):
    """The call was ended because its request was cancelled or its asker went away."""

    code = "E-MODEL-ABORTED"


@dataclass(frozen=True)
class _Asked:
    """One call on its way."""

    call: ChatCall
    about: CallContext
    decision: Decision
    ledger: Ledger
    on_piece: OnPiece
    is_last: bool = False
    """Nobody else is asked when this one cannot answer."""

    @property
    def claim(self) -> Claim:
        return Claim(self.call.tier, "", self.about.priority, self.about.request_id)


class Calls:
    """Makes calls: by priority, fairly, a limited number at one time for each tier and each model."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        emit: Emit,
        purse: Purse,
        sent: Path,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
    ) -> None:
        self._settings = settings
        self._router = router
        self._emit = emit
        self._sleep = sleep
        limits, routing = settings.policy.concurrency, settings.routing
        most: dict[Tier, int] = {"fast": limits.fast, "deep": limits.deep, "reviewer": limits.reviewer}
        self._queue = CallQueue(most, self._slots, router.is_loaded)
        self._breakers = Breakers(routing.breaker_failures, routing.breaker_s, time.monotonic)
        self.budget = Budget(settings.budget, today, purse)
        self._outgoing = Outgoing(settings, sent, os.environ)

    def _slots(self, model: str) -> int:
        """The embedded engine and Ollama answer ``parallel`` calls at one time and let others wait
        without end, which would use up the waiting calls' own deadlines: they wait here instead."""
        settings = self._settings.models[model]
        return settings.parallel if settings.provider in ("auto", "embedded", "ollama") else UNLIMITED

    async def chat(
        self, call: ChatCall, client: str, on_piece: OnPiece, about: CallContext | None = None
    ) -> ChatReply:
        """The reply to ``call``, which is part of ``about``. Raises ModelError or ConfigError; cancelling it
        ends the work."""
        if call.schema_ is not None:
            refuse_unknown_keywords(call.schema_)
        about = about or _as_told(call)
        decision = decide(self._settings, call, about, self.budget.left(about))
        ledger = Ledger(self._emit, call, client, about, decision)
        if not decision.models:
            raise self._nobody(decision, ledger)
        return await self._first_that_answers(_Asked(call, about, decision, ledger, on_piece))

    def _nobody(self, decision: Decision, ledger: Ledger) -> ModelError:
        named = "; ".join(f"{name}: {why}" for name, why in decision.refused)
        if decision.blocked_by_privacy:
            error = PrivacyError(f"no model may answer this call ({named})")
            ledger.blocked(error, next(name for name, why in decision.refused if why.startswith("privacy")))
            return error
        return ModelError(
            f"no model may answer this call ({named or 'none is configured'})",
            code="E-MODEL-ROUTE",
            hint="Change [routing] in swarmd.toml, or name a model there that its mode allows.",
        )

    async def _first_that_answers(self, asked: _Asked) -> ChatReply:
        """Ask one candidate after the other; the last error counts when none of them can."""
        names, last = list(asked.decision.models), None
        for place, name in enumerate(names):
            try:
                is_last = place == len(names) - 1 or asked.call.suffix is not None
                mine = _for_model(asked.call, self._settings.models[name])
                return await self._ask(replace(asked, call=mine, is_last=is_last), name)
            except SwarmdError as error:
                if not _may_pass_on(error, asked.call):
                    raise
                # What another one said is lost in a line of its own; the first says what is wrong here.
                last = last or error
                asked.on_piece(None)
        assert last is not None
        raise last

    async def _ask(self, asked: _Asked, model: str) -> ChatReply:
        try:
            provider = await self._router.provider(model, asked.decision.privacy)
        except PrivacyError as error:
            asked.ledger.blocked(error, model)
            raise
        breaker = self._breakers.of(model, self._router.destination(model, provider))
        while (wait := breaker.wait_s()) > 0:
            if not asked.is_last:
                raise TransientError(
                    f"{model} failed {breaker.failures} times in a row; it is asked again in {wait:.0f} s",
                    code="E-MODEL-OPEN",
                )
            await self._sleep(min(wait, LOOK_AGAIN_S))
        breaker.begin()  # with no other step since the look: of all that waited one tries
        try:
            async with self._queue.turn(replace(asked.claim, model=model)):
                return await self._paid(asked, model, provider, breaker)
        finally:
            breaker.gave_up()

    async def _paid(self, asked: _Asked, model: str, provider: Provider, breaker: Breaker) -> ChatReply:
        with await self._reserved(asked, model, provider) as held:
            try:
                reply = await self._logged(asked, model, provider, breaker)
            except BaseException as error:
                if not _is_free(error):  # part of it may have been written, and is billed
                    held.usage = Usage(micro_usd=held.micro_usd)
                raise
            held.usage = reply.usage
            return reply

    async def _reserved(
        self, asked: _Asked, model: str, provider: Provider
    ) -> contextlib.AbstractContextManager[Reservation]:
        prompt, most = worst_case(asked.call), asked.call.max_tokens
        cost = 0 if provider.local else await self._router.cost(model, prompt, most)
        times = 1 if asked.call.schema_ is None else 2  # a reply of the wrong form is asked for once more
        return self.budget.reserved(asked.about, times * (prompt + most), times * cost)

    async def count(self, call: ChatCall, about: CallContext | None = None) -> int | None:
        """The tokens of ``call``'s prompt by the tokenizer of its model's engine; None where the engine
        cannot be asked for that. Raises ModelError or ConfigError."""
        decision = decide(self._settings, call, about or _as_told(call))
        for model in decision.models[:1]:
            provider = await self._router.provider(model, decision.privacy)
            # Some servers elsewhere count by being sent the prompt.
            return await provider.count(call) if provider.local else None
        return None

    async def _logged(self, asked: _Asked, model: str, provider: Provider, breaker: Breaker) -> ChatReply:
        line = asked.ledger.begin(model, provider, self._router.destination(model, provider))
        try:
            reply = await self._checked(asked, model, provider, line.record)
        except PrivacyError as error:
            breaker.succeeded()
            asked.ledger.blocked(error, model)
            line.failed(error)
            raise
        except SwarmdError as error:
            if error.code == "E-MODEL-REDIRECT" and provider.local:
                asked.ledger.blocked(error, model)
            if not isinstance(error, ModelUnreachableError) or getattr(error, "busy", False):
                breaker.succeeded()
            elif breaker.failed():
                asked.ledger.opened(model, breaker.failures, breaker.pause_s)
            line.failed(error)
            raise
        except asyncio.CancelledError:
            line.failed(AbortedError("aborted"))
            raise
        except BaseException as error:  # a defect of ours or of a library: its end is told all the same
            line.failed(ModelError(f"{type(error).__name__}: {error}"[:300]))
            raise
        breaker.succeeded()
        line.answered(reply)
        return reply

    async def _checked(self, asked: _Asked, model: str, provider: Provider, record: Record) -> ChatReply:
        """The reply, asked for once more when it has not the form that the schema asks for."""
        call = asked.call
        reply = await self._persistent(asked, call, model, provider, record)
        if call.schema_ is None:
            return reply
        if fault_in_reply(unfenced(reply.text), call.schema_) is None:
            return reply.model_copy(update={"text": unfenced(reply.text)})
        changed = {
            "temperature": max(call.temperature, RETRY_TEMPERATURE),
            "seed": None if call.seed is None else call.seed + 1,
        }
        asked.on_piece(None)
        again = await self._persistent(asked, call.model_copy(update=changed), model, provider, record)
        if fault := fault_in_reply(unfenced(again.text), call.schema_):
            cut = " (it reached max_tokens)" if again.finish == "length" else ""
            raise ModelReplyError(f"{model}'s reply does not follow the schema: {fault}{cut}")
        total = reply.usage + again.usage
        return again.model_copy(update={"text": unfenced(again.text), "usage": total})

    async def _persistent(
        self, asked: _Asked, call: ChatCall, model: str, provider: Provider, record: Record
    ) -> ChatReply:
        """The one retry loop: while a server is busy, some times while it refuses, once when it broke."""
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + self._settings.models[model].first_token_s
        broken = 0
        for tries in itertools.count():
            try:
                return await self._outgoing.chat(
                    provider, call, asked.on_piece, asked.about, asked.decision.privacy, record
                )
            except TransientError as error:
                if refusal := blocked(error):  # the library could not connect because it must not
                    raise refusal from error
                broken += error.broken
                waits = error.busy and asked.is_last
                spent = loop.time() > patience_ends if waits else tries >= len(BACKOFF_S)
                if spent or broken > 1:
                    raise
                asked.on_piece(None)
                if error.retry_after is not None:
                    await self._sleep(max(error.retry_after, BACKOFF_S[0]))
                elif not error.broken:
                    await self._sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
                if not error.busy:
                    await self._router.forget(model, provider)
                    provider = await self._router.provider(model, asked.decision.privacy)
        raise AssertionError("unreachable")


def _as_told(call: ChatCall) -> CallContext:
    """What a call says of itself, where nobody else says anything."""
    if call.about is not None:
        return call.about
    return CallContext(
        request_id=call.request_id, task_id=call.task_id, attempt=call.attempt, privacy=call.privacy
    )


def _for_model(call: ChatCall, model: ModelSettings) -> ChatCall:
    """``call`` as ``model`` takes it: not every server goes on with a reply that was begun."""
    if model.goes_on or call.suffix is not None or call.messages[-1].role != "assistant":
        return call
    return call.model_copy(update={"messages": call.messages[:-1]}) if len(call.messages) > 1 else call


def _is_free(error: BaseException) -> bool:
    """Whether a call that ended so costs nothing: nothing of a reply had come."""
    if isinstance(error, TransientError):
        return not error.broken
    refused = (
        PrivacyError,
        ConfigError,
        BudgetError,
        ModelOverflowError,
        ModelRefusedError,
        ModelMissingError,
    )
    return isinstance(error, refused) or getattr(error, "code", "") in PASSED_ON


def _may_pass_on(error: SwarmdError, call: ChatCall) -> bool:
    """Whether another model may answer what this one could not. A reply that is no good is for who asked to
    judge, and a gap is for models that fill gaps."""
    if call.suffix is not None:
        return False
    kinds = (ModelUnreachableError, ModelOverflowError, WeightsError, PrivacyError, BudgetError, ConfigError)
    return isinstance(error, kinds) or error.code in PASSED_ON
