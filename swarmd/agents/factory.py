"""The factory: starts workers through the zygote, knows which are alive, and ends them.

It holds no opinion on what they work on: it reports what they say and how they end to its owner.
When the zygote dies, all workers die with it (the kernel sees to that) and a new one is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from socket import socket
from typing import Any, Literal, Protocol

from swarmd.agents.zygote import process_start
from swarmd.bus.channel import AsyncChannel, ChannelClosedError, pair
from swarmd.bus.spool import AgentSpool
from swarmd.clock import Clock
from swarmd.config import Settings
from swarmd.errors import AgentError
from swarmd.home import Home

__all__ = ["Attach", "Factory", "Owner", "Worker"]

Attach = Callable[[str], Awaitable[socket]]
"""Makes a connection to the broker for the worker of that name, and returns the worker's end. Raises
ChannelClosedError while there is no broker."""

_MAX_PROGRESS = 2**53
_END_S = 2.0
"""How long a worker that has closed its channel may take to end."""


@dataclass(eq=False)
class Worker:
    """One live agent or verifier, as the master sees it."""

    name: str
    kind: Literal["agent", "verifier"]
    agent_type: str
    channel: AsyncChannel
    generation: int
    """Of the zygote that forked it."""
    started: float
    """On the boot clock, like all moments here."""
    pid: int = 0
    start_ticks: int = 0
    ready: bool = False
    work: str | None = None
    """What it holds: an order's or a job's id."""
    request_id: str | None = None
    task_id: str | None = None
    last_beat: float = 0.0
    shown_beat: float = 0.0
    """The last one that the registry's file shows."""
    idle_since: float = 0.0
    progress: int = 0
    doing: str = ""
    measured: float = 0.0
    """When its memory and CPU were last looked at."""
    stopping: bool = False
    stopped_at: float = 0.0
    """When it was first asked to stop, or killed."""
    fault: str = ""
    """What it was killed for; empty when it did nothing wrong."""
    born: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its pid is known, or it is gone."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def idle(self) -> bool:
        """Whether it can be given work now."""
        return self.ready and self.work is None and not self.stopping


class Owner(Protocol):
    """Who hears what happens to the workers."""

    async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
        """``worker`` can be given work."""
        ...

    async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
        """``worker`` proposed or reported something."""
        ...

    async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
        """``worker`` has ended with that wait status; None: with its zygote."""
        ...


