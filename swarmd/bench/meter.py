"""What the models did for one problem: calls, tokens, and when they were busy."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Call", "Meter", "covered"]

Span = tuple[float, float]
"""Begin and end, in seconds since the epoch."""


@dataclass(frozen=True)
class Call:
    """One call of a model."""

    span: Span
    """When it was answered, from the cache or not."""
    seconds: float
    """How long the model took when it was recorded."""
    prompt_tokens: int
    completion_tokens: int
    cached: bool = False
    aborted: bool = False
    """The asker went away. The engine then reports no tokens: those of the reply are counted as they
    came, those of the prompt from its length."""


class Meter:
    """Counts the calls of one problem. Filled by the proxy's threads, read by the runner's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._asked: Counter[str] = Counter()

    def add(self, call: Call) -> None:
        """Count ``call``."""
        with self._lock:
            self._calls.append(call)

    def occurrence(self, key: str) -> int:
        """How often ``key`` was asked before."""
        with self._lock:
            self._asked[key] += 1
            return self._asked[key] - 1

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls so far."""
        with self._lock:
            return tuple(self._calls)

    @property
    def replayed_s(self) -> float:
        """Seconds that cached replies would have taken, less those that they did take."""
        cached = [call for call in self.calls if call.cached]
        spent = covered(call.span for call in cached)
        return max(0.0, sum(call.seconds for call in cached) - spent)

    def model_s(self) -> float:
        """Seconds in which a model was busy; calls at one time count once, cached ones one by one."""
        live = covered(call.span for call in self.calls if not call.cached)
        return live + sum(call.seconds for call in self.calls if call.cached)

    def gate_s(self, gates: Iterable[Span]) -> float:
        """Seconds of ``gates`` in which no model was busy."""
        busy = [call.span for call in self.calls]
        return max(0.0, covered([*busy, *gates]) - covered(busy))


def covered(spans: Iterable[Span]) -> float:
    """The length of the union of ``spans``."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
