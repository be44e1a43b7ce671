"""Plans: from a received or prepared request to its packets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from swarmd.daemon.call_context import call_context
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.journal import Event, event
from swarmd.daemon.state import RequestState
from swarmd.errors import SwarmdError
from swarmd.messages import ChatCall, ChatReply, Plan, dump
from swarmd.planning import PlanSettings, make_plan, plan_unattached

__all__ = ["Plans", "failing"]


def failing(
    request: RequestState,
    code: str,
    message: str,
    hint: str = 'Run "swarmd doctor"; limits stand in swarmd.toml.',
) -> Event:
    """The line that makes a whole request fail."""
    data = {"code": code, "message": message, "hint": hint}
    return event("request_failing", level="error", request_id=request.request_id, data=data)


class Plans:
    """Makes plans, some with a model's help, in the background."""

    def __init__(self, context: Context, crew: Crew, background: asyncio.TaskGroup) -> None:
        self._context = context
        self._crew = crew
        self._background = background
        self._running: dict[str, asyncio.Task[None]] = {}

    async def unattached(self, request: RequestState) -> bool:
        """Plan a request that is about no project at once. False when it is about one."""
        plan = plan_unattached(
            request.request,
            self._context.types.infos,
            max_attempts=self._context.settings.policy.max_attempts,
        )
        if plan is None:
            return False
        await self._commit(request, plan, 0)
        return True

    def begin(self, request: RequestState) -> None:
        """Plan a prepared request in the background, once."""
        request_id = request.request_id
        if request_id not in self._running:
            self._running[request_id] = self._background.create_task(self._make(request))

    def cancel(self, request_id: str) -> None:
        """Plan that request no more."""
        if (task := self._running.pop(request_id, None)) is not None:
            task.cancel()

    def close(self) -> None:
        """End the planning that is under way; the next daemon begins it again."""
        for task in self._running.values():
            task.cancel()

    async def _make(self, request: RequestState) -> None:
        try:
            await self._plan(request)
        finally:
            self._running.pop(request.request_id, None)
            self._context.wake.set()

    async def _plan(self, request: RequestState) -> None:
        assert request.survey is not None
        policy = self._context.settings.policy
        started = self._context.clock.boot()
        try:
            plan = await make_plan(
                request.request,
                request.survey,
                self._context.types.infos,
                self._asker(request),
                read=self._reader(request.request_id, request.survey.base_commit),
                settings=PlanSettings(
                    context_tokens=policy.context_tokens.deep, max_attempts=policy.max_attempts
                ),
            )
        except SwarmdError as error:
            await self._context.journal.commit(failing(request, error.code, error.message, error.hint))
        except Exception as error:  # one request's plan may not end the daemon, and the next one too
            why = f"planning failed unexpectedly: {error!r}"
            await self._context.journal.commit(failing(request, "E-PLAN", why, "Report this."))
        else:
            took = round((self._context.clock.boot() - started) * 1000)
            await self._commit(request, plan, took)

    async def _commit(self, request: RequestState, plan: Plan, took_ms: int) -> None:
        facts = {
            "origin": plan.origin,
            "kind": plan.kind,
            "tasks": len(plan.packets),
            "note": plan.note[:2000],
        }
        created = event("plan_created", request_id=request.request_id, latency_ms=took_ms, data=facts)
        path = self._context.home.request_folder(request.request_id) / "plan.json"
        await self._context.journal.commit(created, *_task_events(plan), files={path: dump(plan)})

    def _asker(self, request: RequestState) -> Callable[[ChatCall], Awaitable[ChatReply]]:
        async def ask(call: ChatCall) -> ChatReply:
            about = call_context(self._context.settings, request)
            update = {"request_id": request.request_id, "privacy": about.privacy, "about": about}
            return await self._crew.broker.chat(call.model_copy(update=update))

        return ask

    def _reader(self, request_id: str, commit: str) -> Callable[[str], str | None]:
        """Reads a project file as it is in ``commit``; None for what is not there or no text."""
        repo = self._context.repo(request_id)

        def read(path: str) -> str | None:
            data = repo.read(commit, path)
            return None if data is None or b"\0" in data else data.decode("utf-8", "replace")

        return read


def _task_events(plan: Plan) -> list[Event]:
    """Each packet's line, and for those that wait for nothing that they are ready."""
    events = []
    for packet in plan.packets:
        data = {
            "agent_type": packet.agent_type,
            "skill": packet.skill,
            "action": packet.action[:500],
            "files": packet.files_owned[:20],
            "dependencies": packet.dependencies,
            "acceptance": packet.acceptance,
        }
        ids = {"request_id": plan.request_id, "task_id": packet.task_id}
        events.append(event("task_created", tier=packet.tier, data=data, **ids))
        if not packet.dependencies:
            ready = {"agent_type": packet.agent_type}
            events.append(event("task_ready", level="debug", data=ready, **ids))
    return events
