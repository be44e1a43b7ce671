"""swarmd's bus module by itself: inbox, journal, outbox; no planning, agents, registry.

A dropped file becomes a record in the write-ahead file and a line (request_received), the no-op is called,
its result becomes the outbox file and a line (request_complete), then the dropped file, which was the
payload all the time, goes away. Groups form by themselves: what is due when the loop comes to it shares
one sync.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import orjson

from benchmarks.peers.folder import replace
from benchmarks.peers.peer import AT_RECEIPT, Peer, asked_for
from benchmarks.peers.slots import PAYLOAD_BYTES, current, handle, index_of
from benchmarks.peers.swarmd_workers import Workers
from swarmd import durable
from swarmd.audit import Chain, Line, read_lines
from swarmd.bus.inbox import Candidate, Inbox, request_places
from swarmd.bus.journal import GROUP, Journal
from swarmd.bus.wal import WriteAhead
from swarmd.bus.watching import FolderWatch
from swarmd.clock import SystemClock, rfc3339
from swarmd.config import DaemonSettings
from swarmd.home import Home

__all__ = ["Primitive", "PrimitiveEach"]

_AROUND = len('{"user_request":""}')
_LISTING_S = 0.2
_PATIENCE_S = 0.001
"""How long results may gather before they are committed: a slow handler's are committed one by one."""


class Primitive(Peer):
    title = "swarmd, primitive"
    durability = asked_for()
    note = f"{AT_RECEIPT}; logged in groups; dispatcher for 4 workers"
    group = "swarmd"
    acks = True
    batch = GROUP

    @cached_property
    def _home(self) -> Home:
        return Home(self.folder)

    def start(self) -> list[int]:
        for place in request_places(self._home):
            durable.make_dirs(place.folder)
        durable.make_dirs(self._home.active, self._home.outbox, self._home.logs, self.folder / "tmp")
        return []

    def put(self, text: str) -> None:
        name, body = text[:8], text[: PAYLOAD_BYTES - _AROUND]
        data = f'{{"user_request":"{body}"}}'.encode()
        replace(f"{self.folder}/tmp/{name}", f"{self.folder}/bus/inbox/normal/{name}.json", data)

    @cached_property
    def _runner(self) -> asyncio.Runner:
        return asyncio.Runner()

    @cached_property
    def _claimed(self) -> Inbox:
        return self._runner.run(_inbox(self._home))

    def claim(self) -> None:
        """One at a time, as a daemon with one free place would; the file stays until it is committed."""
        self._runner.run(self._claimed.next_batch(1))

    def claims(self, count: int) -> list[float]:
        """Inside the loop, where the daemon makes them, once the folder is listed: before, a slice of that
        work (two milliseconds) may come between two claims. The first claim is measured by itself."""

        async def take() -> list[float]:
            known = -1
            while (waiting := sum(self._claimed.depths().values())) != known:
                known = waiting
                await asyncio.sleep(_LISTING_S)
            seconds = []
            for _ in range(count):
                began = time.perf_counter()
                await self._claimed.next_batch(1)
                seconds.append(time.perf_counter() - began)
            return seconds

        return self._runner.run(take())

    def close(self) -> None:
        self._runner.run(self._claimed.stop())
        self._runner.close()

    def work(self, workers: int) -> None:
        asyncio.run(_Bus(self._home, workers, self.batch).run())


class PrimitiveEach(Primitive):
    """For the comparison with files that are synced one by one."""

    title = "swarmd, primitive, a sync for every message"
    durability = "power"
    note = "as above in groups of one: one sync at the receipt, one at the result"
    batch = 1


async def _inbox(home: Home) -> Inbox:
    watch = FolderWatch()
    watch.start()
    inbox = Inbox(request_places(home), DaemonSettings(), SystemClock(), watch)
    await inbox.start()
    return inbox


@dataclass(frozen=True)
class _Item:
    """One request between its receipt and its end."""

    name: str
    text: str
    dropped: Candidate | None
    """Its file in the inbox; None when it was taken before the last restart."""


