"""Patience with files that were looked at and are not whole: when to look again, when to give up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from swarmd.bus.drop import Look, Stamp
from swarmd.clock import Clock
from swarmd.config import DaemonSettings

__all__ = ["Key", "Settling"]

Key = tuple[int, str]
"""A folder's index, and a name in it."""

_RETRY_S = 0.1
"""When a file that is not whole is first looked at again; then ever less often."""
_QUEUED = float("inf")
_UNSEEN = Stamp(0, 0, 0, 0, 0)


@dataclass(eq=False, slots=True)
class _Unsettled:
    """A file that was looked at and is not whole."""

    stamp: Stamp
    since: float
    """Since when it has looked like this, on the boot clock."""
    due: float
    """When to look again; _QUEUED while it waits for its turn, which it may do only once."""


class Settling:
    """The files that are not whole yet. All times are on the boot clock."""

    def __init__(self, settings: DaemonSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._files: dict[Key, _Unsettled] = {}
        self._retries: list[tuple[float, Key]] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._files

    def is_over(self, key: Key, found: Look) -> bool:
        """Whether this file has had its time: it has looked the same for long enough. If not, it is
        due again later."""
        unsettled = self.postpone(key, found.stamp)
        patience = self._settings.half_written_s if found.cut_off else self._settings.settle_s
        if self._clock.boot() - unsettled.since >= patience:
            return True
        self._retry_at(key, unsettled, min(unsettled.due, unsettled.since + patience))
        return False

    def postpone(self, key: Key, seen: Stamp | None = None) -> _Unsettled:
        """Look again later; ``seen`` None: it could not be looked at."""
        now = self._clock.boot()
        unsettled = self._files.get(key)
        if unsettled is None or seen is None or unsettled.stamp != seen:
            unsettled = _Unsettled(seen or _UNSEEN, since=now, due=now)
            self._files[key] = unsettled
        self._retry_at(key, unsettled, now + max(_RETRY_S, now - unsettled.since))
        return unsettled

    def hurry(self, key: Key) -> None:
        """Something has happened to this file: it is due now."""
        unsettled = self._files[key]
        if unsettled.due not in (_QUEUED, now := self._clock.boot()):
            self._retry_at(key, unsettled, now)

    def _retry_at(self, key: Key, unsettled: _Unsettled, due: float) -> None:
        unsettled.due = due
        heapq.heappush(self._retries, (due, key))

    def due(self) -> Iterator[Key]:
        """The files to look at now; each is given once until it is postponed again."""
        now = self._clock.boot()
        while self._retries and self._retries[0][0] <= now:
            due, key = heapq.heappop(self._retries)
            unsettled = self._files.get(key)
            if unsettled is not None and unsettled.due == due:
                unsettled.due = _QUEUED
                yield key

    def next_in(self) -> float | None:
        """Seconds until something may be due; None: nothing is waited for."""
        return max(self._retries[0][0] - self._clock.boot(), 0.0) if self._retries else None

    def forget(self, key: Key) -> None:
        """The file was claimed, or is gone."""
        self._files.pop(key, None)
