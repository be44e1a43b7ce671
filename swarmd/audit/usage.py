"""What model calls used, folded out of the log in one pass and in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from swarmd.audit.busy import Busy

__all__ = ["BY", "MOST_GROUPS", "By", "Spent", "Tally", "UsageFold", "amount"]

By = Literal["request", "task", "tier", "provider", "model", "day"]
"""What calls are put together by; ``day`` is that of UTC, as in the budgets."""
BY: tuple[By, ...] = get_args(By)

MOST_GROUPS = 10_000
"""Groups that are kept; those whose last call is longest ago are put together."""
MAX_NAME = 200
_NONE = "-"


def amount(value: Any) -> int:
    """``value`` as a count; 0 for anything that is none. Logs may be of older versions, or tampered with."""
    return value if type(value) is int and value > 0 else 0


@dataclass(slots=True)
class Tally:
    """Sums over calls."""

    calls: int = 0
    failed: int = 0
    """Calls without a reply; what they used is not known."""
    prompt_tokens: int = 0
    """With the cached ones."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    micro_usd: int = 0
    """What was paid for them."""
    unpriced: int = 0
    """Calls to other machines that have tokens and no price."""
    latency_ms: int = 0
    """Of every call: calls at one time count each."""

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Tally) -> None:
        """Put ``other`` to this one."""
        self.calls += other.calls
        self.failed += other.failed
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.micro_usd += other.micro_usd
        self.unpriced += other.unpriced
        self.latency_ms += other.latency_ms


@dataclass(slots=True)
class Spent:
    """What was used on this machine, and elsewhere."""

    local: Tally = field(default_factory=Tally)
    cloud: Tally = field(default_factory=Tally)

    @property
    def both(self) -> Tally:
        """Together."""
        total = Tally()
        total.add(self.local)
        total.add(self.cloud)
        return total

    def add(self, other: Spent) -> None:
        """Put ``other`` to this one."""
        self.local.add(other.local)
        self.cloud.add(other.cloud)


class UsageFold:
    """Sums over all calls that ended, and for each group of them. Lines of other events are passed over, and
    one with fields of the wrong type never raises."""

    def __init__(self, by: By, *, most_groups: int = MOST_GROUPS) -> None:
        self._by = by
        self._most = most_groups
        self._busy = Busy()
        self.groups: OrderedDict[str, Spent] = OrderedDict()
        """By name; the one with the latest call last."""
        self.merged = Spent()
        """What the groups had that were too many."""
        self.merged_groups = 0
        """How often a group was put there."""
        self.total = Spent()
        self.first: str = ""
        """When the first of the calls ended, as the log says it; "" without calls."""
        self.last: str = ""

    @property
    def busy_ms(self) -> int:
        """Milliseconds in which this machine was answering: calls at one time count once."""
        return self._busy.total_ms

    def take(self, line: Mapping[str, Any]) -> None:
        """Take one line of the log into account."""
        if line.get("event") != "model_call_complete":
            return
        given = line.get("data")
        data: Mapping[str, Any] = given if isinstance(given, dict) else {}
        tally = _tally(line, data)
        local = data.get("local") is not False
        for spent in (self.total, self._group(_name(self._by, line, data))):
            (spent.local if local else spent.cloud).add(tally)
        ts = str(line.get("ts"))
        self.first, self.last = self.first or ts, ts
        if local:
            self._note_time(ts, tally.latency_ms)

    def _group(self, name: str) -> Spent:
        if name not in self.groups:
            if len(self.groups) >= self._most:
                _, oldest = self.groups.popitem(last=False)
                self.merged.add(oldest)
                self.merged_groups += 1
            self.groups[name] = Spent()
        self.groups.move_to_end(name)
        return self.groups[name]

    def _note_time(self, ts: str, latency_ms: int) -> None:
        try:
            end = int(datetime.fromisoformat(ts).timestamp() * 1000)
        except (ValueError, OverflowError, OSError):
            return
        self._busy.add(end - latency_ms, end)


def _tally(line: Mapping[str, Any], data: Mapping[str, Any]) -> Tally:
    prompt, completion = amount(data.get("prompt_tokens")), amount(data.get("completion_tokens"))
    paid = amount(data.get("micro_usd"))
    return Tally(
        calls=1,
        failed=int("code" in data),
        prompt_tokens=prompt,
        cached_tokens=min(prompt, amount(data.get("cached_tokens"))),
        completion_tokens=completion,
        micro_usd=paid,
        unpriced=int(data.get("local") is False and not paid and prompt + completion > 0),
        latency_ms=amount(line.get("latency_ms")),
    )


def _name(by: By, line: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    request, task = line.get("request_id"), line.get("task_id")
    names: Mapping[By, Any] = {
        "request": request,
        "task": f"{request}/{task}" if request and task else request,
        "tier": line.get("tier"),
        "provider": data.get("provider"),
        "model": data.get("model"),
        "day": str(line.get("ts"))[:10],
    }
    return str(names[by] or _NONE)[:MAX_NAME]
