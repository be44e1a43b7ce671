"""The folders that people drop files into, as a queue in memory.

Events are hints, the folders are the truth: they are listed at the start, from time to time, and
whenever events were lost. What waits is held in order (``Backlog``), so that a claim costs the same
with ten files waiting and with a hundred thousand, and reads no folder. A claim is pulled: who is busy
does not pull, and the files stay where they are.

The order is: by priority, but one claim in seventeen goes to a priority that would starve; within one
priority by the time of the last write; what was written within one tick of the file system's clock (some
milliseconds) as the events tell of it, else by name. It holds among all files that are known. The first
listing begins with the highest priority, and nothing is offered before it is complete, unless it takes
longer than 0.15 s (tens of thousands of files): then the oldest of those listed so far go first, while the
listing goes on between the claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from swarmd import durable
from swarmd.bus.backlog import Backlog
from swarmd.bus.drop import Candidate, Stamp, look, stamp
from swarmd.bus.place import Place, request_places
from swarmd.bus.settling import Key, Settling
from swarmd.bus.sweep import Sweeper
from swarmd.bus.watching import FolderWatch
from swarmd.clock import Clock
from swarmd.config import DaemonSettings
from swarmd.messages import PRIORITIES, Priority

__all__ = ["Candidate", "Inbox", "Place", "request_places"]

_POLL_S = 0.5
"""How often folders are listed when events do not tell of everything."""
_LOOKS = 500
"""Files looked at in vain before the loop may turn."""
PATIENCE = 16
"""A priority that was passed over so often in a row, while files waited there, has the next claim."""
_AHEAD_NS = 60 * 10**9
"""How far in the future a file may have been written; else it could wait for ever behind others."""
_TICK_NS = 20 * 10**6
"""Longer than a tick of any file system's clock."""
_PEEK = 1000
"""Most names that are looked at out of turn."""
_IGNORED = (".tmp", ".part", "~")


