"""Generations of workers: a zygote that has died is started again, as often as it takes."""

from __future__ import annotations

import asyncio
from random import Random

from swarmd.agents.factory import Factory
from swarmd.daemon.backoff import STABLE_S, Delays
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event
from swarmd.errors import AgentError

__all__ = ["Generations"]


class Generations:
    """Keeps a zygote alive. While there is none, work waits."""

    def __init__(self, context: Context, factory: Factory, random: Random) -> None:
        self._context = context
        self._factory = factory
        self._delays = Delays(random)
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def start(self, background: asyncio.TaskGroup) -> None:
        """Begin to keep one alive, in the background: what needs no agent need not wait for it."""
        self._runner = background.create_task(self._keep())

    async def _keep(self) -> None:
        while not self._closed:  # a cancellation may come as another error: the process ends just then
            if not await self._try():
                continue
            since = self._context.clock.boot()
            await self._factory.gone.wait()
            if self._context.draining:
                return
            if self._context.clock.boot() - since > STABLE_S:
                self._delays.settled()
            await self._context.journal.commit(
                event("process_lost", actor="zygote", level="warning", data=self._exit())
            )

    def _exit(self) -> dict[str, int]:
        code = self._factory.zygote_exit
        return {} if code is None else {"exit_code": code}

    async def _try(self) -> bool:
        await asyncio.sleep(self._delays.next())
        try:
            await self._factory.start()
        except (AgentError, OSError) as error:
            await self._context.journal.commit(
                event("process_failed", actor="zygote", level="error", data={"why": str(error)})
            )
            return False
        await self._context.journal.commit(
            event("process_started", actor="zygote", data={"pid": self._factory.zygote_pid})
        )
        self._context.wake.set()
        return True

    def close(self) -> None:
        """Start none any more."""
        self._closed = True
        if self._runner is not None:
            self._runner.cancel()
