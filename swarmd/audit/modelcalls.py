"""Every model call as the log tells of it: where its prompt went, how much of it, and who decided so.

A call is two lines, its start and its end. A start without an end is a call whose broker died: it is told
as well, because its prompt may have been sent. What an older version did not record is None.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

__all__ = ["Blocked", "CallReader", "CallRecord"]

MOST_OPEN = 10_000
"""Starts that wait for their end: far more than calls are ever open. Older ones have lost it."""
PRIVACY_CODE = "E-MODEL-PRIVACY"

Outcome = Literal["answered", "failed", "no end"]


@dataclass(frozen=True)
class CallRecord:
    """One call that was begun."""

    seq: int
    """Number of the line that ends it; of the one that begins it, where there is no other."""
    start_seq: int | None
    ts: str
    outcome: Outcome
    request_id: str | None = None
    task_id: str | None = None
    tier: str | None = None
    asker: str | None = None
    purpose: str | None = None
    model: str | None = None
    provider: str | None = None
    local: bool | None = None
    """Whether the provider is on this machine."""
    destination: str | None = None
    bytes_sent: int | None = None
    """Of the prompt's text, in UTF-8."""
    bytes_received: int | None = None
    """Of the reply's."""
    privacy: str | None = None
    mode: str | None = None
    rule: str | None = None
    """The routing rule that chose the model."""
    candidates: str | None = None
    """The models that might be asked, in this order."""
    refused: str | None = None
    """Models that were in question, and why they were not asked."""
    prompt_sha256: str | None = None
    sent_sha256: str | None = None
    """Name of the file that holds the bytes as they were sent."""
    redacted: int | None = None
    """Secrets and paths that were taken out before."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    code: str | None = None
    """Of the error, for a call that failed."""

    @property
    def has_left(self) -> bool | None:
        """Whether anything of it may have reached another machine; None when the log does not say."""
        if self.local is None:
            return None
        return not self.local and self.bytes_sent != 0 and self.code != PRIVACY_CODE

    def as_json(self) -> dict[str, Any]:
        """For programs: every field, and whether it left."""
        return {**asdict(self), "left": self.has_left}


@dataclass(frozen=True)
class Blocked:
    """An attempt to reach a model that privacy did not allow."""

    seq: int
    ts: str
    request_id: str | None
    asker: str | None
    model: str | None
    destination: str | None
    code: str | None
    reason: str | None
    refused: str | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@dataclass
class CallReader:
    """Puts the lines of calls together, in one pass and bounded memory. ``take`` every line in its order,
    then ask ``rest`` for the calls that have no end."""

    _open: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)
    """Starts by call id."""

    def take(self, line: Mapping[str, Any]) -> Iterator[CallRecord | Blocked]:
        """What ``line`` completes: nothing for most. Fields of the wrong type never raise."""
        event = line.get("event")
        if event not in ("model_call_start", "model_call_complete", "privacy_blocked"):
            return
        facts = _facts(line)
        if event == "privacy_blocked":
            yield _blocked(facts)
        elif event == "model_call_start":
            self._open[str(facts.get("call_id"))] = facts
            while len(self._open) > MOST_OPEN:
                yield _record(None, self._open.popitem(last=False)[1])
        else:
            yield _record(facts, self._open.pop(str(facts.get("call_id")), None))

    def rest(self) -> Iterator[CallRecord]:
        """The calls that were begun and have no end: they are going on, or their broker died."""
        while self._open:
            yield _record(None, self._open.popitem(last=False)[1])


def _facts(line: Mapping[str, Any]) -> dict[str, Any]:
    data = line.get("data")
    return {**(data if isinstance(data, dict) else {}), **{k: v for k, v in line.items() if k != "data"}}


def _record(end: dict[str, Any] | None, start: dict[str, Any] | None) -> CallRecord:
    both = {**(start or {}), **(end or {})}
    seq, start_seq = _number(both.get("seq")) or 0, _number(start.get("seq")) if start else None
    if end is None:
        outcome: Outcome = "no end"
    else:
        outcome = "failed" if "code" in end else "answered"
    local = both.get("local")
    told: dict[str, Any] = {name: _text(both.get(name)) for name in _TEXTS}
    told |= {name: _number(both.get(name)) for name in _NUMBERS}
    return CallRecord(
        seq=seq,
        start_seq=start_seq,
        ts=str(both.get("ts")),
        outcome=outcome,
        asker=_text(both.get("client") or both.get("actor")),
        local=local if isinstance(local, bool) else None,
        **told,
    )


_TEXTS = (
    "request_id",
    "task_id",
    "tier",
    "purpose",
    "model",
    "provider",
    "destination",
    "privacy",
    "mode",
    "rule",
    "candidates",
    "refused",
    "prompt_sha256",
    "sent_sha256",
    "code",
)
_NUMBERS = ("bytes_sent", "bytes_received", "redacted", "prompt_tokens", "completion_tokens")


def _blocked(facts: Mapping[str, Any]) -> Blocked:
    return Blocked(
        seq=_number(facts.get("seq")) or 0,
        ts=str(facts.get("ts")),
        request_id=_text(facts.get("request_id")),
        asker=_text(facts.get("client") or facts.get("actor")),
        model=_text(facts.get("model")),
        destination=_text(facts.get("destination")),
        code=_text(facts.get("code")),
        reason=_text(facts.get("reason")),
        refused=_text(facts.get("refused")),
    )


def _number(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _text(value: Any) -> str | None:
    """``value`` as text; None for what is empty."""
    if value is None or value == "" or value == [] or value == {}:
        return None
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "; ".join(value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()
