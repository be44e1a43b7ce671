"""How a request ends: its message, its result, and the folders it leaves."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from swarmd import durable
from swarmd.bus import outbox
from swarmd.clock import rfc3339
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event
from swarmd.daemon.needs import is_optional, required_failure
from swarmd.daemon.state import SNAPSHOT, RequestState, TaskState
from swarmd.daemon.steps import is_unjudged
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.knowledge import Lesson, add
from swarmd.messages import AuditPoint, ErrorInfo, Result, TaskResult, Usage, dump, load
from swarmd.workspace import remove_tree

__all__ = [
    "REOPENABLE",
    "Finisher",
    "can_reopen",
    "clear_workspace",
    "commit_message",
    "publish_result",
]

Status = Literal["succeeded", "unconfirmed", "failed", "cancelled", "rejected"]
DELIVERED: frozenset[Status] = frozenset({"succeeded", "unconfirmed"})
"""Of these there is a branch."""

SUBJECT_CHARS = 72
REOPENABLE = frozenset({"failed", "cancelled"})
"""Requests that ended like this can be opened again."""


class Finisher:
    """Writes the one result of each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def finish(self, request: RequestState) -> None:
        """End ``request``: its result as a payload, the line, then the outbox and the folders.

        Whatever of the last steps a crash leaves undone is done at the next start.
        """
        request_id = request.request.request_id
        result = self._result(request)
        data = dump(result)
        folder = self._context.home.request_folder(request_id)
        files = {folder / "result.json": data}
        if result.status in REOPENABLE:
            files[folder / "state.json"] = SNAPSHOT.dump_json(request, indent=2)
        await self._context.journal.commit(
            event(
                "request_complete",
                level="info" if result.status == "succeeded" else "warning",
                request_id=request_id,
                status=result.status,
                latency_ms=round(result.seconds * 1000),
                data={
                    "summary": result.summary[:2000],
                    "branch": result.branch,
                    "commit": result.commit,
                    "result_sha256": hashlib.sha256(data).hexdigest(),
                    "error": result.error.code if result.error else None,
                },
            ),
            files=files,
        )
        if result.status not in REOPENABLE:  # what an earlier end had left, before it was opened again
            with contextlib.suppress(OSError):
                durable.remove(folder / "state.json")
        self._learn(request)
        await publish_result(self._context, request_id, data)

    async def publish_rest(self) -> None:
        """Try again what the outbox did not take."""
        for request_id, data in list(self._context.unpublished.items()):
            await publish_result(self._context, request_id, data)

    def _result(self, request: RequestState) -> Result:
        head = self._context.journal.master.head
        status, error = _status(request)
        now = self._context.clock.now()
        return Result(
            request_id=request.request.request_id,
            status=status,
            summary=_summary(request, status, error),
            workspace=request.request.workspace or (request.survey.workspace if request.survey else None),
            branch=request.branch if status in DELIVERED else None,
            base_commit=request.survey.base_commit if request.survey else None,
            commit=request.commit if status in DELIVERED else None,
            patch=request.patch,
            plan_origin=request.plan.origin if request.plan else None,
            tasks=[self._task_result(request, task) for task in request.tasks.values()],
            tokens={"local": _tokens(request.usage), "cloud": _tokens(request.cloud_usage)},
            cost_micro_usd={"local": 0, "cloud": request.cloud_usage.micro_usd},
            seconds=(now - datetime.fromisoformat(request.received_ts)).total_seconds(),
            warnings=_unique(request.warnings + _optional_failures(request)),
            not_verified=_unique(request.not_verified + only_by_models(request)),
            warrants=request.warrants,
            error=error,
            audit=AuditPoint(log="master.jsonl", seq=head.seq, hash=head.hash),
            finished_at=rfc3339(now),
        )

    def _task_result(self, request: RequestState, task: TaskState) -> TaskResult:
        verdict = None
        with contextlib.suppress(OSError, ValueError):  # lost files take the evidence, not the result
            verdict = self._context.state.verdict(request.request.request_id, task)
        return TaskResult(
            task_id=task.packet.task_id,
            agent_type=task.packet.agent_type,
            action=task.packet.action,
            status=task.status if task.ended else "cancelled",
            attempts=task.attempt,
            samples=len(task.history),
            tier=task.tier,
            gates=verdict.gates if verdict else [],
            usage=task.usage,
            reason=task.reason or (task.text if task.packet.agent_type == "review" else ""),
        )

    def _learn(self, request: RequestState) -> None:
        """Write down what passed and failed. A lesson that cannot be written changes no result."""
        for task in request.tasks.values():
            if not task.history:
                continue  # nothing was judged
            with contextlib.suppress(OSError, ValueError):
                add(
                    self._context.home.knowledge / "lessons",
                    _lesson(request, task),
                    self._context.clock.now(),
                )


def _lesson(request: RequestState, task: TaskState) -> Lesson:
    last = task.history[-1] if task.history else None
    well = "all gates passed"
    if last and last.way == "settle":
        well += ", but they were only examples, and no second answer agreed"
    why = last.failure.digest if last and last.failure else task.reason or well
    return Lesson(
        request_id=request.request.request_id,
        task_id=task.packet.task_id,
        agent_type=task.packet.agent_type,
        kind=request.plan.kind if request.plan else request.request.kind,
        passed=task.status == "succeeded",
        why=why[:1000],
        tier=task.tier,
        attempts=task.attempt,
        files=task.packet.files_owned[:16],
    )


