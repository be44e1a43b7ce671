"""Who is asked next: places of tiers and of models, given by priority, fairly, and model by model."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from swarmd.messages import PRIORITIES, Priority, Tier

__all__ = ["CallQueue", "Claim"]

BYPASS = 8
"""A call that so many others have been preferred to counts as one priority higher, and so on: whoever waits
has its turn after at most ``BYPASS`` times the levels above it, and those that were there before."""

MOST_BYPASSED = 4 * BYPASS
"""From here on a call goes before all others, whatever their priority."""


@dataclass(frozen=True)
class Claim:
    """What a call needs, and for whom."""

    tier: Tier
    model: str
    priority: Priority = "normal"
    request_id: str | None = None


@dataclass
class _Waiting:
    claim: Claim
    number: int
    granted: asyncio.Future[None]
    bypassed: int = 0

    @property
    def level(self) -> int:
        """0 is the most urgent."""
        return max(0, PRIORITIES.index(self.claim.priority) - self.bypassed // BYPASS)


@dataclass
class CallQueue:
    """Grants a limited number of calls at one time, for each tier and each model.

    Of those that could begin, the first is: of the highest level; of a model that has its weights in memory,
    so that models take few turns (not once it was bypassed); of the request that was served longest ago; the
    one that waits longest.
    """

    tiers: dict[Tier, int]
    """Most calls at one time."""
    slots: Callable[[str], int]
    """The same of a model, by its name."""
    is_loaded: Callable[[str], bool] = lambda model: True
    _waiting: list[_Waiting] = field(default_factory=list)
    _by_tier: Counter[Tier] = field(default_factory=Counter)
    _by_model: Counter[str] = field(default_factory=Counter)
    _served: dict[str | None, int] = field(default_factory=dict)
    """The number of the last grant to each request that waits or was just served."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, claim: Claim) -> AsyncIterator[None]:
        """Wait for a place and hold it. Cancelling the wait gives it up."""
        waiting = _Waiting(claim, next(self._numbers), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._grant()
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it was granted in the same moment
                self._release(claim)
            raise
        try:
            yield
        finally:
            self._release(claim)

    def _release(self, claim: Claim) -> None:
        self._by_tier[claim.tier] -= 1
        self._by_model[claim.model] -= 1
        self._grant()

    def _grant(self) -> None:
        while ready := [one for one in self._waiting if not one.granted.done() and self._has_room(one.claim)]:
            chosen = min(ready, key=self._rank)
            self._waiting.remove(chosen)
            self._by_tier[chosen.claim.tier] += 1
            self._by_model[chosen.claim.model] += 1
            self._served[chosen.claim.request_id] = next(self._numbers)
            self._note_bypassed(chosen)
            self._forget()
            chosen.granted.set_result(None)

    def _has_room(self, claim: Claim) -> bool:
        tier = self._by_tier[claim.tier] < self.tiers[claim.tier]
        return tier and self._by_model[claim.model] < self.slots(claim.model)

    def _rank(self, one: _Waiting) -> tuple[int, bool, int, int]:
        if one.bypassed >= MOST_BYPASSED:  # now nothing counts but who came first
            return -1, False, 0, one.number
        cold = not self.is_loaded(one.claim.model) and one.bypassed < BYPASS
        return one.level, cold, self._served.get(one.claim.request_id, 0), one.number

    def _note_bypassed(self, chosen: _Waiting) -> None:
        """Also those were bypassed that wait for a place of the tier, and for one of the model."""
        for one in self._waiting:
            contends = one.claim.tier == chosen.claim.tier or one.claim.model == chosen.claim.model
            if contends and one.number < chosen.number:
                one.bypassed += 1

    def _forget(self) -> None:
        if len(self._served) > 2 * len(self._waiting) + 64:
            kept = {one.claim.request_id for one in self._waiting}
            self._served = {request_id: at for request_id, at in self._served.items() if request_id in kept}
