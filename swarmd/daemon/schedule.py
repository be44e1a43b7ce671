"""What happens next: requests that something was said about are looked at, and work is given out.

What is decided follows from the state (a fold of the log) and from which workers hold what, so that a
restarted daemon goes on where the last one was: the queue of work here is filled again from the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from swarmd.agents.factory import Worker
from swarmd.coding.policy import Stop
from swarmd.daemon.context import Context
from swarmd.daemon.crew import VERIFIER, Crew
from swarmd.daemon.finish import Finisher, commit_message
from swarmd.daemon.jobs import Jobs
from swarmd.daemon.journal import event
from swarmd.daemon.limits import Limits
from swarmd.daemon.needs import blocker, required_failure
from swarmd.daemon.orders import Orders
from swarmd.daemon.plans import Plans, failing
from swarmd.daemon.state import RequestState, TaskState
from swarmd.daemon.steps import step_of
from swarmd.daemon.work import Rank, Work, WorkKind, WorkQueue
from swarmd.errors import WorkspaceError

__all__ = ["Scheduler"]

TIMED_S = 0.9
"""How often the time limits of up to a thousand requests are looked at."""
RERANK_S = 5.0
"""How often waiting work is ranked anew, so that what has aged comes forward."""


class Scheduler:
    """Moves every active request on."""

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
        self._plans = Plans(context, crew, background)
        self._limits = Limits(context)
        self.queue = WorkQueue(self._rank)
        self._busy: set[str] = set()
        """Requests that are being looked at: no second look begins meanwhile."""
        self._giving: set[tuple[str, str | None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reranked = self._timed = 0.0
        context.state.touched.update(dict.fromkeys(context.state.requests))

    # --- the pass ----------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at what was touched, the most urgent first, and give out work."""
        touched = self._context.state.touched
        if touched:
            found = [self._context.state.requests.get(name) for name in touched if name not in self._busy]
            for name in [name for name in touched if name not in self._busy]:
                del touched[name]
            for request in sorted((r for r in found if r), key=lambda r: r.order):
                self._busy.add(request.request_id)
                self._start(self._look_at(request))
        if not self._held_back:
            self._give_out()

    def tick(self) -> None:
        """Once a second: what time alone brings about."""
        now = self._context.clock.boot()
        if now - self._reranked > RERANK_S:
            self._reranked = now
            self.queue.rerank()
        if self._context.unpublished:
            self._start(self._finisher.publish_rest())
        requests = self._context.state.requests
        if now - self._timed < TIMED_S * (1 + len(requests) / 1000):
            return  # with thousands active, a second more or less does not matter to one of them
        self._timed = now
        for request in requests.values():
            if self._limits.is_over(request) or any(self._is_forsaken(t) for t in request.tasks.values()):
                self._context.state.touched[request.request_id] = None

    def touch_all(self) -> None:
        """Look at every request again, because something that holds for all has changed."""
        self._context.state.touched.update(dict.fromkeys(self._context.state.requests))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the others, so that their changes are committed in one group."""
        try:
            task = self._background.create_task(work)
        except RuntimeError:  # the daemon is ending
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def _held_back(self) -> bool:
        return self._context.state.paused or self._context.draining

    def _rank(self, request_id: str) -> Rank | None:
        request = self._context.state.requests.get(request_id)
        return None if request is None else (self._limits.level(request), request.running, request.first_seq)

    # --- one request -------------------------------------------------------------------------------

    async def _look_at(self, request: RequestState) -> None:
        try:
            await self._advance(request)
        finally:
            self._busy.discard(request.request_id)
            if request.request_id in self._context.state.touched:
                self._context.wake.set()

    async def _advance(self, request: RequestState) -> None:
        if (why := self._why_it_fails(request)) is not None:
            await self._context.journal.commit(failing(request, *why))
        if request.stage == "cancelling" or request.error is not None:
            await self._wind_up(request)
        elif self._held_back:
            return
        elif request.stage == "received":
            if not await self._plans.unattached(request):
                self._want("prepare", VERIFIER, request, None)
        elif request.stage == "prepared":
            self._plans.begin(request)
        elif request.stage == "planned":
            await self._advance_tasks(request)
        elif request.stage == "delivered":
            await self._end(request)

    def _why_it_fails(self, request: RequestState) -> tuple[str, ...] | None:
        if request.error is not None or request.stage in ("cancelling", "delivered"):
            return None
        if (why := self._limits.exceeded(request)) is not None:
            return why
        if request.crashes >= self._context.settings.daemon.max_crashes:
            return "E-POISON", f"it ended {request.crashes} verifiers and is given up as poison"
        if request.survey is None and not request.tasks and not self._needs_project(request):
            return None
        if (error := self._context.sandbox_error) is not None and self._needs_project(request):
            return error.code, error.message, error.hint
        if self._crew.broken(VERIFIER) and self._needs_project(request):
            return "E-VERIFIER-BOOT", "verifiers cannot start on this machine"
        return None

    def _needs_project(self, request: RequestState) -> bool:
        """Whether verifiers have, or will have, anything to do for it."""
        if request.survey is not None or request.request.workspace is not None:
            return True
        types = self._context.types.infos
        served = [types[t.packet.agent_type] for t in request.tasks.values() if t.packet.agent_type in types]
        return any(info.needs_workspace for info in served or types.values())

    async def _wind_up(self, request: RequestState) -> None:
        """End all work for a request that is cancelled or lost, then write its result."""
        request_id = request.request_id
        self.queue.discard(request_id, iter(request.tasks))
        self._plans.cancel(request_id)
        if not self._crew.release(request_id):
            return  # looked at again when the last of them has ended
        await self._crew.broker.abort(request_id)
        await self._end(request)

    async def _end(self, request: RequestState) -> None:
        self.queue.discard(request.request_id, iter(request.tasks))
        self._limits.forget(request.request_id)
        await self._finisher.finish(request)
        await self._crew.broker.forget(request.request_id)

    async def _advance_tasks(self, request: RequestState) -> None:
        for task in list(request.tasks.values()):
            await self._advance_task(request, task)
        if not all(task.ended for task in request.tasks.values()):
            return
        changed = any(task.commit for task in request.tasks.values())
        if required_failure(request) is not None or not changed:
            await self._end(request)
        else:
            self._want("deliver", VERIFIER, request, None)

    # --- one task ----------------------------------------------------------------------------------

    async def _advance_task(self, request: RequestState, task: TaskState) -> None:
        if task.status == "pending":
            await self._make_ready(request, task)
        if task.status == "ready":
            await self._want_order(request, task)
        elif task.status == "running" and self._is_forsaken(task):
            await self._expire(request, task)
        elif task.status == "verifying" and task.crashes >= self._context.settings.daemon.max_crashes:
            await self._abort(request, task, f"it ended {task.crashes} verifiers and is given up as poison")
        elif task.status == "verifying":
            self._want("integrate" if task.passed else "judge", VERIFIER, request, task)

    async def _make_ready(self, request: RequestState, task: TaskState) -> None:
        failed = blocker(request, task)
        if failed is not None:
            await self._abort(request, task, f"{failed.packet.task_id} did not succeed", status="skipped")
        elif all(request.tasks[name].ended for name in task.packet.dependencies):
            ids = {"request_id": request.request_id, "task_id": task.packet.task_id}
            data = {"agent_type": task.packet.agent_type}
            await self._context.journal.commit(event("task_ready", level="debug", data=data, **ids))

    async def _want_order(self, request: RequestState, task: TaskState) -> None:
        step = step_of(self._context, request, task)
        name = task.packet.agent_type
        if isinstance(step, Stop):
            await self._abort(request, task, step.reason)
        elif self._crew.broken(name):
            await self._abort(request, task, f"agents of type {name} cannot start; see logs/daemon.out")
        else:
            self._want("order", name, request, task)

    def _is_forsaken(self, task: TaskState) -> bool:
        """Whether nobody holds a task that is said to be worked on: the last daemon ended before it
        could say so."""
        if task.status != "running" or self._orders.is_settling(task):
            return False
        worker = self._crew.factory.workers.get(task.agent_id or "")
        return worker is None or worker.work != task.order_id

    async def _expire(self, request: RequestState, task: TaskState) -> None:
        await self._context.journal.commit(
            event(
                "lease_expired",
                level="warning",
                request_id=request.request_id,
                task_id=task.packet.task_id,
                data={"work": task.order_id, "crashed": 0, "agent_type": task.packet.agent_type},
            )
        )

    async def _abort(
        self, request: RequestState, task: TaskState, reason: str, *, status: str = "failed"
    ) -> None:
        await self._context.journal.commit(
            event(
                "task_abort",
                level="warning",
                request_id=request.request_id,
                task_id=task.packet.task_id,
                tier=task.tier,
                attempt=task.attempt,
                status=status,
                data={"reason": reason[:2000], "agent_type": task.packet.agent_type},
            )
        )

    # --- giving work out ---------------------------------------------------------------------------

    def _want(self, kind: WorkKind, worker_type: str, request: RequestState, task: TaskState | None) -> None:
        """Let a piece of work wait for a worker, unless one is at it already."""
        work = Work(kind, worker_type, request.request_id, task.packet.task_id if task else None)
        if work.key in self._giving or self._is_held(work):
            return
        self.queue.add(work)
        self._context.wake.set()

    def _is_held(self, work: Work) -> bool:
        workers = self._crew.factory.workers.values()
        return any(w.work is not None and (w.request_id, w.task_id) == work.key for w in workers)

    def _give_out(self) -> None:
        for worker_type in self.queue.types():
            if worker_type == VERIFIER and not self._context.sandbox_tried:
                continue
            kind, cap = self._kind_and_cap(worker_type)
            while waiting := self.queue.waiting(worker_type):
                worker = self._crew.take(kind, worker_type, cap, waiting)  # type: ignore[arg-type]
                if worker is None:
                    break
                work = self.queue.pop(worker_type)
                if work is None:
                    break
                self._hand_over(work, worker)

    def _kind_and_cap(self, worker_type: str) -> tuple[str, int]:
        if worker_type == VERIFIER:
            return "verifier", self._context.settings.daemon.max_verifiers
        agent_type = self._context.types.valid.get(worker_type)
        return "agent", agent_type.limits.max_instances if agent_type else 0

    def _hand_over(self, work: Work, worker: Worker) -> None:
        request = self._context.state.requests[work.request_id]
        task = request.tasks.get(work.task_id or "")
        worker.work = work.kind
        worker.request_id, worker.task_id = work.key
        worker.last_beat = self._context.clock.boot()
        self._giving.add(work.key)
        self._start(self._give(work, request, task, worker))

    async def _give(self, work: Work, request: RequestState, task: TaskState | None, worker: Worker) -> None:
        try:
            if work.kind != "order":
                extra = self._delivery(request) if work.kind == "deliver" else {}
                await self._jobs.give(work.kind, request, task, worker, **extra)
            elif task is not None:
                await self._orders.give(request, task, worker, self._crew.broker.assign)
        except WorkspaceError as error:
            await self._context.journal.commit(failing(request, error.code, error.message, error.hint))
        finally:
            self._giving.discard(work.key)
            if not self._is_held(work):
                self._context.state.touched[work.request_id] = None
                self._context.wake.set()

    def _delivery(self, request: RequestState) -> dict[str, Any]:
        head = self._context.journal.master.head
        trailers = {"Swarmd-Request": request.request_id, "Swarmd-Log": f"{head.seq} {head.hash}"}
        return {"message": commit_message(request), "trailers": trailers}

    def close(self) -> None:
        """End what is under way (it may be waiting for a full disk); the next daemon begins it again."""
        self._plans.close()
        for task in self._tasks:
            task.cancel()