def can_reopen(folder: Path) -> bool:
    """Whether the request whose folder that is, in bus/done/, ended as one that may be opened again."""
    try:
        result = load(Result, (folder / "result.json").read_bytes())
    except (OSError, ValidationError):
        return False
    return result.status in REOPENABLE and (folder / "state.json").is_file()


async def publish_result(context: Context, request_id: str, data: bytes) -> None:
    """Put a committed result into the outbox and clear the request's folders. May be repeated, and is
    when it is not possible now: on a full disk, or with something else in the way."""
    try:
        _publish(context, request_id, data)
    except durable.FsyncFailedError as error:
        context.journal.fail(error)
        raise
    except (OSError, ValueError, SwarmdError) as error:
        if request_id not in context.unpublished:
            context.unpublished[request_id] = data
            why = {"reason": str(error)[:1000]}
            await context.journal.commit(
                event("result_waits", level="error", request_id=request_id, data=why)
            )
    else:
        context.unpublished.pop(request_id, None)
        context.state.published(request_id)


def _publish(context: Context, request_id: str, data: bytes) -> None:
    for path in context.home.request_folder(request_id).glob("**/.*.tmp"):
        durable.remove(path)  # a verifier was killed while it wrote
    # Unsynced: until the next checkpoint has synced them, a fold finds the request's end and looks again.
    outbox.put(context.home, request_id, data)
    folder = outbox.archive(context.home, request_id, context.clock.now().date())
    clear_workspace(context.home, request_id, keep_work=(folder / "state.json").exists())


def clear_workspace(home: Home, request_id: str, *, keep_work: bool) -> None:
    """Remove what was made for a request that has ended. A new project is the user's, and stays; with
    ``keep_work`` so does the private repository, from which the request can be taken up again."""
    workspace = home.workspace(request_id)
    if not workspace.is_dir():
        return
    kept = {"project", "repo.git"} if keep_work else {"project"}
    for entry in list(workspace.iterdir()):
        if entry.name not in kept:
            remove_tree(entry, within=home.workspaces)
    with contextlib.suppress(OSError):
        workspace.rmdir()


def only_by_models(request: RequestState) -> list[str]:
    """New behaviour has no test of the user's: that must not look like proof."""
    if not request.plan or request.plan.kind not in ("feature", "project"):
        return []
    tested = any(t.packet.agent_type == "testing" and t.status == "succeeded" for t in request.tasks.values())
    by = "tests that a model wrote" if tested else "no test at all"
    examples = len(request.survey.examples) if request.survey else 0
    if examples:
        by = f"{examples} example{'s' if examples > 1 else ''} of what it should do"
    return [f"what is new is checked by {by}; the project's own tests say only that nothing else broke"]


def _optional_failures(request: RequestState) -> list[str]:
    return [
        f"{task.packet.task_id} ({task.packet.agent_type}) did not succeed: {task.reason}"
        for task in request.tasks.values()
        if task.status == "failed" and is_optional(request, task)
    ]


def _status(request: RequestState) -> tuple[Status, ErrorInfo | None]:
    if request.stage == "cancelling":
        return "cancelled", None
    if request.error is not None:
        error = ErrorInfo.model_validate(request.error)
        refused = error.code.startswith(("E-WORKSPACE", "E-KIND"))
        return ("rejected" if refused else "failed"), error
    failed = required_failure(request)
    if failed is not None:
        return "failed", ErrorInfo(
            code="E-TASK-FAILED",
            message=f"{failed.packet.task_id} ({failed.packet.agent_type}): {failed.reason}",
            hint="Look at the attempts with: "
            f'"swarmd log --task {failed.packet.task_id}"; a larger model in swarmd.toml may do it.',
        )
    unconfirmed = _was_settled(request) or (request.commit is not None and is_unjudged(request))
    return ("unconfirmed" if unconfirmed else "succeeded"), None


def _was_settled(request: RequestState) -> bool:
    """Whether code was taken that passed its gates, and that no second answer confirmed."""
    ended_well = (task for task in request.tasks.values() if task.status == "succeeded")
    taken = (next((one for one in reversed(task.history) if one.ok), None) for task in ended_well)
    return any(one is not None and one.way == "settle" for one in taken)


def _summary(request: RequestState, status: Status, error: ErrorInfo | None) -> str:
    if status == "cancelled":
        return "Cancelled before it was finished; nothing was delivered."
    if error is not None:
        return f"Nothing was delivered. {error.message}"
    texts = [task.summary for task in request.tasks.values() if task.summary]
    review = [t.text for t in request.tasks.values() if t.packet.agent_type == "review" and t.text]
    if request.plan and request.plan.kind == "deploy":
        return "A deployment plan was written; nothing was deployed: it waits for a warrant."
    said = (texts[-1] if texts else "") or "\n".join(review) or commit_message(request).splitlines()[0]
    return f"Not confirmed, look at it before you use it. {said}" if status == "unconfirmed" else said


def commit_message(request: RequestState) -> str:
    """The git agent's message, or one made from the request's own words."""
    for task in request.tasks.values():
        if task.packet.agent_type == "git" and task.text.strip():
            return task.text.strip()
    words = " ".join(request.request.user_request.split())
    subject = words if len(words) <= SUBJECT_CHARS else words[: SUBJECT_CHARS - 1].rsplit(" ", 1)[0] + "…"
    return f"{subject}\n"


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))