def _text(data: bytes) -> str:
    return str(orjson.loads(data)["user_request"])


def _event(name: str, request_id: str, data: dict[str, str]) -> dict[str, object]:
    return {"event": name, "level": "info", "actor": "master", "request_id": request_id, "data": data}


class _Bus:
    """The loop that a daemon would be."""

    def __init__(self, home: Home, workers: int, batch: int) -> None:
        self._home = home
        self._batch = batch
        self._state: dict[str, bool] = {}
        """Whether it has ended, by request."""
        for line, _ in read_lines(home.master_log):
            self._apply(line, 0)
        clock = SystemClock()
        chain = Chain(home.master_log, f"{os.getpid()}")
        wal = WriteAhead(home.wal, chain.size) if asked_for() == "power" else None
        self._journal = Journal(chain, wal, home.root, self._apply, lambda: rfc3339(clock.now()))
        self._workers = Workers(workers) if workers > 1 else None  # forked before there is a thread
        self._inbox: Inbox | None = None
        self._away: dict[str, _Item] = {}
        self._ended: list[_Item] = []
        self._ending: asyncio.Task[None] | None = None

    def _apply(self, line: Line, _: int) -> None:
        self._state[line["request_id"]] = line["event"] == "request_complete"

    async def run(self) -> None:
        """Take, commit, handle, commit; for ever."""
        if self._workers:
            self._workers.open(lambda text: self._end(self._away.pop(text)))
        await self._handle(self._left())
        self._inbox = await _inbox(self._home)
        while True:
            batch = await self._inbox.next_batch(self._batch)
            items = [_Item(one.path.stem, _text(one.data), one) for one in batch]
            for item in items:
                if self._state.get(item.name) and item.dropped:  # a crash came before the file was removed
                    self._inbox.done(item.dropped)
            fresh = [item for item in items if item.name not in self._state]
            if fresh:
                await self._receive(fresh)
                await self._handle(fresh)
            if self._journal.checkpoint_is_due:
                await self._journal.checkpoint()

    def _left(self) -> list[_Item]:
        """What was received and has not ended."""
        names = sorted(name for name, ended in self._state.items() if not ended)
        return [_Item(name, _text(self._dropped(name).read_bytes()), None) for name in names]

    def _dropped(self, name: str) -> Path:
        return self._home.inbox / "normal" / f"{name}.json"

    async def _receive(self, items: Sequence[_Item]) -> None:
        events, kept = [], {}
        for item in items:
            assert item.dropped is not None
            digest = sha256(item.dropped.data).hexdigest()
            events.append(_event("request_received", item.name, {"sha256": digest}))
            kept[item.dropped.path] = item.dropped.data
        await self._journal.commit(*events, kept=kept)

    async def _handle(self, items: Sequence[_Item]) -> None:
        if self._workers:
            self._away |= {item.name: item for item in items}
            await self._workers.submit([item.text for item in items])
            return
        began = time.monotonic()
        for item in items:
            handle(item.text)
            self._end(item)
            if self._ending and time.monotonic() - began > _PATIENCE_S:
                await self._ending
                began = time.monotonic()
        if self._ending:
            await self._ending

    def _end(self, item: _Item) -> None:
        """It was handled: its result is committed with those of the others that end meanwhile."""
        self._ended.append(item)
        if self._ending is None:
            self._ending = asyncio.create_task(self._complete())

    async def _complete(self) -> None:
        while self._ended:
            items, self._ended = self._ended[: self._batch], self._ended[self._batch :]
            events, files = [], {}
            for item in items:
                result = orjson.dumps({"request_id": item.name, "status": "succeeded", "summary": item.text})
                events.append({**_event("request_complete", item.name, {}), "status": "succeeded"})
                files[self._home.outbox / f"{item.name}.json"] = result
            await self._journal.commit(*events, files=files)
            for item in items:
                if item.dropped is not None and self._inbox is not None:
                    self._inbox.done(item.dropped)
                else:
                    self._dropped(item.name).unlink(missing_ok=True)
                current().acked(index_of(item.text))
        self._ending = None
