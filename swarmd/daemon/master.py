"""The master: the composition root of the daemon, and its main loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from swarmd import durable
from swarmd.agents.factory import Worker
from swarmd.agents.spec import load_types
from swarmd.bus.replay import Replay, forget, mark, replay
from swarmd.bus.retention import Keep, sweep
from swarmd.clock import Clock, boot_id
from swarmd.config import Settings
from swarmd.council.registry import Registry
from swarmd.daemon import recover
from swarmd.daemon.commands import Commands
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.finish import Finisher
from swarmd.daemon.intake import Intake
from swarmd.daemon.jobs import Jobs
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.notify import Notifier
from swarmd.daemon.orders import Orders
from swarmd.daemon.reload import reload
from swarmd.daemon.schedule import Scheduler
from swarmd.daemon.state import State
from swarmd.daemon.views import Views
from swarmd.errors import ConfigError, SandboxError
from swarmd.home import Home
from swarmd.sandbox import choose, require

__all__ = ["Master"]

TICK_S = 1.0
"""How often time limits are looked at when nothing else happens."""
CHECKPOINT_LINES = 5000
CHECKPOINT_S = 60.0
"""After so many lines, or so long, everything is synced: what a start must read stays short."""
RETENTION_S = 3600.0
"""How often ended requests are looked through for what is beyond retention."""
LAST_WORDS_S = 5.0
"""How long the last lines may wait for room on the disk."""


class Master:
    """One running daemon."""

    def __init__(self, home: Home, settings: Settings, clock: Clock, notifier: Notifier) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._journal: Journal | None = None
        self._background: asyncio.TaskGroup
        self._notifier = notifier
        self._stop_asked = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._reload_asked = asyncio.Event()
        self._anchor_lock = asyncio.Lock()
        self._anchoring: asyncio.Task[None] | None = None
        self._anchored_at = self._swept_at = clock.boot()

    async def run(self) -> None:
        """Recover, serve until a signal asks to stop, then drain. Raises what must end the process."""
        replayed = self._replay()
        state = State(self._payload)
        orphans = recover.end_orphans(self._home)
        recover.fold(self._home.master_log, state)
        self._journal = journal = Journal(
            self._home,
            self._clock,
            state.apply,
            durability=self._settings.daemon.durability,
            segment_bytes=self._settings.logs.segment_mib * 1024 * 1024,
        )
        types = load_types(self._home.agents, self._settings.models)
        context = Context(self._home, self._settings, self._clock, journal, state, types)
        journal.on_change = context.wake.set
        journal.on_wait = self._notifier.alive
        self._install_signals(context)
        try:
            await self._report_start(context, replayed, orphans)
            await recover.mend(context)
            await self._anchor(context)
            await self._serve(context)
        finally:
            journal.close()

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has asked it to end."""
        return self._stop_asked.is_set()

    def _replay(self) -> Replay:
        """Put back what power loss took, and make durable what is believed from here on."""
        durable.make_dirs(self._home.wal)
        replayed = replay(self._home.root, self._home.wal, self._home.master_log, boot_id())
        if self._settings.daemon.durability != "off":
            durable.sync_file_system(self._home.root)
        if self._settings.daemon.durability != "power":
            forget(self._home.wal)
        mark(self._home.wal, boot_id())
        return replayed

    def _payload(self, request_id: str, name: str) -> bytes:
        """A payload file, from memory while the group that brings it is applied."""
        fresh = None
        if self._journal is not None:
            fresh = self._journal.fresh(self._home.request_folder(request_id) / name)
        return recover.payload(self._home, request_id, name) if fresh is None else fresh

    def _install_signals(self, context: Context) -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            if self._stop_asked.is_set():
                self._stop_now.set()
            self._stop_asked.set()
            context.wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        loop.add_signal_handler(signal.SIGHUP, self._reload_asked.set)

    async def _report_start(self, context: Context, replayed: Replay, orphans: list[str]) -> None:
        events = [event("daemon_started", data={"settings": _facts(self._settings)})]
        chain = context.journal.master
        if chain.torn:
            events.append(event("log_mended", level="warning", data={"torn_bytes": len(chain.torn)}))
        if replayed:
            data = {"log_bytes": replayed.log_bytes, "files": replayed.files}
            events.append(event("log_tail_mended", level="warning", data=data))
        if orphans:
            events.append(event("orphans_ended", level="warning", data={"names": orphans}))
        for name, error in context.types.problems.items():
            events.append(
                event("agent_type_broken", level="warning", data={"name": name, "why": error.message})
            )
        await context.journal.commit(*events)

    async def _prove_sandbox(self, context: Context, scheduler: Scheduler) -> None:
        """Choose the sandbox and see that it holds: what must be impossible is tried. Verifiers get no
        work before; without a sandbox, every request that needs one is told why it cannot be served."""

        def prove() -> str:
            runtime = self._home.make_runtime()  # there the next start finds what a killed one leaves
            sandbox = choose(self._settings.sandbox.level, runtime)
            with tempfile.TemporaryDirectory(prefix=recover.CANARY, dir=runtime) as scratch:
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
        context.sandbox_tried = True
        scheduler.touch_all()
        context.wake.set()

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
            self._background = background
            crew = Crew(context, registry, hear, background)
            context.journal.on_line = crew.count
            scheduler = Scheduler(context, crew, orders, jobs, Finisher(context), background)
            commands, intake = Commands(context), Intake(context)
            views = Views(context, crew, scheduler, intake)
            background.create_task(self._prove_sandbox(context, scheduler))
            crew.start()
            intake.start(background)
            commands.start(background)
            views.write()
            await context.journal.commit(event("daemon_ready", data={"home": str(self._home.root)}))
            self._notifier.ready()
            try:
                await self._until_asked(context, self._loop(context, crew, scheduler, intake, views))
            finally:
                context.draining = True
                self._notifier.stopping()
                await intake.stop()
                await commands.stop()
                await self._drain(context, crew)
                scheduler.close()
                if self._anchoring is not None:
                    self._anchoring.cancel()
                await crew.close()
                views.write_last(registry)
                with contextlib.suppress(TimeoutError):  # a full disk: the next daemon folds a little more
                    async with asyncio.timeout(LAST_WORDS_S):
                        await self._anchor(context)
                        await context.journal.commit(event("daemon_stopped"))

    async def _until_asked(self, context: Context, loop: Coroutine[Any, Any, None]) -> None:
        """Run the main loop. One whose pass does not end (on a full disk) cannot hold up a stop: it is
        left wherever it waits, as a crash would leave it."""
        work = asyncio.ensure_future(loop)
        asked, now = (asyncio.ensure_future(e.wait()) for e in (self._stop_asked, self._stop_now))
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(
                {work, now}, timeout=context.settings.daemon.drain_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (work, asked, now):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _loop(
        self, context: Context, crew: Crew, scheduler: Scheduler, intake: Intake, views: Views
    ) -> None:
        """Look at what has changed as soon as it does, and once a second at what time brings about."""
        tick_at = 0.0
        while not self._stop_asked.is_set():
            context.wake.clear()
            scheduler.step()
            intake.resume()
            self._notifier.alive()
            now = self._clock.boot()
            if now >= tick_at:
                tick_at = now + TICK_S
                await self._tick(context, crew, scheduler, intake)
                views.write()
            if context.journal.checkpoint_is_due:
                self._begin_anchor(context)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, tick_at - self._clock.boot())):
                    await context.wake.wait()
            await asyncio.sleep(0)  # what else is ready now joins the same pass

    async def _tick(self, context: Context, crew: Crew, scheduler: Scheduler, intake: Intake) -> None:
        if self._reload_asked.is_set():
            self._reload_asked.clear()
            await self._reload(context, scheduler)
        await crew.check()
        await intake.look_around()
        scheduler.tick()
        lines = context.journal.lines_since_checkpoint
        old = self._clock.boot() - self._anchored_at >= CHECKPOINT_S
        if lines >= CHECKPOINT_LINES or (lines and old):
            self._begin_anchor(context)
        if self._clock.boot() - self._swept_at >= RETENTION_S:
            self._swept_at = self._clock.boot()
            await self._remove_old(context)

    async def _reload(self, context: Context, scheduler: Scheduler) -> None:
        self._notifier.reloading()
        try:
            await context.journal.commit(reload(context))
        except (ConfigError, OSError) as error:
            data = {"command": "reload", "reason": str(error)}
            await context.journal.commit(event("command_ignored", level="warning", data=data))
        scheduler.touch_all()
        self._notifier.ready()

    def _begin_anchor(self, context: Context) -> None:
        """Make a checkpoint in the background: the disk may take long."""
        if self._anchoring is None or self._anchoring.done():
            self._anchoring = self._background.create_task(self._anchor(context))

    async def _anchor(self, context: Context) -> None:
        self._anchored_at = self._clock.boot()
        async with self._anchor_lock:
            await context.journal.anchor(
                context.state.fold_from(context.journal.master.size), paused=context.state.paused
            )

    async def _remove_old(self, context: Context) -> None:
        limits = context.settings.daemon
        keep = Keep(limits.keep_days, limits.keep_requests, limits.keep_mib * 1024 * 1024)
        spare = {*context.state.requests, *context.state.ending}
        removed = await asyncio.to_thread(sweep, self._home, self._clock.now().date(), keep, spare)
        if removed:
            data = {"count": len(removed), "requests": removed[:100]}
            await context.journal.commit(event("requests_removed", data=data))

    async def _drain(self, context: Context, crew: Crew) -> None:
        """Let running steps end, at most ``drain_s`` or until a second signal; the rest is repeated
        by the next daemon from what the log says."""
        deadline = self._clock.boot() + context.settings.daemon.drain_s
        while any(w.work for w in crew.factory.workers.values()) and self._clock.boot() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_now.wait(), 0.1)
                return


def _facts(settings: Settings) -> dict[str, Any]:
    return {
        "tiers": settings.tiers.model_dump(),
        "privacy": settings.privacy,
        "durability": settings.daemon.durability,
        "max_agents": settings.daemon.max_agents,
    }
