"""The folders that people drop files into, as a queue in memory.

Events are hints, the folders are the truth: they are listed at the start, from time to time, and
whenever events were lost. What is waiting stands in heaps, so that a claim costs the same with ten
files waiting and with a hundred thousand. A claim is pulled: who is busy does not pull, and the
files stay where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swarmd import durable
from swarmd.bus.drop import Look, Stamp, look, stamp
from swarmd.bus.watching import FolderWatch
from swarmd.clock import Clock
from swarmd.config import DaemonSettings
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import PRIORITIES, Priority

__all__ = ["Candidate", "Inbox", "Place", "request_places"]

_POLL_S = 0.5
"""How often folders are listed when they cannot be watched."""
_RETRY_S = 0.1
"""When a file that does not parse is first looked at again; then ever less often."""
_SLICE = 500
"""Names listed, or files looked at, before the loop may turn."""
_QUEUED = float("inf")
_IGNORED = (".tmp", ".part", "~")


@dataclass(frozen=True)
class Place:
    """One folder, and the priority of what is dropped there."""

    folder: Path
    priority: Priority
    skip: frozenset[str] = frozenset()
    """Names that are no drops."""


@dataclass(frozen=True)
class Candidate:
    """A dropped file that is ready to be judged. The file still lies there: see ``Inbox.done``."""

    path: Path
    priority: Priority
    arrival: int
    """When it was written, in nanoseconds."""
    data: bytes
    refusal: RequestError | None
    """Why it cannot be read, or is not whole; then ``data`` is what there is of it."""
    stamp: Stamp
    place: int

    @property
    def source_id(self) -> str:
        """A short name for this very file (for ``intake.accept``)."""
        return self.stamp.source_id


@dataclass(eq=False)
class _Unsettled:
    """A file that was looked at and is not whole."""

    stamp: Stamp
    since: float
    """Since when it has looked like this, on the boot clock."""
    due: float
    """When to look again; _QUEUED while it stands in a heap, where it may stand only once."""


def request_places(home: Home) -> list[Place]:
    """The four priority folders, and bus/inbox/ itself, which counts as normal."""
    places = [Place(home.inbox / priority, priority) for priority in PRIORITIES]
    return [*places, Place(home.inbox, "normal", frozenset(PRIORITIES))]


class Inbox:
    """Files dropped into ``places``, one by one: by priority, then arrival, then name.

    Not thread-safe: all in one loop. ``code`` begins the codes of refusals.
    """

    def __init__(
        self,
        places: Sequence[Place],
        settings: DaemonSettings,
        clock: Clock,
        watch: FolderWatch | None = None,
        *,
        code: str = "E-REQUEST",
    ) -> None:
        self.trouble = ""
        """What the last sweep could not do; empty when all is well."""
        self._places = tuple(places)
        self._settings = settings
        self._clock = clock
        self._watch = watch
        self._code = code
        self._heaps: dict[Priority, list[tuple[int, str, int]]] = {p: [] for p in PRIORITIES}
        self._names: list[set[str]] = [set() for _ in self._places]
        self._unsettled: dict[tuple[int, str], _Unsettled] = {}
        self._retries: list[tuple[float, int, str]] = []
        self._stuck: dict[tuple[int, str], Stamp] = {}
        self._wake = asyncio.Event()
        self._lost = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None

    # --- what comes in -----------------------------------------------------------------------------

    async def start(self) -> None:
        """List the folders once, then keep watching and listing them until ``stop``."""
        await self._sweep_in_slices()
        self._sweeper = asyncio.create_task(self._keep_sweeping())
        self._sweeper.add_done_callback(lambda _: self._wake.set())

    async def stop(self) -> None:
        """Stop looking. Files that were not claimed stay where they are."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def _keep_sweeping(self) -> None:
        while True:
            watched = self._watch is not None and not self._watch.error
            interval = self._settings.sweep_interval_s if watched else _POLL_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(interval, self._settings.sweep_interval_s)):
                    await self._lost.wait()
            self._lost.clear()
            await self._sweep_in_slices()

    async def _sweep_in_slices(self) -> None:
        for number, _ in enumerate(self._sweep()):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)

    def sweep(self) -> None:
        """List every folder now and queue what is new. A missing folder is made again."""
        for _ in self._sweep():
            continue

    def _sweep(self) -> Iterator[None]:
        trouble = ""
        for index, place in enumerate(self._places):
            try:
                durable.make_dirs(place.folder)
                if self._watch is not None:  # before the listing: nothing may fall between the two
                    self._watch.add(place.folder, partial(self.hint, index), self._lost.set)
                with os.scandir(place.folder) as entries:
                    for entry in entries:
                        if entry.name not in self._names[index]:
                            self.hint(index, entry.name)
                        yield
            except OSError as error:
                trouble = f"{place.folder} cannot be read: {error.strerror or error}"
        self._free_stuck()
        self.trouble = trouble

    def hint(self, place: int, name: str) -> None:
        """There may be something new at ``name`` in the place with that index."""
        if name.startswith(".") or name.endswith(_IGNORED) or name in self._places[place].skip:
            return
        if unsettled := self._unsettled.get((place, name)):
            if unsettled.due != _QUEUED:
                self._retry_at(place, name, unsettled, self._clock.boot())
                self._wake.set()
        elif name not in self._names[place]:
            self._queue(place, name)

    def _queue(self, place: int, name: str) -> None:
        where = self._places[place]
        try:
            arrival = os.lstat(f"{where.folder}/{name}").st_mtime_ns
        except OSError:
            self._forget(place, name)  # gone again, or never there
            return
        self._names[place].add(name)
        heapq.heappush(self._heaps[where.priority], (arrival, name, place))
        self._wake.set()

    def _forget(self, place: int, name: str) -> None:
        self._names[place].discard(name)
        self._unsettled.pop((place, name), None)

    # --- what goes out -----------------------------------------------------------------------------

    def depths(self) -> dict[Priority, int]:
        """How many files wait, by priority; those that are still being written not counted."""
        return {priority: len(heap) for priority, heap in self._heaps.items()}

    async def next_ready(self) -> Candidate:
        """Wait for the next file and claim it. End each claim with ``done``, ``refused`` or ``put_back``."""
        while True:
            self._wake.clear()
            if candidate := self.take(_SLICE):
                return candidate
            if any(self._heaps.values()):
                await asyncio.sleep(0)
                continue
            if self._sweeper is not None and self._sweeper.done():
                self._sweeper.result()  # raises what ended it
            due = self._retries[0][0] - self._clock.boot() if self._retries else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(due, 0.0)):
                    await self._wake.wait()

    def take(self, looks: int = sys.maxsize) -> Candidate | None:
        """Claim the next file that is ready, if there is one among the next ``looks``."""
        self._queue_due()
        for heap in self._heaps.values():
            while heap and looks > 0:
                looks -= 1
                if candidate := self._claim(*heapq.heappop(heap)):
                    return candidate
        return None

    def _queue_due(self) -> None:
        now = self._clock.boot()
        while self._retries and self._retries[0][0] <= now:
            due, place, name = heapq.heappop(self._retries)
            unsettled = self._unsettled.get((place, name))
            if unsettled is not None and unsettled.due == due:
                unsettled.due = _QUEUED
                self._queue(place, name)

    def _claim(self, arrival: int, name: str, place: int) -> Candidate | None:
        where = self._places[place]
        path = where.folder / name
        try:
            found = look(path, self._settings.max_request_bytes, self._code)
        except OSError:  # short of descriptors or memory: that is no fault of the file
            self._postpone(place, name, None)
            return None
        if found is None:
            self._forget(place, name)
            return None
        refusal = None
        if not found.whole:
            if not self._settled(place, name, found):
                return None
            refusal = found.refusal
        self._unsettled.pop((place, name), None)
        return Candidate(path, where.priority, arrival, found.data, refusal, found.stamp, place)

    def _settled(self, place: int, name: str, found: Look) -> bool:
        """Whether a file that is not whole has had its time; if not, look again later."""
        unsettled = self._postpone(place, name, found.stamp)
        patience = self._settings.half_written_s if found.cut_off else self._settings.settle_s
        waited = self._clock.boot() - unsettled.since
        if waited >= patience:
            return True
        self._retry_at(place, name, unsettled, min(unsettled.due, unsettled.since + patience))
        return False

    def _postpone(self, place: int, name: str, seen: Stamp | None) -> _Unsettled:
        now = self._clock.boot()
        unsettled = self._unsettled.get((place, name))
        if unsettled is None or seen is None or unsettled.stamp != seen:
            unsettled = _Unsettled(seen or Stamp(0, 0, 0, 0, 0), since=now, due=now)
            self._unsettled[(place, name)] = unsettled
        self._retry_at(place, name, unsettled, now + max(_RETRY_S, now - unsettled.since))
        return unsettled

    def _retry_at(self, place: int, name: str, unsettled: _Unsettled, due: float) -> None:
        unsettled.due = due
        heapq.heappush(self._retries, (due, place, name))

    # --- the end of a claim ------------------------------------------------------------------------

    def done(self, candidate: Candidate) -> None:
        """The claim is committed: remove the file, unless another one has taken its place since."""
        with contextlib.suppress(OSError):
            if self._is_same(candidate):
                candidate.path.unlink()
        self.refused(candidate)

    def _is_same(self, candidate: Candidate) -> bool:
        now = stamp(candidate.path.lstat())
        if now.content == candidate.stamp.content or now.inode != candidate.stamp.inode:
            return now.content == candidate.stamp.content
        # Many writers end with a line break of its own, after the brace that made the file whole.
        found = look(candidate.path, self._settings.max_request_bytes, self._code)
        return found is not None and found.data.strip() == candidate.data.strip()

    def refused(self, candidate: Candidate) -> None:
        """The file was moved to the dead letters. If it could not be, it is passed over until it
        changes; if another one has taken its place, that one is queued."""
        place, name = candidate.place, candidate.path.name
        try:
            still = stamp(candidate.path.lstat())
        except OSError:
            self._forget(place, name)
            return
        if still.content == candidate.stamp.content:
            self._stuck[(place, name)] = still
        else:
            self.put_back(candidate)

    def put_back(self, candidate: Candidate) -> None:
        """Give up the claim: the file is offered again."""
        self._queue(candidate.place, candidate.path.name)

    def _free_stuck(self) -> None:
        for (place, name), before in list(self._stuck.items()):
            try:
                changed = stamp((self._places[place].folder / name).lstat()) != before
            except OSError:
                changed = True
            if changed:
                del self._stuck[(place, name)]
                self._queue(place, name)
