"""The crew: which workers are wanted, which are alive, and what is left when one is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from swarmd.agents.factory import Factory, Kind, Worker
from swarmd.agents.processes import Zombies
from swarmd.audit import Line
from swarmd.bus.channel import ChannelClosedError
from swarmd.bus.spool import AgentSpool
from swarmd.config import DaemonSettings
from swarmd.council.registry import Registry
from swarmd.daemon import ends
from swarmd.daemon.backoff import Restarts
from swarmd.daemon.broker import BrokerProcess
from swarmd.daemon.context import Context
from swarmd.daemon.generations import Generations
from swarmd.daemon.journal import event
from swarmd.daemon.resources import Resources
from swarmd.daemon.roster import Roster

__all__ = ["VERIFIER", "Crew"]

VERIFIER = "verifier"
"""The one "type" of verifiers, for names and caps."""

STOP_GRACE_S = 10.0
"""How long a worker that was asked to stop may take."""

LAST_WORDS_S = 0.5
"""How long a worker that hangs may take to write down where."""

ZOMBIES_S = 30.0
"""How often adopted orphans are looked for that have ended."""

Heard = Callable[[Worker, dict[str, Any]], Awaitable[None]]


class Crew:
    """All workers of a home: agents by type, and verifiers."""

    def __init__(
        self,
        context: Context,
        registry: Registry,
        on_message: Heard,
        background: asyncio.TaskGroup,
        random: Random | None = None,
    ) -> None:
        """``random`` spreads the delays of what is started again."""
        random = random or Random()  # noqa: S311 - nothing secret
        self._context = context
        self._background = background
        self._registry = registry
        self._on_message = on_message
        self._restarts = Restarts(context.clock, self._limits, random)
        self._resources = Resources(context.clock, self._limits)
        self._held_back: str | None = None
        """Why no worker is started now, as the log says."""
        self._given: dict[str, float] = {}
        """When each agent was given the order that it has not answered yet."""
        self._retry: asyncio.TimerHandle | None = None
        self._zombies, self._zombies_at = Zombies(), 0.0
        self.broker = BrokerProcess(
            context.home,
            self._on_broker_event,
            self._on_broker_started,
            self._on_broker_lost,
            on_failed=self._on_broker_failed,
            random=random,
            settings=lambda: context.settings,
        )
        self.factory = Factory(
            context.home, context.settings, context.clock, self, self.broker.attach_now, background
        )
        self._generations = Generations(context, self.factory, random)
        self._roster = Roster(
            registry,
            context.clock,
            self.factory.workers,
            self._skills,
            lambda: self._limits().heartbeat_s / 4,
        )

    def _limits(self) -> DaemonSettings:
        return self._context.settings.daemon

    def _skills(self, agent_type: str) -> list[str]:
        known = self._context.types.valid.get(agent_type)
        return sorted(known.skills) if known else []

    def start(self) -> None:
        """Start the broker and the zygote, in the background, and again whenever they do not come up."""
        self.broker.start(self._background)
        self._generations.start(self._background)

    def broken(self, agent_type: str) -> bool:
        """Whether workers of this type cannot even start, as far as is known now."""
        return self._restarts.broken(agent_type)

    # --- who is wanted -----------------------------------------------------------------------------

    def take(self, kind: Kind, agent_type: str, cap: int, waiting: int = 1) -> Worker | None:
        """An idle worker of the type; None: there is none now, and as many as ``waiting`` pieces of work
        need are started in the background, if they may be.

        ``cap``: most workers of this type at one time.
        """
        worker = self.factory.idle(kind, agent_type)
        if worker is None and self.factory.alive:
            self._start_more(kind, agent_type, cap, waiting)
        return worker

    def _start_more(self, kind: Kind, agent_type: str, cap: int, waiting: int) -> None:
        alive = self.factory.count(kind, agent_type)
        wanted = min(waiting - self.factory.starting(kind, agent_type), cap - alive)
        if wanted <= 0 or (kind == "agent" and not self.broker.is_up):
            return
        if (wait := self._restarts.wait(agent_type)) > 0:
            self._wake_in(wait)
            return
        if self._is_held_back(first=not alive):
            return
        if kind == "agent":
            room = self._limits().max_agents - self.factory.count("agent")
            if room <= 0:
                self._make_room(agent_type)
            wanted = min(wanted, room)
        for _ in range(wanted):
            with contextlib.suppress(OSError):  # no descriptor is left: the next pass tries again
                self._background.create_task(self._launch(self.factory.begin(kind, agent_type)))

    def _wake_in(self, seconds: float) -> None:
        if self._retry is None or self._retry.when() <= asyncio.get_running_loop().time():
            self._retry = asyncio.get_running_loop().call_later(seconds, self._context.wake.set)

    def _is_held_back(self, *, first: bool) -> bool:
        why = self._resources.refusal(first=first)
        if (why is None) != (self._held_back is None):
            name, level = ("workers_resumed", "info") if why is None else ("workers_held_back", "warning")
            self._say(event(name, level=level, data={"reason": why} if why else {}))
        self._held_back = why
        return why is not None

    def _say(self, line: dict[str, Any]) -> None:
        """Commit a line that nobody waits for."""

        async def commit() -> None:
            await self._context.journal.commit(line)

        self._background.create_task(commit())

    async def _launch(self, worker: Worker) -> None:
        try:
            await asyncio.wait_for(self.factory.launch(worker), self._limits().ready_timeout_s)
        except (ChannelClosedError, OSError, TimeoutError):
            return  # no zygote, no broker or no room just now: the next pass tries again
        data = {"agent_type": worker.agent_type, "kind": worker.kind}
        await self._context.journal.commit(event("agent_spawned", actor=worker.name, data=data))

    def _make_room(self, wanted: str) -> None:
        """Have the agent of another type go that has been idle longest; one at a time."""
        agents = [w for w in self.factory.workers.values() if w.kind == "agent"]
        others = [w for w in agents if w.idle and w.agent_type != wanted]
        if others and not any(w.stopping for w in agents):
            self.factory.stop(min(others, key=lambda w: w.idle_since))

    # --- what they say, and how they end -----------------------------------------------------------

    async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
        """It is given work at once, and the log hears of it."""
        self._restarts.started(worker.agent_type)
        if not self._registry.runs(worker.name):
            self._roster.add(worker)
        self.publish()
        self._context.wake.set()
        data = {"agent_type": worker.agent_type, "pid": worker.pid, "confinement": confinement}
        await self._context.journal.commit(event("agent_ready", actor=worker.name, data=data))

    async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
        """Pass it on. Raises AgentError for what the worker may not say now."""
        await self._on_message(worker, message)

    async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
        """Record the end, give back what it held, and forget its spool."""
        expected = worker.stopping and worker.work is None and not worker.fault
        pause = self._note_failure(worker, status, expected)
        self._given.pop(worker.name, None)
        self._roster.remove(worker, lost=not expected)
        await self._context.journal.commit(*self._end_events(worker, status, expected, pause))
        if worker.kind == "agent":
            await self.broker.detach(worker.name)
            with contextlib.suppress(OSError):  # what resists is swept at the next start
                AgentSpool(self._context.home, worker.name).remove()
        if worker.request_id is not None:
            self._context.state.touched[worker.request_id] = None
        self._context.wake.set()

    def _note_failure(self, worker: Worker, status: int | None, expected: bool) -> float | None:
        """For how long its type pauses, when this failure was one too many. The end of its zygote is
        none, nor is an end that was asked for."""
        if expected or status is None or (worker.stopping and not worker.fault and worker.ready):
            return None
        return self._restarts.failed(worker.agent_type, booting=not worker.ready)

    def _end_events(
        self, worker: Worker, status: int | None, expected: bool, pause: float | None
    ) -> list[dict[str, Any]]:
        """The lines on an end: how, where it was, and what it gives back."""
        ids = {"request_id": worker.request_id, "task_id": worker.task_id}
        events = [
            event(
                "agent_terminated" if expected else "agent_lost",
                actor=worker.name,
                level="info" if expected else "warning",
                data={
                    "agent_type": worker.agent_type,
                    "pid": worker.pid,
                    **ends.evidence(worker, status, expected=expected),
                    **ends.dump(worker, self._context.home, self._context.clock),
                },
                **ids,
            )
        ]
        if worker.work is not None and (name := self._given_back(worker)):
            # only its own death counts against the work it held, not the zygote's or ours
            own = status is not None and (bool(worker.fault) or not worker.stopping)
            data = {"work": worker.work, "crashed": int(own)}
            events.append(event(name, actor=worker.name, level="warning", data=data, **ids))
        if pause is not None:
            data = {"agent_type": worker.agent_type, "seconds": round(pause)}
            events.append(event("type_paused", level="warning", data=data))
        return events

    def _given_back(self, worker: Worker) -> str | None:
        """The line that frees what it held: an order is free again, a job is simply given again. None
        when it was only about to be given the order, or nobody waits for it any more."""
        if worker.kind == "verifier":
            return "verifier_lost"
        found = self._context.task(worker.request_id, worker.task_id)
        return "lease_expired" if found and found[1].held_by(worker.name, worker.work) else None

    # --- the broker --------------------------------------------------------------------------------

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
            data = {"exit_code": status if status else 0}
            await self._context.journal.commit(
                event("process_lost", actor="broker", level="warning", data=data)
            )

    async def _on_broker_failed(self, why: str) -> None:
        await self._context.journal.commit(
            event("process_failed", actor="broker", level="error", data={"why": why})
        )

    # --- once a tick -------------------------------------------------------------------------------

    async def check(self) -> None:
        """Once a tick: end the idle and the hung, and let those go on that paused."""
        if self._context.broker_is_outdated and self.broker.is_up:
            self._context.broker_is_outdated = False
            await self.broker.renew()
        now, self.factory.settings = self._context.clock.boot(), self._context.settings
        for worker in list(self.factory.workers.values()):
            self._check(worker, now)
        if now - self._zombies_at > ZOMBIES_S:
            self._zombies_at = now
            self._zombies.look()
        for agent_type in self._restarts.resumed():
            await self._context.journal.commit(event("type_resumed", data={"agent_type": agent_type}))

    def _check(self, worker: Worker, now: float) -> None:
        limits = self._limits()
        if worker.idle and now - worker.idle_since > limits.idle_timeout_s:
            self.factory.stop(worker)
        elif worker.work is not None and not worker.stopping and self._hangs(worker, now):
            self._end_hung(worker, now)
        elif not worker.ready and now - worker.started > limits.ready_timeout_s:
            self.factory.kill(worker, fault="it did not become ready in time")
            if worker.generation and not worker.pid:
                self.factory.end_zygote()  # it was asked to fork that long ago, and did not
        elif worker.stopping and now - worker.stopped_at > STOP_GRACE_S:
            self.factory.kill(worker)  # it would keep its place for ever

    def _hangs(self, worker: Worker, now: float) -> bool:
        """Whether its work loop stands still; suspected first, and believed two heartbeats later: a
        machine that slept, or a master that did, finds all its workers silent."""
        limits = self._limits()
        if now - max(worker.moved, self._given.get(worker.name, 0.0)) <= limits.hung_after_s:
            worker.suspected = None
        elif worker.suspected is None:
            worker.suspected = now
        return worker.suspected is not None and now - worker.suspected >= 2 * limits.heartbeat_s

    def _end_hung(self, worker: Worker, now: float) -> None:
        fault = f"it was hung: its work loop stood still for {now - worker.moved:.0f} s"
        self.factory.abort(worker, fault=fault)

        def kill() -> None:
            if not worker.ended.is_set():
                self.factory.kill(worker)

        asyncio.get_running_loop().call_later(LAST_WORDS_S, kill)

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
        """Count for the agents what a line of the log says of their work."""
        match line["event"]:
            case "task_assigned":
                self._given[line["actor"]] = self._context.clock.boot()
            case "proposal_received" if line["actor"] in self._given:
                given = self._given.pop(line["actor"])
                self._registry.answered(line["actor"], self._context.clock.boot() - given)
            case "task_complete" | "task_abort":
                found = self._context.task(line.get("request_id"), line.get("task_id"))
                if found and found[1].worked_by:
                    done = line["event"] == "task_complete"
                    self._registry.task_ended(found[1].worked_by, done=done)

    def publish(self) -> None:
        """Have the registry files follow, soon. It may be called as often as anything changes."""
        self._roster.publish()

    async def close(self) -> None:
        """End all processes."""
        self._generations.close()
        if self._retry is not None:
            self._retry.cancel()
        await self.factory.close()
        self._roster.close()
        await self.broker.close()
