"""What users tell the running daemon through files in bus/control/."""

from __future__ import annotations

import asyncio
import contextlib

from swarmd import durable
from swarmd.audit import Line
from swarmd.bus import outbox
from swarmd.bus.control import Control, Received
from swarmd.bus.watching import FolderWatch
from swarmd.daemon.context import Context
from swarmd.daemon.finish import can_reopen
from swarmd.daemon.journal import Event, event
from swarmd.daemon.reload import reload
from swarmd.errors import ConfigError
from swarmd.messages import Command, DeadLetter

__all__ = ["Commands"]


class Commands:
    """Carries out command files. Each is removed once its line is in the log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watch = FolderWatch(context.settings.daemon.watch)
        self._control = Control(context.home, context.settings.daemon, context.clock, self._watch)
        self._task: asyncio.Task[None] | None = None

    def start(self, background: asyncio.TaskGroup) -> None:
        """Begin to listen, in the background."""
        self._task = background.create_task(self._run())

    async def stop(self) -> None:
        """Listen no more; what was not taken stays in bus/control/."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        self._watch.start()
        await self._control.start()
        try:
            while True:
                try:
                    found = await self._control.next_command()
                except durable.FsyncFailedError as error:
                    self._context.journal.fail(error)
                    raise
                except OSError:  # no room for a dead letter
                    await asyncio.sleep(1.0)
                    continue
                await self._take(found)
                self._context.wake.set()
        finally:
            await self._control.stop()
            self._watch.stop()

    async def _take(self, received: Received | DeadLetter) -> None:
        if isinstance(received, Received):
            lines = await self._context.journal.commit(*self._events(received.command))
            self._take_back(lines)
            self._control.done(received)
            if self._context.settings.daemon.durability == "power":
                # or it comes back, and undoes the next one
                self._context.journal.sync_dir(self._context.home.control)
            return
        data = received.model_dump(include={"name", "code", "field", "message"})
        await self._context.journal.commit(
            event("command_rejected", level="warning", status="rejected", data=data)
        )

    def _events(self, command: Command) -> list[Event]:
        match command.command:
            case "cancel":
                return [self._cancel(command.request_id or "")]
            case "retry":
                return [self._retry(command.request_id or "")]
            case "pause" | "resume":
                return [event(f"daemon_{command.command}d")]
            case "reload":
                return [self._reload()]

    def _reload(self) -> Event:
        """Read settings and agent types again. Wrong ones change nothing."""
        try:
            return reload(self._context)
        except (ConfigError, OSError) as error:
            return _ignored("reload", str(error))

    def _cancel(self, request_id: str) -> Event:
        request = self._context.state.requests.get(request_id)
        if request is None or request.stage in ("cancelling", "delivered"):
            return _ignored("cancel", "no such active request", request_id)
        return event("request_cancelling", request_id=request_id)

    def _retry(self, request_id: str) -> Event:
        home = self._context.home
        if request_id in self._context.state.requests:
            return _ignored("retry", "it is active", request_id)
        if request_id in self._context.state.ending:
            return _ignored("retry", "it is just ending; try again", request_id)
        folder = outbox.find_done(home, request_id)
        if folder is None or not can_reopen(folder):
            return _ignored("retry", "no request that failed or was cancelled has this id", request_id)
        keeps = (home.workspace(request_id) / "repo.git").is_dir()
        return event("request_reopened", request_id=request_id, data={"keeps_work": keeps})

    def _take_back(self, lines: list[Line]) -> None:
        """A request that was opened again is active from its line on; its folder follows."""
        for line in lines:
            if line["event"] == "request_reopened":
                with contextlib.suppress(OSError):  # the next start does it
                    outbox.take_back(self._context.home, line["request_id"])


def _ignored(command: str, reason: str, request_id: str | None = None) -> Event:
    data = {"command": command, "reason": reason}
    return event("command_ignored", level="warning", request_id=request_id or None, data=data)
