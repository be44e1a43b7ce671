"""Agents' work: what the next sample of a task is, who makes it, and what came of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from swarmd.agents.factory import Worker
from swarmd.agents.spec import AgentType
from swarmd.bus.channel import ChannelClosedError
from swarmd.bus.spool import AgentSpool
from swarmd.coding.diffs import changed_paths, is_small
from swarmd.coding.policy import Stop, Try
from swarmd.config import PolicySettings, Settings
from swarmd.council import warrants
from swarmd.daemon import task_events, transcripts
from swarmd.daemon.call_context import call_context
from swarmd.daemon.context import Context
from swarmd.daemon.formats import Formats
from swarmd.daemon.journal import Event, event
from swarmd.daemon.state import RequestState, TaskState
from swarmd.daemon.steps import judged_before, models_of, step_of, then
from swarmd.errors import AgentError, SwarmdError, WorkspaceError
from swarmd.knowledge.patterns import choose
from swarmd.messages import CallContext, Failure, Order, Outcome, Proposal, Tier, dump, load
from swarmd.models.privacy import tighter

__all__ = ["Orders", "needs_no_model"]

PATTERN_CHARS = 600
"""Most characters of a knowledge page in a prompt."""
Assign = Callable[[str, CallContext, int], Awaitable[None]]
"""Of an agent by its name: what its calls are part of, and how many tokens that request has used."""
STATIC_RULES_READ = (".py", ".pyi")
"""What the static rules can read; other changes are read by a model however small they are."""
DIFF_CHARS = 24_000
"""Most characters of a diff in an order; the agent's context budget cuts it further."""


