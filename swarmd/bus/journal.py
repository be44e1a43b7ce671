"""The log is the commit: the one way in which state changes, a group at a time.

A change is some log lines and the payload files that they speak of. Whatever has been asked for by
the time the loop comes to it is one group, of at most ``GROUP`` changes, so that a lone change does
not wait and a busy bus pays for one sync in place of many. A group is written in this order: payload
files (each in one step, unsynced), the chained lines (one write, unsynced), one synced record of both
in the write-ahead file. Then the lines are applied to the state, and those who asked hear of it.
What has no line did not happen.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from swarmd import durable
from swarmd.audit import Chain, Line
from swarmd.bus.wal import WriteAhead
from swarmd.errors import AuditError

__all__ = ["GROUP", "Event", "Journal"]

Event = dict[str, Any]
"""A line to be, without what the log gives each line itself."""

T = TypeVar("T")

GROUP = 64
"""Most changes in one group: more would not make the sync cheaper, only later."""

LINGER_TURNS = 3
"""Turns of the loop before a group is closed; while nothing else is due they take microseconds."""

_ROOM_S = 0.5
"""How often a full disk is tried again."""


@dataclass(eq=False)
class _Change:
    events: Sequence[Event]
    files: Mapping[Path, bytes]
    by_name: Mapping[str, bytes]
    """What the write-ahead file takes: the files, and those that are kept, by their names in the home."""
    done: asyncio.Future[list[Line]]


@dataclass(eq=False)
class _Written:
    """A group that is in its places, and not in the write-ahead file yet."""

    taken: int
    """How many changes of the queue it stands for: those that nobody waits for any more were left out."""
    group: Sequence[_Change]
    files: Mapping[Path, bytes]
    by_name: Mapping[str, bytes]
    lines: list[Line]
    raw: bytes
    offset: int


class Journal:
    """The writer of one log and of the payload files under ``root``. Not thread-safe: all in one loop."""

    def __init__(
        self,
        chain: Chain,
        wal: WriteAhead | None,
        root: Path,
        apply: Callable[[Line, int], None],
        stamp: Callable[[], str],
    ) -> None:
        """``wal`` None: changes survive the death of this process, not power loss. ``apply`` takes each
        committed line and where it begins in the log; ``stamp`` gives the time for the lines' ts."""
        self.chain = chain
        self.waiting_for_space = False
        """Whether the disk is full: nothing is lost, and nothing goes on."""
        self.lines_since_checkpoint = 0
        self.on_wait: Callable[[], None] = lambda: None
        """Told each time when the disk is found full: this process waits, it does not hang."""
        self._wal = wal
        self._root = root
        self._prefix = f"{root}{os.sep}"
        self._apply = apply
        self._stamp = stamp
        self._queue: list[_Change] = []
        self._scheduled = False
        self._failed: Exception | None = None
        self._fresh: Mapping[Path, bytes] = {}
        self._written: _Written | None = None

    async def commit(
        self,
        *events: Event,
        files: Mapping[Path, bytes] | None = None,
        kept: Mapping[Path, bytes] | None = None,
    ) -> list[Line]:
        """Make ``events`` happen, with the payload ``files`` they speak of, and those that are ``kept``:
        somebody has written them in their place already, unsynced. Returns the lines.

        A full disk is waited for. Raises ValueError for a file outside the home, AuditError or OSError
        for a change that cannot be written (nothing has happened then), and FsyncFailedError when it is
        not known what the disk holds: this process must end, and nothing can be committed any more.
        """
        if self._failed is not None:
            raise self._failed
        loop = asyncio.get_running_loop()
        files = files or {}
        by_name = {self._name(path): data for path, data in {**(kept or {}), **files}.items()}
        change = _Change(events, files, by_name, loop.create_future())
        self._queue.append(change)
        self._schedule(loop)
        return await change.done

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._linger, loop, LINGER_TURNS)

    def _linger(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        """Let the loop turn: what follows from the news that brought this change joins its group."""
        if turns > 0:
            loop.call_soon(self._linger, loop, turns - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        """Write what has been asked for, a group at a time; after a refusal, one change at a time, so
        that it meets only the change that it is about."""
        self._scheduled = False
        singly = 0
        while self._queue and self._failed is None:
            size = self._written.taken if self._written else 1 if singly else GROUP
            group = self._queue[:size]
            singly = max(0, singly - 1)
            try:
                if self._written is None:
                    self._write(group)
                self._make_durable()
            except (OSError, AuditError) as error:
                if durable.is_full(error):
                    self._wait_for_room()
                    return
                if self._written is not None:
                    self.fail(error)  # the lines are in the log, and cannot be acknowledged
                    break
                if len(group) > 1 and not _is_fatal(error):
                    singly = len(group)
                    continue
                self._refuse(group[0], error)
            except Exception as error:  # applying a line failed: nobody may go on from such a state
                self.fail(error)
            del self._queue[: len(group)]
        self.waiting_for_space = False

    def _make_durable(self) -> None:
        """The written group, if there is one, survives power loss from here on, and takes effect."""
        written = self._written
        if written is None:
            return
        if self._wal is not None:
            self._wal.append(written.offset, written.raw, written.by_name)
        self._written = None
        self._fresh = written.files
        self._take_effect(written.group, written.lines, written.offset)
        self._fresh = {}

    def _refuse(self, change: _Change, error: OSError | AuditError) -> None:
        if _is_fatal(error):
            self.fail(error)
        elif not change.done.done():
            change.done.set_exception(error)

    def sync_dir(self, folder: Path) -> None:
        """As ``durable.sync_dir``. After its FsyncFailedError nothing can be committed any more."""
        try:
            durable.sync_dir(folder)
        except durable.FsyncFailedError as error:
            self.fail(error)
            raise

    def fail(self, error: Exception) -> None:
        """A sync has failed, here or elsewhere in this process: nothing can be committed any more."""
        self._failed = error  # another sync may succeed, and would hide what was lost
        for change in self._queue:
            if not change.done.done():
                change.done.set_exception(error)

    def _wait_for_room(self) -> None:
        self.waiting_for_space = True
        self.on_wait()
        self._scheduled = True
        asyncio.get_running_loop().call_later(_ROOM_S, self._flush)

    def _write(self, group: Sequence[_Change]) -> None:
        taken = len(group)
        group = [change for change in group if not change.done.done()]
        files = {path: data for change in group for path, data in change.files.items()}
        stamp = self._stamp()
        prepared = self.chain.prepare({"ts": stamp, **event} for change in group for event in change.events)
        by_name = {name: data for change in group for name, data in change.by_name.items()}
        if self._wal is not None:
            self._wal.reserve(prepared.raw, by_name)
        durable.create_group(files)
        offset = self.chain.size
        self.chain.write(prepared)
        self._written = _Written(taken, group, files, by_name, prepared.lines, prepared.raw, offset)

    def _name(self, path: Path) -> str:
        """``path`` inside the home. Raises ValueError when it is outside."""
        text = str(path)
        if not text.startswith(self._prefix):
            raise ValueError(f"{path} is not below {self._root}")
        return text[len(self._prefix) :]

    def _take_effect(self, group: Sequence[_Change], lines: list[Line], offset: int) -> None:
        self.lines_since_checkpoint += len(lines)
        for line in lines:
            self._apply(line, offset)
        self.on_group(lines)
        first = 0
        for change in group:
            last = first + len(change.events)
            if not change.done.done():
                change.done.set_result(lines[first:last])
            first = last

    def on_group(self, lines: Sequence[Line]) -> None:
        """Told the lines of each group once they have been applied; for those who build on this."""

    def fresh(self, path: Path) -> bytes | None:
        """The payload at ``path`` while its lines are being applied: it need not be read again."""
        return self._fresh.get(path)

    async def with_room(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, which is tried again for as long as the disk is full."""
        while True:
            try:
                done = work()
            except OSError as error:
                if not durable.is_full(error):
                    raise
            else:
                return done
            self.waiting_for_space = True
            self.on_wait()
            await asyncio.sleep(_ROOM_S)

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether so much was written that what stands in the write-ahead file should be freed."""
        return self._wal is not None and self._wal.crowded

    async def checkpoint(self, *, synced: bool = True) -> None:
        """Sync everything that was written so far in its own place, free the write-ahead file of it, and
        begin a new log segment if this one is full. Raises FsyncFailedError."""
        if self._failed is not None:
            raise self._failed  # what is on the disk is unknown: no later sync may cover that up
        try:
            await self.with_room(self._switch)
            if synced:
                await asyncio.to_thread(durable.sync_file_system, self._root)
            if self._wal is not None and self._failed is None:
                self._wal.release()
                if self.chain.full and self._written is None:
                    self._rotate()
            elif self.chain.full:
                self._rotate()
        except durable.FsyncFailedError as error:
            self.fail(error)
            raise

    def _switch(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._wal is not None:
            self._wal.switch(self._written.offset if self._written else self.chain.size)
        self.lines_since_checkpoint = 0

    def _rotate(self) -> None:
        try:
            self.chain.rotate()
        except OSError as error:
            if not durable.is_full(error):
                raise
            return  # there will be room at a later checkpoint
        if self._wal is not None:
            self._wal.switch(self.chain.size)
            self._wal.release()

    def close(self) -> None:
        """Close the log and the write-ahead file."""
        self.chain.close()
        if self._wal is not None:
            self._wal.close()


def _is_fatal(error: Exception) -> bool:
    return isinstance(error, durable.FsyncFailedError)
