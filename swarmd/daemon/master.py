"""The master: the composition root of the daemon, and its main loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from swarmd.agents.factory import Worker
from swarmd.agents.spec import load_types
from swarmd.audit import Chain
from swarmd.clock import Clock, boot_id
from swarmd.config import Settings
from swarmd.council.registry import Registry
from swarmd.daemon import recover
from swarmd.daemon.commands import Commands
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.finish import Finisher
from swarmd.daemon.intake import Intake, payload
from swarmd.daemon.jobs import Jobs
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.orders import Orders
from swarmd.daemon.schedule import Scheduler
from swarmd.daemon.state import State
from swarmd.errors import SandboxError
from swarmd.home import Home
from swarmd.sandbox import choose, require

__all__ = ["Master"]

TICK_S = 1.0
"""How often time limits are looked at when nothing else happens."""
CHECKPOINT_LINES = 1000
CHECKPOINT_S = 60.0
LAST_WORDS_S = 5.0
"""How long the last lines may wait for room on the disk."""


class Master:
    """One running daemon."""

    def __init__(self, home: Home, settings: Settings, clock: Clock) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._stop_asked = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> None:
        """Recover, serve until a signal asks to stop, then drain. Raises what must end the process."""
        state = State(lambda request_id, name: payload(self._home, request_id, name))
        orphans = recover.end_orphans(self._home)
        recover.fold(self._home.master_log, state)
        journal = Journal(self._home, self._clock, state.apply)
        journal.open_views()
        types = load_types(self._home.agents, self._settings.models)
        context = Context(self._home, self._settings, self._clock, journal, state, types)
        self._install_signals(context)
        try:
            await self._report_start(context, journal.master, orphans)
            await self._prove_sandbox(context)
            await recover.mend(context)
            await self._serve(context)
        finally:
            journal.close()

    def _install_signals(self, context: Context) -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            if self._stop_asked.is_set():
                self._stop_now.set()
            self._stop_asked.set()
            context.wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a closed terminal must not end it

    async def _report_start(self, context: Context, chain: Chain, orphans: list[str]) -> None:
        events = [event("daemon_started", data={"settings": _facts(self._settings)})]
        if chain.torn:
            events.append(event("log_mended", level="warning", data={"torn_bytes": len(chain.torn)}))
        if orphans:
            events.append(event("orphans_ended", level="warning", data={"names": orphans}))
        for name, error in context.types.problems.items():
            events.append(
                event("agent_type_broken", level="warning", data={"name": name, "why": error.message})
            )
        await context.journal.commit(*events)

    async def _prove_sandbox(self, context: Context) -> None:
        """Choose the sandbox and see that it holds: what must be impossible is tried. Without one the
        daemon runs, and says to every request why it cannot be served."""

        def prove() -> str:
            sandbox = choose(self._settings.sandbox.level)
            with tempfile.TemporaryDirectory(prefix="swarmd-canary-") as scratch:
                require(sandbox, Path(scratch))
            return sandbox.level

        try:
            level = await asyncio.to_thread(prove)
        except SandboxError as error:
            context.sandbox_error = error
            data = {"code": error.code, "message": error.message, "hint": error.hint}
            await context.journal.commit(event("sandbox_missing", level="error", data=data))
        else:
            await context.journal.commit(event("sandbox_proven", data={"level": level}))

    async def _serve(self, context: Context) -> None:
        registry = Registry(self._home, self._clock, boot_id())
        orders, jobs = Orders(context), Jobs(context)

        async def hear(worker: Worker, message: dict[str, Any]) -> None:
            if message.get("op") == "proposed" and worker.kind == "agent":
                file = message.get("file")
                await orders.take(worker, file if isinstance(file, str) else "")
            elif message.get("op") == "report" and worker.kind == "verifier":
                await jobs.take(worker, message.get("report", {}))

        async with asyncio.TaskGroup() as background:
            crew = Crew(context, registry, hear, background)
            context.journal.on_line = crew.count
            finisher = Finisher(context)
            scheduler = Scheduler(context, crew, orders, jobs, finisher, background)
            intake, commands = Intake(context), Commands(context)
            await crew.start()
            intake.start(background)
            commands.start(background)
            await context.journal.commit(event("daemon_ready", data={"home": str(self._home.root)}))
            try:
                await self._until_asked(self._loop(context, crew, scheduler, intake))
            finally:
                context.draining = True
                await intake.stop()
                await commands.stop()
                scheduler.close()
                await self._drain(crew)
                await crew.close()
                with contextlib.suppress(OSError):
                    registry.write()
                with contextlib.suppress(TimeoutError):  # a full disk: the next daemon folds a little more
                    async with asyncio.timeout(LAST_WORDS_S):
                        await context.journal.checkpoint({"fold_from": self._fold_from(context)})
                        await context.journal.commit(event("daemon_stopped"))

    async def _until_asked(self, loop: Coroutine[Any, Any, None]) -> None:
        """Run the main loop. One whose pass does not end (on a full disk) cannot hold up a stop: it is
        left wherever it waits, as a crash would leave it."""
        work = asyncio.ensure_future(loop)
        asked, now = (asyncio.ensure_future(e.wait()) for e in (self._stop_asked, self._stop_now))
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(
                {work, now}, timeout=self._settings.daemon.drain_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (work, asked, now):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _loop(self, context: Context, crew: Crew, scheduler: Scheduler, intake: Intake) -> None:
        checkpoint_at = self._clock.boot() + CHECKPOINT_S
        while not self._stop_asked.is_set():
            context.wake.clear()
            await crew.check()
            await scheduler.step()
            scheduler.publish_ready()
            crew.publish()
            intake.resume()
            journal = context.journal
            if journal.lines_since_checkpoint >= CHECKPOINT_LINES or (
                journal.lines_since_checkpoint and self._clock.boot() >= checkpoint_at
            ):
                await journal.checkpoint({"fold_from": self._fold_from(context)})
                checkpoint_at = self._clock.boot() + CHECKPOINT_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.wake.wait(), TICK_S)

    def _fold_from(self, context: Context) -> int:
        return context.state.fold_from(context.journal.master.size)

    async def _drain(self, crew: Crew) -> None:
        """Let running steps end, at most ``drain_s`` or until a second signal; the rest is repeated
        by the next daemon from what the log says."""
        deadline = self._clock.boot() + self._settings.daemon.drain_s
        while any(w.work for w in crew.factory.workers.values()) and self._clock.boot() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_now.wait(), 0.1)
                return


def _facts(settings: Settings) -> dict[str, Any]:
    return {
        "tiers": settings.tiers.model_dump(),
        "privacy": settings.privacy,
        "max_agents": settings.daemon.max_agents,
    }
