"""Verifiers' work: preparing a request, judging, integrating and delivering."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Literal

from pydantic import ValidationError

from swarmd.agents.factory import Worker
from swarmd.agents.spec import Role
from swarmd.bus.channel import ChannelClosedError
from swarmd.clock import short_id
from swarmd.council import warrants
from swarmd.daemon import task_events
from swarmd.daemon.context import Context
from swarmd.daemon.journal import Event, event
from swarmd.daemon.state import RequestState, TaskState
from swarmd.daemon.steps import models_of, then
from swarmd.messages import (
    DISK_FULL,
    ErrorInfo,
    Failure,
    GateResult,
    Job,
    JobReport,
    Outcome,
    Survey,
    Verdict,
    dump,
    load,
)

__all__ = ["Jobs"]

POSTPONE_S = 2.0
"""How long a job that found no room on the disk waits before it is given again."""

Kind = Literal["prepare", "judge", "integrate", "deliver"]


class Jobs:
    """Gives jobs to verifiers and takes their reports."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._given: dict[str, Job] = {}

    async def give(
        self,
        kind: Kind,
        request: RequestState,
        task: TaskState | None,
        worker: Worker,
        *,
        message: str = "",
        trailers: dict[str, str] | None = None,
    ) -> None:
        """Have ``worker`` do one job. The caller has reserved the worker (``work`` is set)."""
        job = Job(
            job_id=f"{kind}-{short_id(10)}",
            kind=kind,
            request=request.request,
            packet=task.packet if task else None,
            role=self._role(task),
            order_id=task.order_id if task else None,
            proposal=self._proposal_path(request, task),
            model=self._model(task),
            settles=task is not None and task.way == "settle",
            message=message,
            trailers=trailers or {},
        )
        worker.work = job.job_id
        active = self._context.state.requests
        self._given = {key: old for key, old in self._given.items() if old.request.request_id in active}
        self._given[job.job_id] = job
        if kind == "judge" and task is not None:
            await self._context.journal.commit(self._start_event(request, task, worker))
        try:
            await worker.channel.send({"op": "job", "job": job.model_dump(mode="json")})
        except ChannelClosedError:
            return  # its end is reported by the zygote, and the job is given again

    def _role(self, task: TaskState | None) -> Role | None:
        """What kind of work its agent type does: it decides by which rules a proposal is judged."""
        agent_type = self._context.types.valid.get(task.packet.agent_type) if task else None
        return agent_type.role if agent_type else None

    def _model(self, task: TaskState | None) -> str:
        """Which model was asked for what is judged."""
        agent_type = self._context.types.valid.get(task.packet.agent_type) if task else None
        return models_of(self._context.settings, agent_type)[task.tier] if task and agent_type else ""

    def _proposal_path(self, request: RequestState, task: TaskState | None) -> str | None:
        if task is None or task.proposal is None:
            return None
        folder = self._context.home.request_folder(request.request.request_id)
        return str(folder / "proposals" / task.proposal)

    def _start_event(self, request: RequestState, task: TaskState, worker: Worker) -> Event:
        return event(
            "verification_start",
            actor=worker.name,
            request_id=request.request.request_id,
            task_id=task.packet.task_id,
            tier=task.tier,
            attempt=task.attempt,
            data={"agent_type": task.packet.agent_type, "order_id": task.order_id, "sample": task.sample},
        )

    async def take(self, worker: Worker, raw: dict[str, Any]) -> None:
        """Take the report that ``worker`` brought; one for a job that is not awaited is dropped."""
        job = self._given.pop(worker.work or "", None)
        worker.work = worker.request_id = worker.task_id = None
        worker.idle_since = self._context.clock.boot()
        self._context.wake.set()
        try:
            report = JobReport.model_validate(raw)
        except ValidationError as error:
            report = None
            detail = str(error)
        if report is None or job is None or report.job_id != job.job_id:
            why = "no such job" if report else detail[:500]
            await self._context.journal.commit(
                event(
                    "report_dropped",
                    actor=worker.name,
                    level="warning",
                    request_id=job.request.request_id if job else None,
                    data={"reason": why},
                )
            )
            return
        request = self._context.state.requests.get(job.request.request_id)
        if request is not None:
            await self._record(worker, job, report, request)

    async def _record(self, worker: Worker, job: Job, report: JobReport, request: RequestState) -> None:
        if report.error is not None and report.error.code == DISK_FULL:
            await self._postpone(worker, job, report.error)
            return
        match job.kind:
            case "prepare":
                await self._prepared(worker, report, request)
            case "judge":
                await self._judged(worker, job, report, request)
            case "integrate":
                await self._integrated(worker, job, report, request)
            case "deliver":
                await self._delivered(worker, report, request)

    async def _postpone(self, worker: Worker, job: Job, error: ErrorInfo) -> None:
        """Give the job again in a moment: its line has the request looked at."""
        await asyncio.sleep(POSTPONE_S)
        await self._context.journal.commit(
            event(
                "job_postponed",
                actor=worker.name,
                level="warning",
                request_id=job.request.request_id,
                task_id=job.packet.task_id if job.packet else None,
                data={"kind": job.kind, "code": error.code, "message": error.message[:500]},
            )
        )

    async def _prepared(self, worker: Worker, report: JobReport, request: RequestState) -> None:
        request_id = request.request.request_id
        if not report.ok:
            await self._context.journal.commit(_failing(request_id, report.error))
            return
        path = self._context.home.request_folder(request_id) / "survey.json"
        try:
            survey = load(Survey, path.read_bytes())
        except (OSError, ValidationError) as error:
            lost = ErrorInfo(code="E-SURVEY", message=f"{path} cannot be read: {error}")
            await self._context.journal.commit(_failing(request_id, lost))
            return
        data = {
            "base_commit": survey.base_commit,
            "base": survey.base_name,
            "language": survey.language,
            "gates": [_gate_facts(gate) for gate in survey.base_results],
            "passing_tests": len(survey.base_passed),
            "failing_tests": survey.base_failed[:20],
            "warnings": survey.warnings,
        }
        await self._context.journal.commit(
            event("request_prepared", actor=worker.name, request_id=request_id, data=data)
        )

    async def _judged(self, worker: Worker, job: Job, report: JobReport, request: RequestState) -> None:
        found = self._task_of(job, request)
        if found is None:
            return
        verdict = report.verdict or _broken_verdict(job, report.error)
        outcome, journal = _outcome(found, verdict), self._context.journal
        events = await journal.with_room(lambda: self._applied_events(request, found, verdict, worker))
        events.append(self._verdict_event(request, found, verdict, outcome, worker))
        if verdict.ok and not verdict.diff_files:
            events.append(_done(request, found, worker, commit=None, summary=report.summary))
        await journal.commit(*events, files=self._verdict_file(request, verdict))

    def _task_of(self, job: Job, request: RequestState) -> TaskState | None:
        """The task that a report is about, unless it has moved on since."""
        task = request.tasks.get(job.packet.task_id) if job.packet else None
        return task if task and task.status == "verifying" and task.order_id == job.order_id else None

    def _verdict_file(self, request: RequestState, verdict: Verdict) -> dict[Any, bytes]:
        folder = self._context.home.request_folder(request.request.request_id) / "verdicts"
        return {folder / f"{verdict.order_id}.json": dump(verdict)}

    def _verdict_event(
        self, request: RequestState, task: TaskState, verdict: Verdict, outcome: Outcome, worker: Worker
    ) -> Event:
        return task_events.judged(
            request,
            task,
            outcome,
            verdict=f"{verdict.order_id}.json",
            gates=[_gate_facts(gate) for gate in verdict.gates],
            actor=worker.name,
            then=then(self._context, request, task, outcome),
        )

    def _applied_events(
        self, request: RequestState, task: TaskState, verdict: Verdict, worker: Worker
    ) -> list[Event]:
        events = []
        if verdict.patch_sha256 and verdict.diff_files:
            events.append(
                event(
                    "patch_applied",
                    actor=worker.name,
                    request_id=request.request.request_id,
                    task_id=task.packet.task_id,
                    tier=task.tier,
                    attempt=task.attempt,
                    diff_size=verdict.diff_lines,
                    data={
                        "agent_type": task.packet.agent_type,
                        "sha256": verdict.patch_sha256,
                        "files": verdict.diff_files,
                    },
                )
            )
        if verdict.protected:
            events.append(self._protected_event(request, task, verdict))
        return events

    def _protected_event(self, request: RequestState, task: TaskState, verdict: Verdict) -> Event:
        """A patch wanted to change what judges it: that part is left out and a human is asked."""
        assert request.survey is not None
        proposal = (
            self._context.home.request_folder(request.request.request_id) / "proposals" / f"{task.proposal}"
        )
        warrant = warrants.ask(
            self._context.home.warrants,
            action="protected",
            request_id=request.request.request_id,
            diff_sha256=hashlib.sha256(proposal.read_bytes()).hexdigest(),
            base_commit=request.survey.base_commit,
            summary="Change files that decide whether the work is good: " + ", ".join(verdict.protected),
            now=self._context.clock.now(),
        )
        return event(
            "warrant_requested",
            level="warning",
            request_id=request.request.request_id,
            task_id=task.packet.task_id,
            data={
                "warrant": warrant.warrant_id,
                "action": "protected",
                "paths": verdict.protected,
                "agent_type": task.packet.agent_type,
            },
        )

    async def _integrated(self, worker: Worker, job: Job, report: JobReport, request: RequestState) -> None:
        task = self._task_of(job, request)
        if task is None:
            return
        if report.ok:
            await self._context.journal.commit(
                _done(request, task, worker, commit=report.commit, summary=report.summary)
            )
            return
        verdict = report.verdict or _broken_verdict(job, report.error)
        await self._context.journal.commit(
            self._verdict_event(request, task, verdict, _outcome(task, verdict), worker),
            files=self._verdict_file(request, verdict),
        )

    async def _delivered(self, worker: Worker, report: JobReport, request: RequestState) -> None:
        request_id = request.request.request_id
        if not report.ok:
            await self._context.journal.commit(_failing(request_id, report.error))
            return
        await self._context.journal.commit(
            event(
                "request_delivered",
                actor=worker.name,
                request_id=request_id,
                data={
                    "branch": report.branch,
                    "commit": report.commit,
                    "patch": report.patch,
                    "warnings": report.warnings,
                },
            )
        )


