"""The daemon's core, put together as ``swarmd.daemon.master`` does it, without its processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from swarmd import durable
from swarmd.agents.factory import Worker
from swarmd.agents.spec import Types
from swarmd.audit import Line
from swarmd.bus.replay import mark, replay
from swarmd.config import Settings
from swarmd.daemon import recover
from swarmd.daemon.commands import Commands
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.finish import Finisher
from swarmd.daemon.intake import Intake
from swarmd.daemon.jobs import Jobs
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.orders import Orders
from swarmd.daemon.schedule import Scheduler
from swarmd.daemon.state import State
from swarmd.home import Home
from swarmd.testing import FakeClock
from tests.unit.daemon.machine.crew import Hands, make_crew

__all__ = ["Process"]

TICK_S = 1.0
SEGMENT = 24 * 1024


class Process:
    """One life of the daemon, from its recovery to its end."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        types: Types,
        clock: FakeClock,
        boot: str,
        hear: Callable[[Line], None],
    ) -> None:
        self.started = False
        """Recovery is over."""
        self.stop_asked = asyncio.Event()
        self.context: Context
        self.crew: Crew
        self.hands: Hands
        self.intake: Intake
        self.commands: Commands
        self._home, self._settings, self._types, self._clock = home, settings, types, clock
        self._boot, self._hear = boot, hear
        self._journal: Journal | None = None
        self._anchoring: asyncio.Task[None] | None = None
        self._anchor_lock = asyncio.Lock()
        self._background: asyncio.TaskGroup

    async def run(self) -> None:
        """As Master.run. Raises what must end the process."""
        home, durability = self._home, self._settings.daemon.durability
        durable.make_dirs(home.wal)
        replayed = replay(home.root, home.wal, home.master_log, self._boot)
        durable.sync_file_system(home.root)
        mark(home.wal, self._boot)
        state = State(self._payload)
        recover.fold(home.master_log, state)
        journal = self._journal = Journal(
            home, self._clock, state.apply, durability=durability, segment_bytes=SEGMENT
        )
        context = Context(home, self._settings, self._clock, journal, state, self._types)
        journal.on_change, journal.on_line = context.wake.set, self._hear
        context.sandbox_tried = True
        try:
            data = {"log_bytes": replayed.log_bytes, "files": replayed.files}
            await journal.commit(event("daemon_started"), event("power_loss_mended", data=data))
            await recover.mend(context)
            await self._anchor(context)
            await self._serve(context)
        finally:
            journal.close()

    def _payload(self, request_id: str, name: str) -> bytes:
        path = self._home.request_folder(request_id) / name
        fresh = self._journal.fresh(path) if self._journal is not None else None
        return recover.payload(self._home, request_id, name) if fresh is None else fresh

    async def _serve(self, context: Context) -> None:
        orders, jobs = Orders(context), Jobs(context)

        async def hear(worker: Worker, message: dict[str, Any]) -> None:
            if message.get("op") == "proposed" and worker.kind == "agent":
                await orders.take(worker, message["file"])
            elif message.get("op") == "report" and worker.kind == "verifier":
                await jobs.take(worker, message["report"])

        async with asyncio.TaskGroup() as background:
            self._background = background
            crew = make_crew(context, hear, background)
            scheduler = Scheduler(context, crew, orders, jobs, Finisher(context), background)
            self.context, self.crew, self.hands = context, crew, Hands(crew, self._home.spools)
            self.intake, self.commands = Intake(context), Commands(context)
            self.intake.start(background)
            self.commands.start(background)
            await context.journal.commit(event("daemon_ready"))
            self.started = True
            loop = asyncio.ensure_future(self._loop(context, crew, scheduler))
            asked = asyncio.ensure_future(self.stop_asked.wait())
            try:
                await asyncio.wait({loop, asked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                context.draining = True
                for task in (loop, asked):
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
                await self._close(context, crew, scheduler)

    async def _close(self, context: Context, crew: Crew, scheduler: Scheduler) -> None:
        await self.intake.stop()
        await self.commands.stop()
        scheduler.close()
        if self._anchoring is not None:
            self._anchoring.cancel()
        for task in crew.factory._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self._anchor(context)
                await context.journal.commit(event("daemon_stopped"))

    async def _loop(self, context: Context, crew: Crew, scheduler: Scheduler) -> None:
        tick_at = 0.0
        while True:
            context.wake.clear()
            scheduler.step()
            self.intake.resume()
            now = self._clock.boot()
            if now >= tick_at:
                tick_at = now + TICK_S
                await crew.check()
                scheduler.tick()
            if context.journal.checkpoint_is_due:
                self.begin_anchor()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, tick_at - self._clock.boot())):
                    await context.wake.wait()
            await asyncio.sleep(0)

    def begin_anchor(self) -> None:
        """Make a checkpoint in the background."""
        if self._anchoring is None or self._anchoring.done():
            self._anchoring = self._background.create_task(self._anchor(self.context))

    async def _anchor(self, context: Context) -> None:
        async with self._anchor_lock:
            await context.journal.anchor(
                context.state.fold_from(context.journal.master.size), paused=context.state.paused
            )
