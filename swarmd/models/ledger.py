"""What the log says of a call: its beginning and its end at each model, and what was refused on the way."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from swarmd.clock import short_id
from swarmd.errors import SwarmdError
from swarmd.messages import CallContext, ChatCall, ChatReply
from swarmd.models.candidates import Decision
from swarmd.models.providers.base import Provider
from swarmd.models.sent import Record

__all__ = ["Emit", "Ledger", "Line"]

Emit = Callable[[str, Mapping[str, Any]], None]
"""Tells the master of an event; the fields are strings, whole numbers, and lists of them only."""

MAX_REFUSED = 16
"""Most refused candidates that one line names."""

_RUN = short_id(6)
_NUMBERS = itertools.count(1)


class Ledger:
    """The lines of one call."""

    def __init__(
        self, emit: Emit, call: ChatCall, client: str, about: CallContext, decision: Decision
    ) -> None:
        self._emit = emit
        self._decision = decision
        prompt = "\0".join(f"{turn.role}\n{turn.content}" for turn in call.messages)
        if call.suffix is not None:
            prompt = f"{prompt}\0suffix\n{call.suffix}"
        facts = {
            "call_id": f"call-{_RUN}-{next(_NUMBERS)}",
            "client": client,
            "tier": call.tier,
            "purpose": call.purpose[:64],
            "request_id": about.request_id,
            "task_id": about.task_id,
            "attempt": about.attempt,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        }
        self._facts = {name: value for name, value in facts.items() if value is not None}
        self._bytes = len(prompt.encode())

    def begin(self, model: str, provider: Provider, destination: str) -> Line:
        """``model`` is asked now: what led to it stands in this line."""
        decision = self._decision
        facts = self._facts | {"model": model, "provider": provider.kind, "local": provider.local}
        why = {
            "destination": destination,
            "bytes_sent": self._bytes,
            "privacy": decision.privacy,
            "mode": decision.mode,
            "rule": decision.rule,
            "candidates": list(decision.models),
            "refused": [f"{name}: {reason}" for name, reason in decision.refused[:MAX_REFUSED]],
        }
        self._emit("model_call_start", facts | why)
        return Line(self._emit, facts | {"destination": destination})

    def blocked(self, error: SwarmdError, model: str = "") -> None:
        """Privacy has kept the call from leaving."""
        refused = [f"{name}: {reason}" for name, reason in self._decision.refused[:MAX_REFUSED]]
        told = {"code": error.code, "reason": error.message[:300], "model": model, "refused": refused}
        self._emit("privacy_blocked", self._facts | told)

    def opened(self, model: str, failures: int, pause_s: float) -> None:
        """``model`` is not asked for a while."""
        told = {"model": model, "failures": failures, "pause_s": round(pause_s), "level": "warning"}
        self._emit("model_paused", self._facts | told)


class Line:
    """The end of one model's turn at a call."""

    def __init__(self, emit: Emit, facts: Mapping[str, Any]) -> None:
        self._emit = emit
        self._facts = dict(facts)
        self.record = Record()
        """What leaves the machine in this turn."""
        self._begun = asyncio.get_running_loop().time()

    def failed(self, error: SwarmdError) -> None:
        """It has no reply."""
        told = {"code": error.code, "reason": error.message[:300], "latency_ms": self._ms()}
        self._emit("model_call_complete", self._facts | told | self._left())

    def answered(self, reply: ChatReply) -> None:
        """It has one."""
        told: dict[str, Any] = {
            "provider": reply.provider,
            "finish": reply.finish,
            "latency_ms": self._ms(),
            "bytes_received": len(reply.text.encode()),
        }
        usage = reply.usage.model_dump(exclude={"v", "local"})
        self._emit("model_call_complete", self._facts | told | usage | self._left())

    def _left(self) -> dict[str, Any]:
        """What left the machine, if anything did."""
        sent = self.record
        if not sent.bytes:
            return {}
        return {"bytes_sent": sent.bytes, "sent_sha256": ",".join(sent.sha256), "redacted": sent.redacted}

    def _ms(self) -> int:
        return int((asyncio.get_running_loop().time() - self._begun) * 1000)