def _gate_facts(gate: GateResult) -> dict[str, Any]:
    counts = gate.counts
    return {
        "gate": gate.gate,
        "ok": gate.ok,
        "exit_code": gate.exit_code,
        "ms": round(gate.seconds * 1000),
        "passed": counts.passed,
        "failed": counts.failed + counts.errors,
        "findings": counts.findings,
        "sandbox": gate.sandbox_level,
        "detail": gate.detail[:300],
    }


def _outcome(task: TaskState, verdict: Verdict) -> Outcome:
    return Outcome(
        attempt=task.attempt,
        sample=task.sample,
        width=task.width,
        way=task.way,
        tier=task.tier,
        ok=verdict.ok,
        failure=verdict.failure,
        patch_sha256=verdict.patch_sha256,
        diff_lines=verdict.diff_lines,
        diff_files=verdict.diff_files,
        canonical=verdict.canonical,
        chosen=verdict.chosen,
        others=verdict.others,
        red=next((_red(gate) for gate in verdict.gates if not gate.ok), 0),
    )


def _red(gate: GateResult) -> int:
    return len(gate.failures) or len(gate.findings)


def _broken_verdict(job: Job, error: ErrorInfo | None) -> Verdict:
    """The verifier could not judge: that is never a pass."""
    text = f"{error.code}: {error.message}" if error else "the verifier gave no verdict"
    failure = Failure(kind="refused", digest=text[:1500], signature=text[:120])
    return Verdict(order_id=job.order_id or job.job_id, ok=False, failure=failure)


def _done(
    request: RequestState, task: TaskState, worker: Worker, *, commit: str | None, summary: str
) -> Event:
    return event(
        "task_complete",
        actor=worker.name,
        request_id=request.request.request_id,
        task_id=task.packet.task_id,
        tier=task.tier,
        attempt=task.attempt,
        status="succeeded",
        data={
            "agent_type": task.packet.agent_type,
            "commit": commit,
            "summary": summary[:4000],
            "attempts": task.attempt,
            "samples": len(task.history) or 1,
        },
    )


def _failing(request_id: str, error: ErrorInfo | None) -> Event:
    error = error or ErrorInfo(code="E-VERIFIER", message="the verifier gave no reason")
    return event(
        "request_failing",
        level="error",
        request_id=request_id,
        data={"code": error.code, "message": error.message[:4000], "hint": error.hint[:1000]},
    )
