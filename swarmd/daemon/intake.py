"""Intake: from a dropped file to an acknowledged request, or to a dead letter with a reason."""

from __future__ import annotations

import asyncio
import contextlib

from swarmd import durable
from swarmd.bus import deadletter, outbox
from swarmd.bus.inbox import Candidate, Inbox, request_places
from swarmd.bus.intake import Repeat, accept
from swarmd.bus.watching import FolderWatch
from swarmd.clock import rfc3339
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, dump, load

__all__ = ["Intake", "payload"]


def payload(home: Home, request_id: str, name: str) -> bytes:
    """A file of an active request. Raises OSError when it is not there."""
    return (home.request_folder(request_id) / name).read_bytes()


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
        self._context = context
        self._watch = FolderWatch()
        self._inbox = Inbox(request_places(context.home), context.settings.daemon, context.clock, self._watch)
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, background: asyncio.TaskGroup) -> None:
        """Begin to take requests, in the background."""
        self.resume()
        self._task = background.create_task(self._run())

    def resume(self) -> None:
        """Take more, if there is room for more requests now."""
        context = self._context
        full = len(context.state.requests) >= context.settings.daemon.max_active_requests
        if full or context.paused or context.draining:
            self._room.clear()
        else:
            self._room.set()

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
                candidate = await self._inbox.next_ready()
                try:
                    await self._take(candidate)
                except durable.FsyncFailedError:
                    raise
                except OSError:  # no room for a folder or a record: the file waits where it is
                    self._inbox.put_back(candidate)
                    await asyncio.sleep(1.0)
                self.resume()
                self._context.wake.set()
        finally:
            await self._inbox.stop()
            self._watch.stop()

    async def _take(self, candidate: Candidate) -> None:
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
                accepted_from=self._accepted_from,
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
        folder = self._context.home.request_folder(request.request_id)
        durable.make_dirs(folder)
        durable.sync_dir(folder.parent)
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
        await self._context.journal.commit(received, files={folder / "request.json": content})

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
        if request_id in self._context.unpublished:
            return ""
        folder = outbox.find_done(home, request_id)  # also where somebody has cleared the outbox
        if folder is None:
            return "" if outbox.result_file(home, request_id).exists() else None
        with contextlib.suppress(OSError, ValueError):
            return load(AcceptedRequest, (folder / "request.json").read_bytes()).content_sha256
        return ""

    def _accepted_from(self, source_id: str) -> str | None:
        """The id of the active request that was taken from this very file."""
        for request_id, request in self._context.state.requests.items():
            if source_id and request.request.source_id == source_id:
                return request_id
        return None