class Orders:
    """Gives orders to agents and takes their proposals."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._formats = Formats(context)
        self._snapshots: dict[tuple[str, str], Path] = {}
        self._layouts: dict[str, asyncio.Lock] = {}
        self._settling: set[str] = set()
        """Orders whose proposal was taken and is not in the log yet."""

    def is_settling(self, task: TaskState) -> bool:
        """Whether the proposal for what ``task`` waits for has come and is about to be committed."""
        return task.order_id in self._settling

    async def give(self, request: RequestState, task: TaskState, worker: Worker, assign: Assign) -> None:
        """Have ``worker`` make the next sample, if one is still wanted. The caller has reserved the
        worker (``work`` is set). ``assign`` tells the broker what the worker's calls are part of.

        Raises WorkspaceError when the project's files cannot be laid out for it; it holds nothing then.
        """
        journal, spool = self._context.journal, AgentSpool(self._context.home, worker.name)
        step = step_of(self._context, request, task)
        if task.status != "ready" or isinstance(step, Stop):
            self._free(worker)
            return
        try:
            order = await self._order(request, task, step)
            name = await journal.with_room(lambda: spool.write_order(order))
        except (SwarmdError, OSError) as error:
            if worker.ended.is_set():
                return  # meanwhile, and its folders are gone with it; the next pass takes another
            self._free(worker)
            why = f"the order cannot be written: {error}"
            raise WorkspaceError(why, code="E-ORDER", hint="Is the disk full?") from error
        if worker.ended.is_set():
            return
        worker.work = order.order_id
        # Before it has its order: what its calls are part of is not for the agent to say.
        about = call_context(self._context.settings, request, task.packet, step.attempt)
        used = request.usage + request.cloud_usage
        await assign(worker.name, about, used.prompt_tokens + used.completion_tokens)
        expires = self._context.clock.boot() + self._context.settings.daemon.hung_after_s
        await journal.commit(*task_events.assigned(task, order, step, worker.name, expires))
        try:
            await worker.channel.send({"op": "order", "file": name})
        except ChannelClosedError:
            return  # its end is reported by the zygote, and the order is given back then

    def _free(self, worker: Worker) -> None:
        worker.work = worker.request_id = worker.task_id = None
        worker.idle_since = self._context.clock.boot()
        self._context.wake.set()

    async def _order(self, request: RequestState, task: TaskState, step: Try) -> Order:
        agent_type = self._context.types.valid[task.packet.agent_type]
        request_id, packet, epoch = request.request.request_id, task.packet, task.epoch + 1
        snapshot, diff, survey, pattern = "", None, "", None
        if request.survey is not None:
            async with self._layout_of(request_id):  # its tasks share a snapshot
                found, diff = await asyncio.to_thread(self._snapshot, request, agent_type.role)
            snapshot, pattern = str(found), self._pattern(request.request.user_request)
            survey = str(self._context.home.request_folder(request_id) / "survey.json")
        policy, inference = self._context.settings.policy, agent_type.inference
        first = step.nth == 1 and inference.temperature is not None
        return Order(
            order_id=f"{packet.packet_id}.a{step.attempt}.s{step.sample}.e{epoch}",
            packet=packet.model_copy(
                update={"status": "running", "tier": step.tier, "attempt": step.attempt}
            ),
            epoch=epoch,
            user_request=request.request.user_request,
            snapshot=snapshot,
            survey=survey,
            attempt=step.attempt,
            sample=step.sample,
            tier=step.tier,
            temperature=inference.temperature if first and inference.temperature else step.temperature,
            seed=_seed(packet.packet_id, step),
            max_tokens=inference.max_tokens or policy.reply_tokens.of(step.tier),
            context_tokens=inference.context_tokens or policy.context_tokens.of(step.tier),
            privacy=tighter(request.request.privacy, self._context.settings.privacy),
            feedback=step.feedback or _earlier_failure(task),
            nth=step.nth,
            copies=policy.copies.of(step.tier),
            width=step.width,
            way=step.way,
            forms=await self._formats.of(agent_type, step.tier),
            continues=_continues(self._context.settings, agent_type, step.tier),
            previous_patch=self._patch_of(request_id, task, step),
            judged=judged_before(task),
            pattern=pattern,
            diff=diff,
            small=needs_no_model(policy, agent_type.role, request.plan.kind if request.plan else None, diff),
        )

    def _layout_of(self, request_id: str) -> asyncio.Lock:
        """Held while the project's files are laid out for one of the request's tasks."""
        if request_id not in self._layouts:
            active = self._context.state.requests
            self._layouts = {key: lock for key, lock in self._layouts.items() if key in active}
        return self._layouts.setdefault(request_id, asyncio.Lock())

    def _snapshot(self, request: RequestState, role: str) -> tuple[Path, str | None]:
        """The files as they stand at the integration tip, and the diff so far for who reads it."""
        assert request.survey is not None
        repo = self._context.repo(request.request.request_id)
        tip = repo.tip()
        name = f"snapshot-{tip[:16]}"
        folder = self._snapshots.get((request.request.request_id, tip))
        if folder is None or not folder.is_dir():
            folder = repo.checkout(tip, name)
            active = self._context.state.requests
            self._snapshots = {key: known for key, known in self._snapshots.items() if key[0] in active}
            self._snapshots[(request.request.request_id, tip)] = folder
        if role not in ("review", "docs", "git", "testing"):
            return folder, None
        return folder, repo.diff(request.survey.base_commit, tip)[:DIFF_CHARS]

    def _pattern(self, text: str) -> str | None:
        pattern = choose(self._context.home.knowledge / "patterns", text, budget=PATTERN_CHARS)
        return pattern.text if pattern else None

    def _patch_of(self, request_id: str, task: TaskState, step: Try) -> str | None:
        """The patch that ``step`` is to repair: of several orders for that sample the last one's, and of
        several patches the one that came nearest."""
        if step.repairs is None:
            return None
        attempt, sample = step.repairs
        same = [o for o in task.history if (o.attempt, o.sample) == step.repairs]
        folder = self._context.home.request_folder(request_id) / "proposals"
        begin = f"{task.packet.packet_id}.a{attempt}.s{sample}.e"
        found = [path for path in folder.glob("*.json") if path.name.startswith(begin)]
        try:
            newest = max(found, key=lambda path: int(path.stem.removeprefix(begin)))
            patches = load(Proposal, newest.read_bytes()).patches
            return patches[same[-1].chosen if same else 0] or None
        except (OSError, ValueError, IndexError):
            return None

    async def take(self, worker: Worker, file: str) -> None:
        """Take the proposal that ``worker`` announced; one that nobody waits for is logged and dropped.

        Raises AgentError when it holds no order: then it breaks the rules.
        """
        request_id, task_id, order_id = worker.request_id, worker.task_id, worker.work
        found = self._context.task(request_id, task_id)
        if not found or not found[1].held_by(worker.name, order_id):
            await self._drop(worker, request_id, task_id, "", "nobody waits for it")
            raise AgentError("it made a proposal that nobody had asked it for")
        proposal, reason = self._read(worker, file, order_id)
        if proposal is not None and (count := len(proposal.patches)) > found[1].width:
            proposal, reason = None, f"it has {count} patches, not {found[1].width}"
        # From here on it may be given its next order: nothing of this one may be touched after.
        self._free(worker)
        settling = found[1].order_id or ""
        self._settling.add(settling)
        try:
            if proposal is None:
                await self._drop(worker, request_id, task_id, settling, reason)
            else:
                await self._accept(*found, proposal, worker)
        finally:
            self._settling.discard(settling)

    def _read(self, worker: Worker, file: str, order_id: str | None) -> tuple[Proposal | None, str]:
        """The proposal, out of the spool; None with the reason when it is no good."""
        spool = AgentSpool(self._context.home, worker.name)
        proposal, reason = None, ""
        try:
            found = spool.read_proposal(file)
            dump(found)
            proposal = found
        except AgentError as error:
            reason = error.message
        except TypeError as error:  # a number that no JSON of ours can hold
            reason = str(error)
        try:
            spool.clear()
        except OSError as error:  # it tampers with its folder while that is emptied
            raise AgentError(f"its spool cannot be emptied: {error.strerror}") from error
        if proposal is not None and proposal.order_id != order_id:
            return None, f"it answers {proposal.order_id[:200]}, not {order_id}"
        return proposal, reason

    async def _drop(
        self, worker: Worker, request_id: str | None, task_id: str | None, order_id: str, reason: str
    ) -> None:
        events = [
            event(
                "proposal_dropped",
                actor=worker.name,
                level="warning",
                request_id=request_id,
                task_id=task_id,
                data={"agent_type": worker.agent_type, "reason": reason},
            )
        ]
        if order_id:
            events.append(
                event(
                    "lease_expired",
                    actor=worker.name,
                    level="warning",
                    request_id=request_id,
                    task_id=task_id,
                    data={"work": order_id, "crashed": 1, "agent_type": worker.agent_type},
                )
            )
        await self._context.journal.commit(*events)

    async def _accept(
        self, request: RequestState, task: TaskState, proposal: Proposal, worker: Worker
    ) -> None:
        """Freeze the proposal as a payload, then let its kind decide what happens to it."""
        proposal = transcripts.keep(self._context.home, request, task, proposal, worker.name)
        request_id, packet = request.request.request_id, task.packet
        name = f"{proposal.order_id}.json"
        folder = self._context.home.request_folder(request_id) / "proposals"
        received = event(
            "proposal_received",
            actor=worker.name,
            request_id=request_id,
            task_id=packet.task_id,
            tier=task.tier,
            attempt=task.attempt,
            data={
                "agent_type": packet.agent_type,
                "order_id": proposal.order_id,
                "kind": proposal.kind,
                "file": name,
                "sha256": hashlib.sha256(proposal.patch.encode()).hexdigest() if proposal.patch else "",
                "completion_tokens": proposal.usage.completion_tokens,
            },
        )
        judged = proposal.kind in ("patch", "findings", "plan")  # what only says something is in the lines
        journal, files = self._context.journal, {folder / name: dump(proposal)} if judged else {}
        events = await journal.with_room(lambda: self._consequences(request, task, proposal))
        await journal.commit(received, *events, files=files)

    def _consequences(self, request: RequestState, task: TaskState, proposal: Proposal) -> list[Event]:
        match proposal.kind:
            case "none":
                failure = proposal.failure or Failure(
                    kind="nothing", digest=proposal.text[:1500] or "no proposal", signature="nothing"
                )
                outcome = Outcome(
                    attempt=task.attempt,
                    sample=task.sample,
                    width=task.width,
                    way=task.way,
                    tier=task.tier,
                    ok=False,
                    failure=failure,
                )
                follows = then(self._context, request, task, outcome)
                return [task_events.judged(request, task, outcome, then=follows)]
            case "message":
                return [task_events.completed(request, task, proposal)]
            case "plan":
                return [
                    self._ask_for_warrant(request, task, proposal),
                    task_events.completed(request, task, proposal),
                ]
            case _:
                return []  # patches and findings wait for a verifier

    def _ask_for_warrant(self, request: RequestState, task: TaskState, proposal: Proposal) -> Event:
        warrant = warrants.ask(
            self._context.home.warrants,
            action="deploy",
            request_id=request.request.request_id,
            diff_sha256=hashlib.sha256(proposal.text.encode()).hexdigest(),
            base_commit=request.survey.base_commit if request.survey else "",
            summary=f"Carry out this deployment plan:\n{proposal.text}",
            now=self._context.clock.now(),
        )
        return event(
            "warrant_requested",
            request_id=request.request.request_id,
            task_id=task.packet.task_id,
            data={"warrant": warrant.warrant_id, "action": "deploy", "agent_type": task.packet.agent_type},
        )


def needs_no_model(policy: PolicySettings, role: str, kind: str | None, diff: str | None) -> bool:
    """Whether the review of ``diff``, or its commit message, is made without a model, for a request of
    ``kind``."""
    if role not in ("review", "git") or not diff or len(diff) >= DIFF_CHARS:
        return False
    if role == "review":
        readable = all(path.endswith(STATIC_RULES_READ) for path in changed_paths(diff))
        if policy.review == "block" or kind == "review" or not readable:
            return False
    return is_small(diff, policy.small_diff)


def _earlier_failure(task: TaskState) -> Failure | None:
    """The last failure from before the request was opened again: the first new sample is shown it."""
    before = task.history[: task.earlier] if len(task.history) == task.earlier else []
    return next((outcome.failure for outcome in reversed(before) if outcome.failure), None)


def _continues(settings: Settings, agent_type: AgentType, tier: Tier) -> bool:
    """Whether the model of ``tier`` goes on with a reply that was begun for it."""
    model = settings.models.get(models_of(settings, agent_type)[tier])
    return model is not None and model.goes_on


def _seed(packet_id: str, step: Try) -> int:
    """The same packet, attempt and sample draw the same numbers: a run can be repeated."""
    digest = hashlib.sha256(f"{packet_id}/{step.attempt}/{step.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