class Inbox:
    """Files dropped into ``places``, in the order that the module's text promises.

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
        self._watch = watch if settings.watch == "auto" else None
        self._code = code
        self._backlogs = tuple(Backlog() for _ in self._places)
        self._ranked = {
            rank: [index for index, place in enumerate(self._places) if place.priority == rank]
            for rank in PRIORITIES
        }
        self._ticks = [(-1, 0)] * len(self._places)
        """By place: the time of the file of which an event told last, and how many before in that tick."""
        self._peeked = [0] * len(self._places)
        """By place: the time of the folder's last change that was looked into."""
        self._passed = dict.fromkeys(PRIORITIES, 0)
        self._settling = Settling(settings, clock)
        self._stuck: dict[Key, Stamp] = {}
        self._wake = asyncio.Event()
        self._sweeper = Sweeper(self._sweep, self._interval, self._wake)

    # --- what comes in -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to list and watch the folders, until ``stop``. Returns when they are listed, or
        after a moment: so the first offers are in order, and a huge backlog holds nobody up."""
        await self._sweeper.start()

    async def stop(self) -> None:
        """Stop looking. Files that were not claimed stay where they are."""
        await self._sweeper.stop()

    @property
    def unwatched(self) -> str:
        """Why the folders are only listed, twice a second; empty while events come from all of them."""
        if self._watch is None:
            return "folders are not watched"
        return next(filter(None, (self._watch.error_of(place.folder) for place in self._places)), "")

    def _interval(self) -> float:
        interval = self._settings.sweep_interval_s
        return min(interval, _POLL_S) if self.unwatched else interval

    def sweep(self) -> None:
        """List every folder now and queue what is new. A missing folder is made again."""
        for _ in self._sweep():
            continue

    def _sweep(self) -> Iterator[None]:
        trouble = ""
        for index in (index for ranked in self._ranked.values() for index in ranked):
            try:
                yield from self._list(index)
            except OSError as error:
                trouble = f"{self._places[index].folder} cannot be read: {error.strerror or error}"
        yield from self._free_stuck()
        self.trouble = trouble

    def _list(self, index: int) -> Iterator[None]:
        folder, backlog = self._places[index].folder, self._backlogs[index]
        durable.make_dirs(folder)
        if self._watch is not None:  # before the listing: nothing may fall between the two
            self._watch.add(folder, partial(self.hint, index), self._sweeper.lost.set)
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if entry.name not in backlog:
                    self._see(index, entry.name)
                elif number % 32:  # a name that is known costs next to nothing
                    continue
                yield

    def hint(self, place: int, name: str) -> None:
        """Something has happened just now at ``name`` in the place with that index."""
        self._see(place, name, told=True)

    def _see(self, place: int, name: str, *, told: bool = False) -> None:
        if name.startswith(".") or name.endswith(_IGNORED) or name in self._places[place].skip:
            return
        if (place, name) in self._settling:
            self._settling.hurry((place, name))
            self._wake.set()
        elif name not in self._backlogs[place]:
            self._queue(place, name, told=told)

    def _queue(self, place: int, name: str, *, told: bool = False) -> None:
        try:
            written = os.lstat(f"{self._places[place].folder}/{name}").st_mtime_ns
        except OSError:
            self._forget(place, name)  # gone again, or never there
            return
        if told:
            tick, before = self._ticks[place]
            before = before + 1 if written == tick else 0
            self._ticks[place] = (written, before)
            written += before
        latest = time.time_ns() + _AHEAD_NS  # the file system's clock, not the one that tests hold still
        self._backlogs[place].push(min(written, latest), name)
        self._wake.set()

    def _forget(self, place: int, name: str) -> None:
        self._backlogs[place].forget(name)
        self._settling.forget((place, name))

    # --- what goes out -----------------------------------------------------------------------------

    def depths(self) -> dict[Priority, int]:
        """How many files wait, by priority; those that are still being written not counted."""
        return {rank: sum(len(self._backlogs[i]) for i in ranked) for rank, ranked in self._ranked.items()}

    async def next_ready(self) -> Candidate:
        """Wait for the next file and claim it. End each claim with ``done``, ``refused`` or ``put_back``."""
        return (await self.next_batch(1))[0]

    async def next_batch(self, limit: int) -> list[Candidate]:
        """Wait for a file, then claim all that are ready now, in order, at most ``limit`` (at least 1).

        End each claim as with ``next_ready``.
        """
        await asyncio.sleep(0)  # else who finds files at once would hear of nothing more urgent
        self._peek()
        while True:
            self._wake.clear()
            if first := self.take(_LOOKS):
                batch = [first]
                while len(batch) < limit and (more := self.take(limit)):
                    batch.append(more)
                return batch
            if any(map(len, self._backlogs)):
                await asyncio.sleep(0)
                continue
            self._sweeper.check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settling.next_in()):
                    await self._wake.wait()

    def _peek(self) -> None:
        """While files wait, see whether there are more urgent ones: their events may stand behind
        those of a storm. Costs a stat for each folder of a higher priority, unless that has changed."""
        if not any(map(len, self._backlogs)):
            return
        for ranked in self._ranked.values():
            if any(len(self._backlogs[index]) for index in ranked):
                return
            for index in ranked:
                with contextlib.suppress(OSError):
                    self._peek_into(index)

    def _peek_into(self, index: int) -> None:
        folder = self._places[index].folder
        changed = folder.stat().st_mtime_ns
        if changed == self._peeked[index]:
            return
        if time.time_ns() - changed > _TICK_NS:  # else more may come within the same tick
            self._peeked[index] = changed
        with os.scandir(folder) as entries:
            for entry in islice(entries, _PEEK):
                if entry.name not in self._backlogs[index]:
                    self._see(index, entry.name)

    def take(self, looks: int = sys.maxsize) -> Candidate | None:
        """Claim the next file that is ready, if there is one among the next ``looks``."""
        for place, name in self._settling.due():
            self._queue(place, name)
        for rank in sorted(PRIORITIES, key=lambda rank: self._passed[rank] < PATIENCE):
            ranked = self._ranked[rank]
            while looks > 0:
                heads = ((first, i) for i in ranked if (first := self._backlogs[i].first()) is not None)
                head = min(heads, default=None)
                if head is None:
                    break
                looks -= 1
                if candidate := self._claim(head[1], head[0][0]):
                    self._pass_over(rank)
                    return candidate
        return None

    def _pass_over(self, taken: Priority) -> None:
        """Count for the lower priorities, where files wait, that they were passed over once more."""
        self._passed[taken] = 0
        for rank in PRIORITIES[PRIORITIES.index(taken) + 1 :]:
            waits = any(len(self._backlogs[index]) for index in self._ranked[rank])
            self._passed[rank] = self._passed[rank] + 1 if waits else 0

    def _claim(self, place: int, arrival: int) -> Candidate | None:
        where, name = self._places[place], self._backlogs[place].pop()
        path = where.folder / name
        try:
            found = look(path, self._settings.max_request_bytes, self._code)
        except OSError:  # short of descriptors or memory: that is no fault of the file
            self._settling.postpone((place, name))
            return None
        if found is None:
            self._forget(place, name)
            return None
        refusal = None
        if not found.whole:
            if not self._settling.is_over((place, name), found):
                return None
            refusal = found.refusal
        self._settling.forget((place, name))
        return Candidate(path, where.priority, arrival, found.data, refusal, found.stamp, place)

    # --- the end of a claim ------------------------------------------------------------------------

    def done(self, candidate: Candidate) -> None:
        """The claim is committed: remove the file, unless another one has taken its place since."""
        try:
            same = self._is_same(candidate)
            if same:
                os.unlink(candidate.path)  # noqa: PTH108 - half the cost of Path.unlink, for each request
        except FileNotFoundError:
            same = True
        except OSError:
            self.refused(candidate)
            return
        if same:
            self._forget(candidate.place, candidate.path.name)
        else:
            self.put_back(candidate)

    def _is_same(self, candidate: Candidate) -> bool:
        now = stamp(os.lstat(candidate.path))
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

    def _free_stuck(self) -> Iterator[None]:
        for (place, name), before in list(self._stuck.items()):
            try:
                changed = stamp((self._places[place].folder / name).lstat()) != before
            except OSError:
                changed = True
            if changed:
                del self._stuck[(place, name)]
                self._queue(place, name)
            yield
