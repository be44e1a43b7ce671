"""The factory: starts workers through the zygote, knows which are alive, and ends them.

It holds no opinion on what they work on: it reports what they say and how they end to its owner.
When the zygote dies, all workers die with it (the kernel sees to that); ``gone`` is set then, and the
owner decides when the next generation begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from socket import socket
from typing import Any, Protocol

from swarmd.agents import lastwords, processes
from swarmd.agents.environment import for_workers
from swarmd.agents.handle import Kind, Worker
from swarmd.bus.channel import AsyncChannel, ChannelClosedError, pair
from swarmd.bus.spool import AgentSpool
from swarmd.clock import Clock
from swarmd.config import Settings
from swarmd.errors import AgentError
from swarmd.home import Home

__all__ = ["Attach", "Factory", "Kind", "Owner", "Worker"]

Attach = Callable[[str], Awaitable[socket]]
"""Makes a connection to the broker for the worker of that name, and returns the worker's end. Raises
ChannelClosedError while there is no broker."""

ZYGOTE = (sys.executable, "-P", "-m", "swarmd.agents.zygote")

_MAX_PROGRESS = 2**53
_END_S = 2.0
"""How long a worker that has closed its channel may take to end."""
_STRAY_GRACE_S, _LOOK_S = 1.0, 0.05
"""How long what the workers of a dead zygote left may take to end, and how often that is looked at."""


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
        *,
        zygote: Sequence[str] = ZYGOTE,
    ) -> None:
        """``zygote``: the command that starts one, without the option that names its socket."""
        self._home = home
        self._command = zygote
        self.settings = settings
        """For the workers that are started from now on."""
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
        self.gone = asyncio.Event()
        """Set while there is no zygote, once everything of the last one has been dealt with."""

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's pid, while there is one."""
        return self._process.pid if self._process else None

    @property
    def zygote_exit(self) -> int | None:
        """How the last zygote ended, while there is none; negative: by that signal."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start the zygote and wait until it is warm.

        Raises AgentError when it does not come up, and OSError for a shortage; nothing is left then.
        """
        processes.adopt_orphans()
        ours, theirs = pair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                f"--control-fd={theirs.fileno()}",
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=for_workers(os.environ),
            )
            undo.pop_all()
        self._process, control = process, AsyncChannel(ours)
        try:
            await asyncio.wait_for(control.receive(), self.settings.daemon.ready_timeout_s)
        except (ChannelClosedError, TimeoutError, asyncio.CancelledError) as error:
            control.close()
            await _end(process)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise AgentError(
                "the zygote, which starts all agents, did not come up",
                code="E-ZYGOTE",
                hint='Its own words are in logs/daemon.out; "swarmd doctor" may know more.',
            ) from error
        self._control = control
        self._generation += 1
        self.gone.clear()
        self._keep(self._watch_zygote(control, process, self._generation))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background; what it raises ends the daemon."""
        try:
            task = self._background.create_task(work)
        except RuntimeError:  # the group is ending: so is all that it would be for
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count(self, kind: str, agent_type: str | None = None) -> int:
        """Live workers of ``kind``, of one type or of all."""
        return sum(w.kind == kind and agent_type in (None, w.agent_type) for w in self.workers.values())

    def idle(self, kind: str, agent_type: str) -> Worker | None:
        """A worker that can be given work now, the one that was busy last: the others may then end."""
        best = None
        for worker in self.workers.values():
            if worker.agent_type == agent_type and worker.kind == kind and worker.idle:
                best = worker if best is None or worker.idle_since > best.idle_since else best
        return best

    def starting(self, kind: str, agent_type: str) -> int:
        """Workers of a type that have been started and are not ready yet."""
        return sum(
            not w.ready and (w.kind, w.agent_type) == (kind, agent_type) for w in self.workers.values()
        )

    async def spawn(self, kind: Kind, agent_type: str) -> Worker:
        """Start one worker: ``begin`` and ``launch``."""
        worker = self.begin(kind, agent_type)
        await self.launch(worker)
        return worker

    def begin(self, kind: Kind, agent_type: str) -> Worker:
        """Make a worker that counts as one from now on; ``launch`` gives it a process.

        Raises OSError for a shortage of descriptors.
        """
        last_words = lastwords.open_file()
        try:
            ours, theirs = pair()
        except OSError:
            os.close(last_words)
            raise
        worker = self._new_worker(kind, agent_type, self._next_name(agent_type), ours)
        worker.theirs, worker.last_words_fd = theirs, last_words
        self.workers[worker.name] = worker
        return worker

    async def launch(self, worker: Worker) -> None:
        """Have the zygote fork it. It is not ready yet when this returns.

        Raises ChannelClosedError while there is no zygote or no broker, and OSError for a shortage
        (disk, descriptors); nothing is left of it then.
        """
        try:
            with contextlib.ExitStack() as given:
                await self._hand_over(worker, given)
        except BaseException:
            self.workers.pop(worker.name, None)
            worker.release()
            worker.born.set()
            worker.ended.set()
            raise
        self._keep(self._listen(worker))

    async def _hand_over(self, worker: Worker, given: contextlib.ExitStack) -> None:
        """Send the zygote all that the worker is to have; ``given`` then closes it here."""
        assert worker.theirs is not None
        assert worker.last_words_fd is not None
        sockets = [given.enter_context(worker.theirs)]
        if worker.kind == "agent":
            AgentSpool(self._home, worker.name).create()
            sockets.append(given.enter_context(await self._attach(worker.name)))
        if self._control is None:
            raise ChannelClosedError("the zygote is not running")
        worker.generation, worker.theirs = self._generation, None
        args = self._args(worker.name, worker.agent_type)
        order = {"op": "spawn", "name": worker.name, "kind": worker.kind, "args": args}
        await self._control.send(order, [*(s.fileno() for s in sockets), worker.last_words_fd])

    def _new_worker(self, kind: Kind, agent_type: str, name: str, ours: socket) -> Worker:
        now = self._clock.boot()
        channel = AsyncChannel(ours, max_fds=0)
        return Worker(name, kind, agent_type, channel, started=now, last_beat=now, moved=now)

    def _args(self, name: str, agent_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "agent_type": agent_type,
            "home": str(self._home.root),
            "settings": self.settings.model_dump(mode="json"),
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
                if progress > worker.progress:  # only then its work loop, and not just it, is alive
                    worker.moved = worker.last_beat
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
                worker.moved = worker.last_beat
                await self._owner.on_worker_message(worker, message)

    async def _watch_zygote(
        self, control: AsyncChannel, process: asyncio.subprocess.Process, generation: int
    ) -> None:
        try:
            while True:
                message, fds = await control.receive()
                await self._note(message, fds)
        except ChannelClosedError:
            control.close()
            self._control = None
            await _end(process)
            if process.returncode != 0:  # else it has tidied up itself
                self._keep(self._end_strays())
            for worker in [w for w in self.workers.values() if w.generation == generation]:
                self._signal(worker, signal.SIGKILL, group=True)
                await self._forget(worker, None)
            self.gone.set()

    async def _note(self, message: dict[str, Any], fds: list[int]) -> None:
        worker = self.workers.get(message.get("name", ""))
        if worker is not None and message["op"] == "spawned":
            worker.pid, worker.start_ticks = message["pid"], message["start"]
            worker.pidfd, fds = (fds[0], fds[1:]) if fds else (None, fds)
            worker.born.set()
            if worker.killed:
                self.kill(worker)
        elif worker is not None and message["op"] == "exited":
            await self._forget(worker, message["status"])
        for fd in fds:
            os.close(fd)

    async def _end_strays(self) -> None:
        """Reap and end what workers had started, and them, when the zygote, which would do so, died
        before them. They are our children then, and told from our own by what the zygote marked them
        with."""
        own, grace = processes.oom_score(os.getpid()), round(_STRAY_GRACE_S / _LOOK_S)
        for look in range(2 * grace):
            for pid in processes.children(os.getpid()):
                if self._process is not None and pid == self._process.pid:
                    continue
                with contextlib.suppress(OSError):
                    if processes.oom_score(pid) > own:
                        if look >= grace:
                            os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, os.WNOHANG)
            await asyncio.sleep(_LOOK_S)

    async def _forget(self, worker: Worker, status: int | None) -> None:
        self.workers.pop(worker.name, None)
        worker.release()
        worker.born.set()
        worker.ended.set()
        await self._owner.on_worker_exit(worker, status)

    @property
    def alive(self) -> bool:
        """Whether the zygote runs."""
        return self._control is not None

    def stop(self, worker: Worker) -> None:
        """Ask an idle worker to end. What it had not begun stays in its spool."""
        self._note_stop(worker)
        worker.channel.post({"op": "stop"})

    def _note_stop(self, worker: Worker) -> None:
        if not worker.stopping:
            worker.stopping, worker.stopped_at = True, self._clock.boot()

    def abort(self, worker: Worker, *, fault: str) -> None:
        """Have a worker that hangs say where (faulthandler) and end, which counts against its work."""
        self._note_stop(worker)
        worker.fault = worker.fault or fault
        self._signal(worker, signal.SIGABRT)
        self._signal(worker, signal.SIGCONT)  # a stopped process would not hear it

    def kill(self, worker: Worker, *, fault: str = "") -> None:
        """End a worker now, and with it all that it has started, in whatever session. With a ``fault``
        of its own, its end counts against the work that it holds."""
        self._note_stop(worker)
        worker.killed = True
        worker.fault = worker.fault or fault
        self._signal(worker, signal.SIGKILL, group=True)

    def _signal(self, worker: Worker, number: int, *, group: bool = False) -> None:
        if worker.pid:
            processes.send_signal(worker.pid, worker.start_ticks, worker.pidfd, number, group=group)

    def end_zygote(self) -> None:
        """End a zygote that does not answer, and its workers with it; ``gone`` is set soon."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self, grace_s: float = 2.0) -> None:
        """End all workers and the zygote: first asked, then killed."""
        workers = list(self.workers.values())
        for worker in workers:
            self.stop(worker)
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
            await _end(self._process, grace_s)
        for task in list(self._tasks):
            task.cancel()
        for worker in self.workers.values():
            worker.release()


async def _end(process: asyncio.subprocess.Process, grace_s: float = _STRAY_GRACE_S + 1.0) -> None:
    """Wait for the end of a process whose channel has closed; kill it when it does not come."""
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            process.kill()
        await process.wait()
