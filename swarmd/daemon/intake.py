"""Intake: from dropped files to acknowledged requests, or to dead letters with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

import psutil

from swarmd import durable
from swarmd.bus import deadletter, outbox
from swarmd.bus.inbox import Candidate, Inbox, request_places
from swarmd.bus.intake import Repeat, accept
from swarmd.bus.journal import GROUP
from swarmd.bus.watching import FolderWatch
from swarmd.clock import rfc3339
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event
from swarmd.errors import RequestError
from swarmd.messages import AcceptedRequest, dump, load

__all__ = ["Intake"]

RETRY_S = 1.0
"""How long intake rests when the disk takes nothing."""
_MIB = 1024 * 1024


def _checked_dump(request: AcceptedRequest) -> bytes:
    try:
        return dump(request)
    except TypeError as error:
        raise RequestError(
            f"a number in it is too large: {error}",
            code="E-REQUEST-VALUE",
            field="limits",
            hint="Give limits that a 64-bit number can hold.",
        ) from error


class Intake:
    """Takes requests from the inbox while there is room for them."""

    def __init__(self, context: Context) -> None:
        self.short_of = ""
        """Of what there is too little for new requests: "disk", "memory", or empty."""
        self._context = context
        self._watch = FolderWatch(context.settings.daemon.watch)
        self._inbox = Inbox(request_places(context.home), context.settings.daemon, context.clock, self._watch)
        self._room = asyncio.Event()
        self._taking: dict[str, str] = {}
        """Content of the requests that are being committed, by id."""
        self._task: asyncio.Task[None] | None = None

    def start(self, background: asyncio.TaskGroup) -> None:
        """Begin to take requests, in the background."""
        self.resume()
        self._task = background.create_task(self._run())

    @property
    def state(self) -> str:
        """ "open", or why nothing is taken now: paused, draining, disk, memory or full."""
        if self._context.draining:
            return "draining"
        if self._context.state.paused:
            return "paused"
        return self.short_of or ("open" if self._free() > 0 else "full")

    def depths(self) -> dict[str, int]:
        """How many files wait, by priority."""
        return {str(priority): count for priority, count in self._inbox.depths().items()}

    def _free(self) -> int:
        active = len(self._context.state.requests) + len(self._taking)
        return self._context.settings.daemon.max_active_requests - active

    def resume(self) -> None:
        """Take more, if there is room for more requests now."""
        if self.state == "open":
            self._room.set()
        else:
            self._room.clear()

    async def look_around(self) -> None:
        """See whether disk and memory suffice for new requests, and log when that changes. What waits in
        the inbox waits on: nothing is dropped."""
        limits = self._context.settings.daemon
        short = ""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._context.home.root).free < limits.min_free_disk_mib * _MIB:
                short = "disk"
        if psutil.virtual_memory().available < limits.min_free_memory_mib * _MIB:
            short = short or "memory"
        if short == self.short_of:
            return
        self.short_of = short
        self.resume()
        name, level = ("intake_stopped", "warning") if short else ("intake_resumed", "info")
        await self._context.journal.commit(event(name, level=level, data={"short_of": short}))

    async def stop(self) -> None:
        """Take no more; what was not taken stays in the inbox."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        self._watch.start()
        await self._inbox.start()
        try:
            while True:
                await self._room.wait()
                batch = await self._inbox.next_batch(max(1, min(GROUP, self._free())))
                if self.state != "open":  # since it began to wait
                    self._room.clear()
                    for candidate in batch:
                        self._inbox.put_back(candidate)
                elif not await self._take_all(batch):
                    await asyncio.sleep(RETRY_S)
                self.resume()
        finally:
            await self._inbox.stop()
            self._watch.stop()

    async def _take_all(self, batch: list[Candidate]) -> bool:
        """Take a batch, whose changes are committed in one group. False when the disk took not all."""
        done = await asyncio.gather(*map(self._take, batch), return_exceptions=True)
        for candidate, error in zip(batch, done, strict=True):
            if isinstance(error, durable.FsyncFailedError) or not isinstance(error, OSError | None):
                raise error
            if error is not None:  # no room for a folder or a record: the file waits where it is
                self._inbox.put_back(candidate)
        return not any(done)

    async def _take(self, candidate: Candidate) -> None:
        try:
            await self._acknowledge(candidate)
        except durable.FsyncFailedError as error:  # at once: the rest of the batch must not be synced
            self._context.journal.fail(error)
            raise

    async def _acknowledge(self, candidate: Candidate) -> None:
        try:
            if candidate.refusal is not None:
                raise candidate.refusal
            request = accept(
                candidate.data,
                name=candidate.path.name,
                priority=candidate.priority,
                received_at=rfc3339(self._context.clock.now()),
                known=self._known,
                source_id=candidate.source_id,
                accepted_from=self._context.state.sources.get,
            )
            data = _checked_dump(request) if isinstance(request, AcceptedRequest) else b""
        except RequestError as error:
            await self._refuse(candidate, error)
            return
        if isinstance(request, AcceptedRequest):
            await self._commit(request, data)
        else:
            await self._repeat(request, candidate)
        self._inbox.done(candidate)

    async def _commit(self, request: AcceptedRequest, content: bytes) -> None:
        """Acknowledge: from its line on, this request ends in exactly one result."""
        received = event(
            "request_received",
            request_id=request.request_id,
            data={
                "priority": request.priority,
                "kind": request.kind,
                "source": request.source_name,
                "source_id": request.source_id,
                "content_sha256": request.content_sha256,
                "workspace": request.workspace,
                "text": request.user_request[:300],
            },
        )
        path = self._context.home.request_folder(request.request_id) / "request.json"
        self._taking[request.request_id] = request.content_sha256
        try:
            await self._context.journal.commit(received, files={path: content})
        finally:
            del self._taking[request.request_id]

    async def _repeat(self, repeat: Repeat, candidate: Candidate) -> None:
        await self._context.journal.commit(
            event(
                "request_repeated", request_id=repeat.request_id, data={"source": ascii(candidate.path.name)}
            )
        )

    async def _refuse(self, candidate: Candidate, error: RequestError) -> None:
        letter = deadletter.bury(self._context.home, candidate.path, error, self._context.clock.now())
        await self._context.journal.commit(
            event(
                "request_rejected",
                level="warning",
                status="rejected",
                data={
                    "name": letter.name,
                    "code": letter.code,
                    "field": letter.field,
                    "message": letter.message,
                },
            )
        )
        self._inbox.refused(candidate)

    def _known(self, request_id: str) -> str | None:
        """SHA-256 of the content of the request that has this id, active or ended; None: none has."""
        home = self._context.home
        active = self._context.state.requests.get(request_id)
        if active is not None:
            return active.request.content_sha256
        if request_id in self._taking:
            return self._taking[request_id]
        folder = outbox.find_done(home, request_id)  # also where somebody has cleared the outbox
        if folder is None:
            gone = request_id in self._context.state.ending or outbox.result_file(home, request_id).exists()
            return "" if gone else None
        with contextlib.suppress(OSError, ValueError):
            return load(AcceptedRequest, (folder / "request.json").read_bytes()).content_sha256
        return ""
