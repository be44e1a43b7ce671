"""The crew: which workers are wanted, which are alive, and what is left when one is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import psutil

from swarmd.agents.factory import Factory, Worker
from swarmd.agents.zygote import EXIT_BOOT_FAILURE
from swarmd.audit import Line
from swarmd.bus.channel import ChannelClosedError
from swarmd.bus.spool import AgentSpool
from swarmd.council.registry import Registry
from swarmd.daemon.broker import BrokerProcess
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event

__all__ = ["VERIFIER", "Crew"]

VERIFIER = "verifier"
"""The one "type" of verifiers, for names and caps."""

MAX_BOOT_FAILURES = 3
"""After so many workers of a type that died before READY, in a row, no more are started …"""

BOOT_PAUSE_S = 60.0
"""… for so long: what was missing may have been put right, or was memory."""

STOP_GRACE_S = 10.0
"""How long a worker that was asked to stop may take."""

MEASURE_S = 5.0
"""How often a worker's memory and CPU are looked at."""

Heard = Callable[[Worker, dict[str, Any]], Awaitable[None]]


class Crew:
    """All workers of a home: agents by type, and verifiers."""

    def __init__(
        self, context: Context, registry: Registry, on_message: Heard, background: asyncio.TaskGroup
    ) -> None:
        self._context = context
        self._background = background
        self._registry = registry
        self._on_message = on_message
        self._boot_failures: dict[str, tuple[int, float]] = {}
        """By type: how many in a row, and when the last one was."""
        self._shows_none = False
        """Whether the registry files say that nobody runs."""
        self._processes: dict[str, psutil.Process] = {}
        self.broker = BrokerProcess(
            context.home, self._on_broker_event, self._on_broker_started, self._on_broker_lost
        )
        self.factory = Factory(
            context.home, context.settings, context.clock, self, self.broker.attach_now, background
        )

    async def start(self) -> None:
        """Start the zygote and the broker."""
        self.broker.start(self._background)
        await self.factory.start()
        await self._context.journal.commit(
            event("process_started", actor="zygote", data={"pid": self.factory.zygote_pid})
        )

    def broken(self, agent_type: str) -> bool:
        """Whether workers of this type cannot even start, as far as is known now."""
        count, last = self._boot_failures.get(agent_type, (0, 0.0))
        return count >= MAX_BOOT_FAILURES and self._context.clock.boot() - last < BOOT_PAUSE_S

    async def take(self, kind: Literal["agent", "verifier"], agent_type: str, cap: int) -> Worker | None:
        """An idle worker of the type; None: there is none now, and one is started if it may be.

        ``cap``: most workers of this type at one time.
        """
        worker = self.factory.idle(kind, agent_type)
        if worker is not None or not self.factory.alive or self.broken(agent_type):
            return worker
        if self.factory.starting(kind, agent_type) or self.factory.count(kind, agent_type) >= cap:
            return None
        if kind == "agent" and self.factory.count("agent") >= self._context.settings.daemon.max_agents:
            await self._make_room(agent_type)
        elif kind == "verifier" or self.broker.is_up:
            await self._spawn(kind, agent_type)
        return None

    async def _spawn(self, kind: Literal["agent", "verifier"], agent_type: str) -> None:
        try:
            worker = await self.factory.spawn(kind, agent_type)
        except (ChannelClosedError, OSError):
            return  # no zygote, no broker or no room just now: the next pass tries again
        await self._context.journal.commit(
            event("agent_spawned", actor=worker.name, data={"agent_type": agent_type, "kind": kind})
        )

    async def _make_room(self, wanted: str) -> None:
        idle = [w for w in self.factory.workers.values() if w.kind == "agent" and w.idle]
        others = [w for w in idle if w.agent_type != wanted]
        if others:
            await self.factory.stop(min(others, key=lambda w: w.idle_since))

    async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
        self._boot_failures.pop(worker.agent_type, None)
        self._register(worker)
        await self._context.journal.commit(
            event(
                "agent_ready",
                actor=worker.name,
                data={"agent_type": worker.agent_type, "pid": worker.pid, "confinement": confinement},
            )
        )
        self._context.wake.set()

    def _register(self, worker: Worker) -> None:
        agent_type = self._context.types.valid.get(worker.agent_type)
        skills = sorted(agent_type.skills) if agent_type else []
        self._registry.spawned(worker.name, worker.agent_type, skills, worker.pid, worker.start_ticks)
        self._registry.idle(worker.name)

    async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
        """Pass it on. Raises AgentError for what the worker may not say now."""
        await self._on_message(worker, message)

    async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
        """Record the end, give back what it held, and forget its spool."""
        exit_code = os.waitstatus_to_exitcode(status) if status is not None else None
        boot_failure = not worker.ready and status is not None
        if boot_failure:
            count, _ = self._boot_failures.get(worker.agent_type, (0, 0.0))
            self._boot_failures[worker.agent_type] = (count + 1, self._context.clock.boot())
        expected = worker.stopping and worker.work is None and not worker.fault
        await self._context.journal.commit(
            event(
                "agent_terminated" if expected else "agent_lost",
                actor=worker.name,
                level="info" if expected else "warning",
                request_id=worker.request_id,
                task_id=worker.task_id,
                data={
                    "agent_type": worker.agent_type,
                    "pid": worker.pid,
                    "exit_code": exit_code if exit_code is not None else "with its zygote",
                    "reason": _why(worker, exit_code),
                },
            )
        )
        if worker.work is not None:
            # only its own death counts against the work it held, not the zygote's or ours
            own = status is not None and (bool(worker.fault) or not worker.stopping)
            await self._give_back(worker, crashed=int(own))
        self._registry.ended(worker.name, lost=not expected)
        self._shows_none = False
        if worker.kind == "agent":
            self._processes.pop(worker.name, None)
            await self.broker.detach(worker.name)
            AgentSpool(self._context.home, worker.name).remove()
        self._context.wake.set()

    async def _give_back(self, worker: Worker, crashed: int) -> None:
        """An agent's order is free again; a verifier's job is simply given again."""
        name = "verifier_lost"
        if worker.kind == "agent":
            found = self._context.task(worker.request_id, worker.task_id)
            if not found or not found[1].held_by(worker.name, worker.work):
                return  # it was only about to be given the order, or nobody waits for it any more
            name = "lease_expired"
        await self._context.journal.commit(
            event(
                name,
                actor=worker.name,
                level="warning",
                request_id=worker.request_id,
                task_id=worker.task_id,
                data={"work": worker.work, "crashed": crashed},
            )
        )

    async def _on_broker_event(self, name: str, fields: dict[str, Any]) -> None:
        line_fields = {
            key: fields.pop(key, None) for key in ("request_id", "task_id", "tier", "attempt", "latency_ms")
        }
        level = str(fields.pop("level", "info"))
        await self._context.journal.commit(
            event(name, actor=str(fields.pop("client", "broker")), level=level, data=fields, **line_fields)
        )
        if name == "model_call_complete":
            self._context.wake.set()

    async def _on_broker_started(self, pid: int, models: dict[str, Any]) -> None:
        await self._context.journal.commit(
            event("process_started", actor="broker", data={"pid": pid, "models": models})
        )
        for worker in list(self.factory.workers.values()):
            if worker.kind == "agent":
                await self._reconnect(worker)

    async def _reconnect(self, worker: Worker) -> None:
        with contextlib.suppress(ChannelClosedError), await self.broker.attach_now(worker.name) as sock:
            await worker.channel.send({"op": "broker"}, [sock.fileno()])

    async def _on_broker_lost(self, status: int | None) -> None:
        if not self._context.draining:
            await self._context.journal.commit(
                event(
                    "process_lost",
                    actor="broker",
                    level="warning",
                    data={"exit_code": status if status else 0},
                )
            )

    async def check(self) -> None:
        """Once a tick: start a lost zygote again, end the idle and the hung."""
        if not self.factory.alive and not self._context.draining:
            await self._context.journal.commit(event("process_lost", actor="zygote", level="warning"))
            await self.factory.start()
            await self._context.journal.commit(
                event("process_started", actor="zygote", data={"pid": self.factory.zygote_pid})
            )
        now, limits = self._context.clock.boot(), self._context.settings.daemon
        for worker in list(self.factory.workers.values()):
            if worker.idle and now - worker.idle_since > limits.idle_timeout_s:
                await self.factory.stop(worker)
            elif worker.work is not None and now - worker.last_beat > limits.hung_after_s:
                worker.doing = "hung"
                await self._end_hung(worker)
            elif not worker.ready and now - worker.started > limits.ready_timeout_s:
                self.factory.kill(worker)
            elif worker.stopping and now - worker.stopped_at > STOP_GRACE_S:
                self.factory.kill(worker)  # it would keep its place for ever

    async def _end_hung(self, worker: Worker) -> None:
        self.factory.abort(worker)
        await asyncio.sleep(0.2)
        self.factory.kill(worker, fault="it was hung")

    def release(self, request_id: str) -> bool:
        """End every worker that holds work of a request. True when none holds any (now).

        A delivery is waited for instead: nobody could say whether the branch is there.
        """
        holders = [w for w in self.factory.workers.values() if w.request_id == request_id and w.work]
        for worker in holders:
            if not (worker.work or "").startswith("deliver"):
                self.factory.kill(worker)
        return not holders

    def count(self, line: Line) -> None:
        """Count a task that ended for the agent that worked on it last."""
        if line["event"] not in ("task_complete", "task_abort"):
            return
        found = self._context.task(line.get("request_id"), line.get("task_id"))
        if found and found[1].worked_by:
            self._registry.task_ended(found[1].worked_by, done=line["event"] == "task_complete")

    def publish(self) -> None:
        """Write the registry files as they stand now; once, while nobody runs."""
        if self._shows_none and not self.factory.workers:
            return
        for worker in self.factory.workers.values():
            if not worker.ready:
                continue
            if worker.work and worker.request_id:
                self._registry.working(worker.name, worker.request_id, worker.task_id or "")
            else:
                self._registry.idle(worker.name)
            if worker.last_beat > worker.shown_beat:
                worker.shown_beat = worker.last_beat
                self._registry.beat(worker.name, worker.progress, worker.doing if worker.work else "")
            self._measure(worker)
        with contextlib.suppress(OSError):  # a view: the next tick writes it again
            self._registry.write()
            self._shows_none = not self.factory.workers

    def _measure(self, worker: Worker) -> None:
        now = self._context.clock.boot()
        if now - worker.measured < MEASURE_S:
            return
        worker.measured = now
        with contextlib.suppress(psutil.Error):
            process = self._processes.setdefault(worker.name, psutil.Process(worker.pid))
            self._registry.measured(worker.name, process.memory_info().rss, process.cpu_percent())

    async def close(self) -> None:
        """End all processes."""
        await self.factory.close()
        await self.broker.close()


def _why(worker: Worker, exit_code: int | None) -> str:
    if exit_code is None:
        return "its zygote ended"
    if worker.fault:
        return worker.fault
    if worker.stopping:
        return "asked to stop" if worker.work is None else "its work was cancelled"
    if exit_code == EXIT_BOOT_FAILURE and not worker.ready:
        return "it could not start; logs/daemon.out has the reason"
    if exit_code < 0:
        return f"ended by signal {signal.Signals(-exit_code).name}"
    return "it failed; logs/daemon.out has the traceback" if exit_code else "it left"