class Factory:
    """All workers of one home."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        clock: Clock,
        owner: Owner,
        attach: Attach,
        background: asyncio.TaskGroup,
    ) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._attach = attach
        self._numbers: dict[str, int] = {}
        self._generation = 0
        self._process: asyncio.subprocess.Process | None = None
        self._control: AsyncChannel | None = None
        self._background = background
        self._tasks: set[asyncio.Task[None]] = set()
        self.workers: dict[str, Worker] = {}

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's pid, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the zygote and wait until it is warm. Raises AgentError when it cannot start."""
        ours, theirs = pair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "swarmd.agents.zygote",
                f"--control-fd={theirs.fileno()}",
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = AsyncChannel(ours)
        self._generation += 1
        try:
            await self._control.receive()
        except ChannelClosedError as error:
            self._control = None
            raise AgentError(
                "the zygote, which starts all agents, did not come up",
                code="E-ZYGOTE",
                hint='Its own words are in logs/daemon.out; "swarmd doctor" may know more.',
            ) from error
        self._keep(self._watch_zygote(self._control, self._process, self._generation))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background; what it raises ends the daemon."""
        task = self._background.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count(self, kind: str, agent_type: str | None = None) -> int:
        """Live workers of ``kind``, of one type or of all."""
        return sum(w.kind == kind and agent_type in (None, w.agent_type) for w in self.workers.values())

    def idle(self, kind: str, agent_type: str) -> Worker | None:
        """A worker that can be given work now, the one that was busy last: the others may then end."""
        found = [w for w in self.workers.values() if w.idle and (w.kind, w.agent_type) == (kind, agent_type)]
        return max(found, key=lambda w: w.idle_since, default=None)

    def starting(self, kind: str, agent_type: str) -> int:
        """Workers of a type that have been started and are not ready yet."""
        return sum(
            not w.ready and (w.kind, w.agent_type) == (kind, agent_type) for w in self.workers.values()
        )

    async def spawn(self, kind: Literal["agent", "verifier"], agent_type: str) -> Worker:
        """Start one worker. It is not ready yet when this returns.

        Raises ChannelClosedError while there is no zygote or no broker, and OSError for a shortage
        (disk, descriptors); nothing is left of it then.
        """
        name = self._next_name(agent_type)
        ours, theirs = pair()
        fds, worker = [theirs], self._new_worker(kind, agent_type, name, ours)
        try:
            if kind == "agent":
                AgentSpool(self._home, name).create()
                fds.append(await self._attach(name))
            if self._control is None:
                raise ChannelClosedError("the zygote is not running")
            worker.generation = self._generation
            self.workers[name] = worker
            order = {"op": "spawn", "name": name, "kind": kind, "args": self._args(name, agent_type)}
            await self._control.send(order, [s.fileno() for s in fds])
        except BaseException:
            self.workers.pop(name, None)
            worker.channel.close()
            raise
        finally:
            for sock in fds:
                sock.close()
        self._keep(self._listen(worker))
        return worker

    def _new_worker(
        self, kind: Literal["agent", "verifier"], agent_type: str, name: str, ours: socket
    ) -> Worker:
        return Worker(
            name=name,
            kind=kind,
            agent_type=agent_type,
            channel=AsyncChannel(ours, max_fds=0),
            generation=self._generation,
            started=self._clock.boot(),
            last_beat=self._clock.boot(),
        )

    def _args(self, name: str, agent_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "agent_type": agent_type,
            "home": str(self._home.root),
            "settings": self._settings.model_dump(mode="json"),
        }

    def _next_name(self, agent_type: str) -> str:
        self._numbers[agent_type] = self._numbers.get(agent_type, 0) + 1
        return f"{agent_type}.{self._numbers[agent_type]}"

    async def _listen(self, worker: Worker) -> None:
        """Hear ``worker`` until it closes its end or breaks the rules, which ends it; the zygote then
        tells how it ended."""
        fault = "it closed its channel and lived on"
        try:
            while True:
                message, _ = await worker.channel.receive()
                worker.last_beat = self._clock.boot()
                await self._hear(worker, message)
        except ChannelClosedError:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.ended.wait(), _END_S)
        except AgentError as error:
            fault = error.message
        if not worker.ended.is_set():
            self.kill(worker, fault="" if worker.stopping else fault)

    async def _hear(self, worker: Worker, message: dict[str, Any]) -> None:
        """Believe nothing: a worker may be hostile. Raises AgentError for what none would say."""
        match message.get("op"):
            case "beat":
                doing, progress = message.get("doing", ""), message.get("progress", 0)
                if not isinstance(doing, str) or not isinstance(progress, int):
                    raise AgentError("it sent a beat that is none")
                worker.doing, worker.progress = doing[:200], max(0, min(progress, _MAX_PROGRESS))
            case "ready":
                level = message.get("confinement") or message.get("sandbox")
                if worker.ready or not isinstance(level, str):
                    raise AgentError("it said that it is ready when it could not be")
                await worker.born.wait()
                if worker.ended.is_set():
                    return
                worker.ready = True
                worker.idle_since = self._clock.boot()
                await self._owner.on_worker_ready(worker, level[:100])
            case _:
                await self._owner.on_worker_message(worker, message)

    async def _watch_zygote(
        self, control: AsyncChannel, process: asyncio.subprocess.Process, generation: int
    ) -> None:
        try:
            while True:
                message, _ = await control.receive()
                await self._note(message)
        except ChannelClosedError:
            control.close()
            self._control = None
            await process.wait()
            for worker in [w for w in self.workers.values() if w.generation == generation]:
                await self._forget(worker, None)

    async def _note(self, message: dict[str, Any]) -> None:
        worker = self.workers.get(message.get("name", ""))
        if worker is None:
            return
        if message["op"] == "spawned":
            worker.pid, worker.start_ticks = message["pid"], message["start"]
            worker.born.set()
        elif message["op"] == "exited":
            await self._forget(worker, message["status"])

    async def _forget(self, worker: Worker, status: int | None) -> None:
        self.workers.pop(worker.name, None)
        worker.channel.close()
        worker.born.set()
        worker.ended.set()
        await self._owner.on_worker_exit(worker, status)

    @property
    def alive(self) -> bool:
        """Whether the zygote runs."""
        return self._control is not None

    async def stop(self, worker: Worker) -> None:
        """Ask an idle worker to end. What it had not begun stays in its spool."""
        self._note_stop(worker)
        with contextlib.suppress(ChannelClosedError):
            await worker.channel.send({"op": "stop"})

    def _note_stop(self, worker: Worker) -> None:
        if not worker.stopping:
            worker.stopping, worker.stopped_at = True, self._clock.boot()

    def abort(self, worker: Worker) -> None:
        """Have a worker that hangs say where (faulthandler) and end."""
        if worker.pid and _is(worker.pid, worker.start_ticks):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGABRT)

    def kill(self, worker: Worker, *, fault: str = "") -> None:
        """End a worker and its whole process group now. With a ``fault`` of its own, its end counts
        against the work that it holds."""
        self._note_stop(worker)
        worker.fault = worker.fault or fault
        if worker.pid and _is(worker.pid, worker.start_ticks):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    async def close(self, grace_s: float = 2.0) -> None:
        """End all workers and the zygote: first asked, then killed."""
        workers = list(self.workers.values())
        for worker in workers:
            await self.stop(worker)
        if workers:
            waits = [asyncio.ensure_future(w.ended.wait()) for w in workers]
            _, late = await asyncio.wait(waits, timeout=grace_s)
            for wait in late:
                wait.cancel()
        for worker in list(self.workers.values()):
            self.kill(worker)
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        for task in list(self._tasks):
            task.cancel()


def _is(pid: int, start_ticks: int) -> bool:
    try:
        return process_start(pid) == start_ticks
    except OSError:
        return False
