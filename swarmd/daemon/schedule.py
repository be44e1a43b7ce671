"""What happens next: one pass over all active requests, repeated whenever something changed.

A pass holds no memory of its own. What it decides follows from the state (a fold of the log) and
from which workers hold what, so that a restarted daemon goes on where the last one was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal

from swarmd import durable
from swarmd.agents.factory import Worker
from swarmd.coding.policy import Stop
from swarmd.daemon.context import Context
from swarmd.daemon.crew import VERIFIER, Crew
from swarmd.daemon.finish import Finisher, commit_message, required_failure
from swarmd.daemon.jobs import Jobs
from swarmd.daemon.journal import event
from swarmd.daemon.orders import Orders
from swarmd.daemon.state import RequestState, TaskState
from swarmd.errors import SwarmdError, WorkspaceError
from swarmd.messages import ChatCall, ChatReply, Plan, dump
from swarmd.models.privacy import tighter
from swarmd.planning import PlanSettings, make_plan

__all__ = ["Scheduler"]

JobKind = Literal["prepare", "judge", "integrate", "deliver"]


class Scheduler:
    """Moves every active request one step on."""

    def __init__(
        self,
        context: Context,
        crew: Crew,
        orders: Orders,
        jobs: Jobs,
        finisher: Finisher,
        background: asyncio.TaskGroup,
    ) -> None:
        self._context = context
        self._crew = crew
        self._orders = orders
        self._jobs = jobs
        self._finisher = finisher
        self._background = background
        self._planning: dict[str, asyncio.Task[None]] = {}

    async def step(self) -> None:
        """One pass, the most urgent request first."""
        await self._finisher.publish_rest()
        for request in list(self._context.state.in_order()):
            await self._advance(request)

    async def _advance(self, request: RequestState) -> None:
        await self._check_limits(request)
        if request.stage == "cancelling" or request.error is not None:
            await self._wind_up(request)
        elif self._context.paused or self._context.draining:
            return
        elif request.stage == "received":
            await self._job("prepare", request, None)
        elif request.stage == "prepared":
            self._plan(request)
        elif request.stage == "planned":
            await self._advance_tasks(request)
        elif request.stage == "delivered":
            await self._finisher.finish(request)

    async def _check_limits(self, request: RequestState) -> None:
        if request.error is not None or request.stage in ("cancelling", "delivered"):
            return
        wanted, most = request.request.limits, self._context.settings.limits
        seconds = min(wanted.seconds or most.seconds, most.seconds)
        tokens = min(wanted.tokens or most.tokens, most.tokens)
        age = (self._context.clock.now() - datetime.fromisoformat(request.received_ts)).total_seconds()
        used = request.usage + request.cloud_usage
        if age > seconds:
            await self._fail(request, "E-LIMIT-SECONDS", f"it took longer than its limit of {seconds} s")
        elif used.prompt_tokens + used.completion_tokens > tokens:
            await self._fail(request, "E-LIMIT-TOKENS", f"it used more than its limit of {tokens} tokens")
        elif request.crashes >= self._context.settings.daemon.max_crashes:
            await self._fail(
                request, "E-POISON", f"it ended {request.crashes} verifiers and is given up as poison"
            )
        elif (error := self._context.sandbox_error) is not None:
            await self._fail(request, error.code, error.message, error.hint)
        elif self._crew.broken(VERIFIER):
            await self._fail(request, "E-VERIFIER-BOOT", "verifiers cannot start on this machine")

    async def _fail(
        self,
        request: RequestState,
        code: str,
        message: str,
        hint: str = 'Run "swarmd doctor"; limits stand in swarmd.toml.',
    ) -> None:
        data = {"code": code, "message": message, "hint": hint}
        await self._context.journal.commit(
            event("request_failing", level="error", request_id=request.request.request_id, data=data)
        )

    async def _wind_up(self, request: RequestState) -> None:
        """End all work for a request that is cancelled or lost, then write its result."""
        request_id = request.request.request_id
        if not self._crew.release(request_id):
            return
        planning = self._planning.pop(request_id, None)
        if planning is not None:
            planning.cancel()
        await self._crew.broker.abort(request_id)
        await self._finisher.finish(request)

    def _plan(self, request: RequestState) -> None:
        request_id = request.request.request_id
        if request_id not in self._planning:
            self._planning[request_id] = self._background.create_task(self._make_plan(request))

    async def _make_plan(self, request: RequestState) -> None:
        request_id = request.request.request_id
        try:
            await self._commit_plan(request)
        finally:
            self._planning.pop(request_id, None)
            self._context.wake.set()

    async def _commit_plan(self, request: RequestState) -> None:
        assert request.survey is not None
        request_id = request.request.request_id
        started = self._context.clock.boot()
        try:
            plan = await make_plan(
                request.request,
                request.survey,
                self._context.types.infos,
                self._asker(request),
                read=self._reader(request_id, request.survey.base_commit),
                settings=PlanSettings(
                    context_tokens=self._context.settings.policy.context_tokens.deep,
                    max_attempts=self._context.settings.policy.max_attempts,
                ),
            )
        except SwarmdError as error:
            await self._fail(request, error.code, error.message, error.hint)
            return
        except Exception as error:  # one request's plan may not end the daemon, and the next one too
            await self._fail(request, "E-PLAN", f"planning failed unexpectedly: {error!r}", "Report this.")
            return
        took = round((self._context.clock.boot() - started) * 1000)
        facts = {
            "origin": plan.origin,
            "kind": plan.kind,
            "tasks": len(plan.packets),
            "note": plan.note[:2000],
        }
        created = event("plan_created", request_id=request_id, latency_ms=took, data=facts)
        folder = self._context.home.request_folder(request_id)
        await self._context.journal.commit(
            created, *_task_events(plan), files={folder / "plan.json": dump(plan)}
        )

    def _asker(self, request: RequestState) -> Callable[[ChatCall], Awaitable[ChatReply]]:
        async def ask(call: ChatCall) -> ChatReply:
            privacy = tighter(request.request.privacy, self._context.settings.privacy)
            update = {"request_id": request.request.request_id, "privacy": privacy}
            return await self._crew.broker.chat(call.model_copy(update=update))

        return ask

    def _reader(self, request_id: str, commit: str) -> Callable[[str], str | None]:
        """Reads a project file as it is in ``commit``; None for what is not there or no text."""
        repo = self._context.repo(request_id)

        def read(path: str) -> str | None:
            data = repo.read(commit, path)
            return None if data is None or b"\0" in data else data.decode("utf-8", "replace")

        return read

    async def _advance_tasks(self, request: RequestState) -> None:
        for task in request.tasks.values():
            await self._advance_task(request, task)
        if all(task.ended for task in request.tasks.values()):
            await self._end(request)

    async def _end(self, request: RequestState) -> None:
        changed = any(task.commit for task in request.tasks.values())
        if required_failure(request) is not None or not changed:
            await self._finisher.finish(request)
            return
        message = commit_message(request)
        trailers = {
            "Swarmd-Request": request.request.request_id,
            "Swarmd-Log": f"{self._context.journal.master.head.seq} {self._context.journal.master.head.hash}",
        }
        await self._job("deliver", request, None, message=message, trailers=trailers)

    async def _advance_task(self, request: RequestState, task: TaskState) -> None:
        if task.status == "pending":
            await self._make_ready(request, task)
        if task.status == "ready":
            await self._order(request, task)
        elif task.status == "running" and not self._held(task.agent_id, task.order_id):
            await self._expire(request, task)
        elif task.status == "verifying" and task.crashes >= self._context.settings.daemon.max_crashes:
            await self._abort(request, task, f"it ended {task.crashes} verifiers and is given up as poison")
        elif task.status == "verifying":
            await self._job("integrate" if task.passed else "judge", request, task)

    def _held(self, worker_name: str | None, work: str | None) -> bool:
        worker = self._crew.factory.workers.get(worker_name or "")
        return worker is not None and worker.work == work

    async def _make_ready(self, request: RequestState, task: TaskState) -> None:
        needed = [request.tasks[name] for name in task.packet.dependencies]
        failed = next((t for t in needed if t.ended and t.status != "succeeded"), None)
        ids = {"request_id": request.request.request_id, "task_id": task.packet.task_id}
        if failed is not None:
            await self._abort(request, task, f"{failed.packet.task_id} did not succeed", status="skipped")
        elif all(t.status == "succeeded" for t in needed):
            data = {"agent_type": task.packet.agent_type}
            await self._context.journal.commit(event("task_ready", level="debug", data=data, **ids))

    async def _expire(self, request: RequestState, task: TaskState) -> None:
        """Its agent is gone without a trace in the log: the last daemon ended before it could say so."""
        await self._context.journal.commit(
            event(
                "lease_expired",
                level="warning",
                request_id=request.request.request_id,
                task_id=task.packet.task_id,
                data={"work": task.order_id, "crashed": 0, "agent_type": task.packet.agent_type},
            )
        )

    async def _order(self, request: RequestState, task: TaskState) -> None:
        step = self._orders.next_step(request, task)
        if isinstance(step, Stop):
            await self._abort(request, task, step.reason)
            return
        name = task.packet.agent_type
        if self._crew.broken(name):
            await self._abort(request, task, f"agents of type {name} cannot start; see logs/daemon.out")
            return
        cap = self._context.types.valid[name].limits.max_instances
        worker = await self._crew.take("agent", name, cap)
        if worker is not None:
            self._reserve(worker, request, task, "order")
            try:
                await self._orders.give(request, task, step, worker)
            except WorkspaceError as error:
                await self._fail(request, error.code, error.message, error.hint)

    async def _abort(
        self, request: RequestState, task: TaskState, reason: str, *, status: str = "failed"
    ) -> None:
        await self._context.journal.commit(
            event(
                "task_abort",
                level="warning",
                request_id=request.request.request_id,
                task_id=task.packet.task_id,
                tier=task.tier,
                attempt=task.attempt,
                status=status,
                data={"reason": reason[:2000], "agent_type": task.packet.agent_type},
            )
        )

    async def _job(self, kind: JobKind, request: RequestState, task: TaskState | None, **extra: Any) -> None:
        """Have a verifier do a job for a request or a task, unless one is at it already."""
        request_id = request.request.request_id
        task_id = task.packet.task_id if task else None
        for worker in self._crew.factory.workers.values():
            if worker.kind == "verifier" and (worker.request_id, worker.task_id) == (request_id, task_id):
                return
        free = await self._crew.take("verifier", VERIFIER, self._context.settings.daemon.max_verifiers)
        if free is not None:
            self._reserve(free, request, task, kind)
            await self._jobs.give(kind, request, task, free, **extra)

    def _reserve(self, worker: Worker, request: RequestState, task: TaskState | None, work: str) -> None:
        worker.work = work
        worker.request_id = request.request.request_id
        worker.task_id = task.packet.task_id if task else None
        worker.last_beat = self._context.clock.boot()

    def close(self) -> None:
        """End the planning that is under way; the next daemon begins it again."""
        for task in self._planning.values():
            task.cancel()

    def publish_ready(self) -> None:
        """Show the packets that wait for an agent as files in bus/tasks/<type>/."""
        wanted = {
            self._context.home.tasks / task.packet.agent_type / f"{task.packet.packet_id}.json": task.packet
            for request in self._context.state.requests.values()
            for task in request.tasks.values()
            if task.status == "ready"
        }
        with contextlib.suppress(OSError):  # a view: the next pass shows it
            for path in self._context.home.tasks.glob("*/*.json"):
                if path not in wanted:
                    durable.remove(path)
            for path, packet in wanted.items():
                if not path.exists():
                    durable.make_dirs(path.parent)
                    durable.write(path, dump(packet.model_copy(update={"status": "ready"})), durable=False)


def _task_events(plan: Plan) -> list[dict[str, Any]]:
    return [
        event(
            "task_created",
            request_id=plan.request_id,
            task_id=packet.task_id,
            tier=packet.tier,
            data={
                "agent_type": packet.agent_type,
                "skill": packet.skill,
                "action": packet.action[:500],
                "files": packet.files_owned[:20],
                "dependencies": packet.dependencies,
                "acceptance": packet.acceptance,
            },
        )
        for packet in plan.packets
    ]
