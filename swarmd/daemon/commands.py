"""What users tell the running daemon through files in bus/control/."""

from __future__ import annotations

import asyncio
import contextlib

from swarmd import durable
from swarmd.agents.spec import load_types
from swarmd.bus.control import Control, Received
from swarmd.bus.watching import FolderWatch
from swarmd.daemon.context import Context
from swarmd.daemon.journal import Event, event
from swarmd.messages import Command, DeadLetter

__all__ = ["Commands"]


class Commands:
    """Carries out command files. Each is removed once its line is in the log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watch = FolderWatch()
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
                except durable.FsyncFailedError:
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
            await self._context.journal.commit(*self._events(received.command))
            self._control.done(received)
            return
        data = received.model_dump(include={"name", "code", "field", "message"})
        await self._context.journal.commit(
            event("command_rejected", level="warning", status="rejected", data=data)
        )

    def _events(self, command: Command) -> list[Event]:
        match command.command:
            case "cancel":
                return self._cancel(command.request_id)
            case "pause" | "resume":
                self._context.paused = command.command == "pause"
                return [event(f"daemon_{command.command}d")]
            case "reload":
                return self._reload()

    def _reload(self) -> list[Event]:
        try:
            types = load_types(self._context.home.agents, self._context.settings.models)
        except OSError as error:
            return [
                event("command_ignored", level="warning", data={"command": "reload", "reason": str(error)})
            ]
        self._context.types = types
        data = {"types": sorted(types.valid), "broken": sorted(types.problems)}
        return [event("agent_types_loaded", data=data)]

    def _cancel(self, request_id: str | None) -> list[Event]:
        request = self._context.state.requests.get(request_id or "")
        if request is None or request.stage in ("cancelling", "delivered"):
            data = {"command": "cancel", "reason": "no such active request"}
            return [event("command_ignored", level="warning", request_id=request_id, data=data)]
        return [event("request_cancelling", request_id=request_id)]
