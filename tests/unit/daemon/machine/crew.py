"""The real crew over workers that are none: they do what a test says, when it says so."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

from swarmd import durable
from swarmd.agents.factory import Factory, Kind, Worker
from swarmd.bus.channel import ChannelClosedError
from swarmd.bus.spool import AgentSpool
from swarmd.council.registry import Registry
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew, Heard
from swarmd.messages import CallContext, Failure, Job, JobReport, Order, Proposal, Verdict, dump, load

__all__ = ["FakeFactory", "Hands", "make_crew"]

DIED = 9
"""A wait status: ended by SIGKILL."""


class FakeChannel:
    """The master's end of a channel whose other end a test holds."""

    def __init__(self) -> None:
        self.sent: deque[dict[str, Any]] = deque()
        """What the worker has not read yet."""
        self.said_ready = False
        self._said: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._closed = False

    async def send(self, message: dict[str, Any], fds: Any = ()) -> None:
        self.post(message)

    def post(self, message: dict[str, Any]) -> None:
        if self._closed:
            raise ChannelClosedError("closed")
        self.sent.append(message)

    async def receive(self) -> tuple[dict[str, Any], list[int]]:
        message = await self._said.get()
        if message is None:
            raise ChannelClosedError("closed")
        return message, []

    def say(self, **message: Any) -> None:
        self._said.put_nowait(message)

    def close(self) -> None:
        self._closed = True
        self._said.put_nowait(None)


class FakeFactory(Factory):
    """Workers without processes. Who is killed or stopped ends when ``reap`` is called."""

    @property
    def alive(self) -> bool:
        return True

    def begin(self, kind: Kind, agent_type: str) -> Worker:
        now, channel = self._clock.boot(), FakeChannel()
        worker = Worker(
            self._next_name(agent_type),
            kind,
            agent_type,
            channel,  # type: ignore[arg-type]
            started=now,
            last_beat=now,
            moved=now,
        )
        self.workers[worker.name] = worker
        return worker

    async def launch(self, worker: Worker) -> None:
        try:
            if worker.kind == "agent":
                AgentSpool(self._home, worker.name).create()
        except BaseException:
            self.workers.pop(worker.name, None)
            worker.release()
            worker.ended.set()
            raise
        worker.generation = 1
        worker.born.set()
        self._keep(self._listen(worker))

    def end(self, worker: Worker, status: int | None) -> None:
        """The zygote says that it has ended."""
        if worker.name in self.workers and worker.born.is_set():
            self._keep(self._forget(worker, status))

    def reap(self) -> None:
        """Those who were told to end have done so."""
        for worker in list(self.workers.values()):
            if worker.stopping:
                self.end(worker, DIED if worker.killed or worker.fault else 0)


class _Broker:
    is_up = True

    async def abort(self, request_id: str) -> None:
        return

    async def detach(self, name: str) -> None:
        return

    async def assign(self, client: str, about: CallContext, tokens: int) -> None:
        return

    async def forget(self, request_id: str) -> None:
        return


class _Roster:
    def add(self, worker: Worker) -> None:
        return

    def remove(self, worker: Worker, *, lost: bool) -> None:
        return

    def publish(self) -> None:
        return


class _Resources:
    def refusal(self, *, first: bool) -> str | None:
        return None


def make_crew(context: Context, hear: Heard, background: asyncio.TaskGroup) -> Crew:
    crew: Any = Crew(context, Registry(context.home, context.clock, "boot"), hear, background, Random(1))
    crew.factory = FakeFactory(context.home, context.settings, context.clock, crew, None, background)  # type: ignore[arg-type]
    crew.broker, crew._roster, crew._resources = _Broker(), _Roster(), _Resources()
    made: Crew = crew
    return made


class Hands:
    """What workers do with what they are given."""

    def __init__(self, crew: Crew, spools: Path) -> None:
        self.factory = crew.factory
        self._spools = spools
        self._earlier: dict[str, Order] = {}
        """By worker, the order it was given before."""

    def workers(self) -> list[Worker]:
        return list(self.factory.workers.values())

    def ready(self, worker: Worker) -> None:
        channel: Any = worker.channel
        if not channel.said_ready and worker.born.is_set():
            channel.said_ready = True
            channel.say(op="ready", confinement="none")

    def beat(self, worker: Worker) -> None:
        channel: Any = worker.channel
        channel.say(op="beat", doing="it", progress=worker.progress + 1)

    def answer(self, worker: Worker, how: str) -> None:
        """Answer what it was given last, if it was given anything: well, or as ``how`` says."""
        channel: Any = worker.channel
        while channel.sent:
            message = channel.sent.popleft()
            if message["op"] == "order":
                self._propose(worker, message["file"], how)
                return
            if message["op"] == "job":
                self._report(worker, Job.model_validate(message["job"]), how)
                return

    def _propose(self, worker: Worker, name: str, how: str) -> None:
        folder = self._spools / worker.name
        order = load(Order, (folder / "in" / name).read_bytes())
        old = self._earlier.get(worker.name, order)
        self._earlier[worker.name] = order
        kind = how if how in ("patch", "findings", "plan", "none") else "message"
        proposal = Proposal(
            order_id=(old if how == "late" else order).order_id,
            agent_id=worker.name,
            packet_id=order.packet.packet_id,
            epoch=(old if how == "late" else order).epoch,
            kind=kind,  # type: ignore[arg-type]
            patch=f"patch of {order.order_id}" if kind == "patch" else "",
            text=kind,
        )
        data = b"{" if how == "broken" else dump(proposal)
        if how != "absent":
            durable.write(folder / "out" / name, data, durable=False)
        channel: Any = worker.channel
        channel.say(op="proposed", file=name)
        if how == "twice":
            channel.say(op="proposed", file=name)

    def _report(self, worker: Worker, job: Job, how: str) -> None:
        bad = how in ("broken", "none")
        failure = Failure(kind="assertion", digest="red", signature=job.order_id or "") if bad else None
        verdict = Verdict(
            order_id=job.order_id or job.job_id,
            ok=not bad,
            failure=failure,
            diff_files=int(how == "patch"),
            patch_sha256="0" * 64,
        )
        report = JobReport(
            job_id="old" if how == "late" else job.job_id,
            ok=not bad,
            verdict=verdict if job.kind == "judge" or bad else None,
            commit="c" * 40 if job.kind in ("integrate", "deliver") else None,
            branch="swarm/it" if job.kind == "deliver" else None,
        )
        channel: Any = worker.channel
        raw = {} if how == "absent" else report.model_dump(mode="json")
        channel.say(op="report", report=raw)
