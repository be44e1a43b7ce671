"""Edits code: finds the target, asks for its new version, splices it in. Types without a role do this."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from swarmd.agents.roles import filling
from swarmd.agents.roles.context import RoleContext
from swarmd.coding import evidence, prompts
from swarmd.coding.canonical import canonical, canonical_of_all
from swarmd.coding.diffs import changed_paths, changed_symbols
from swarmd.coding.edits import read_edit
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import EditError, FormatError, NothingError, RepeatedError
from swarmd.coding.reply import continued
from swarmd.coding.surroundings import surroundings
from swarmd.coding.target import Target, choose
from swarmd.errors import ModelError
from swarmd.messages import ChatReply, Order, Proposal
from swarmd.messages.packet import Candidate
from swarmd.workspace.patch import FileChange, make

__all__ = ["run"]

REPEATED = "The reply is code that failed before."
SAME_PROGRAM = "The reply changes comments, spacing or names only: the tests cannot tell it from before."


def run(ctx: RoleContext) -> Proposal:
    """A patch for the order, or why there is none."""
    ctx.beat("reads the project")
    try:
        if ctx.order.way == "fill":
            return filling.run(ctx)
        if ctx.order.way == "settle":
            patch = ctx.order.previous_patch or ""
            return ctx.propose(kind="patch", patch=patch, summary=_summary(changed_paths(patch)))
        targets, failures = _find_targets(ctx)
        if ctx.order.width > 1 and len(targets) == 1:
            versions = [[change] for change in _edit_often(ctx, targets[0], failures)]
        else:
            versions = [_edit_all(ctx, targets, failures)]
    except (EditError, ModelError, RecursionError) as error:
        return ctx.nothing(error)
    first, *others = (Candidate(patch=make(changes), canonical=_canonical(changes)) for changes in versions)
    return ctx.propose(
        kind="patch",
        patch=first.patch,
        canonical=first.canonical,
        others=others,
        summary=_summary(change.path for change in versions[0]),
    )


def _summary(paths: Iterable[str]) -> str:
    return f"Changes {', '.join(paths)}."


def _canonical(changes: Sequence[FileChange]) -> str:
    return canonical_of_all((change.path, change.new or "") for change in changes)


def _edit_all(ctx: RoleContext, targets: Sequence[Target], failures: Sequence[Evidence]) -> list[FileChange]:
    """The new versions of all targets; one that needs no change is no failure beside others that do.

    Raises EditError or ModelError; RepeatedError when together they are what failed before.
    """
    changes: list[FileChange] = []
    unchanged: NothingError | None = None
    judged = ctx.order.judged
    if len(targets) > 1:  # those were whole patches: a part of one may be right
        ctx = replace(ctx, order=ctx.order.model_copy(update={"judged": []}))
    for target in targets:
        try:
            changes.append(_edit(ctx, target, failures))
        except NothingError as error:
            unchanged = unchanged or error
    if not changes and unchanged is not None:
        raise unchanged
    if _canonical(changes) in judged:
        raise RepeatedError(REPEATED)
    return changes


def _find_targets(ctx: RoleContext) -> tuple[list[Target], list[Evidence]]:
    """What to edit, and the failing tests that say so. Raises FormatError when nothing can be found."""
    survey = ctx.survey
    found = evidence.collect(evidence.relevant(survey, ctx.task), survey, ctx.read)
    order, repaired = ctx.order, changed_paths(ctx.order.previous_patch or "")
    owned = order.packet.files_owned
    targets = choose(owned, ctx.task, survey, ctx.read, found, ctx.tags, sample=order.nth, repaired=repaired)
    if not targets:
        raise FormatError("Nothing says which file to change; name it in the request.")
    paths = {target.path for target in targets}
    return targets, [item for item in found if item.paths & paths] or found


def _edit(ctx: RoleContext, target: Target, failures: Sequence[Evidence]) -> FileChange:
    """The new version of one file."""
    return FileChange(target.path, target.source, _new_text(ctx, _task(ctx, target, failures)))


def _edit_often(ctx: RoleContext, target: Target, failures: Sequence[Evidence]) -> list[FileChange]:
    """New versions of one file, drawn at one time; of those that are the same program one. Raises the first
    reply's EditError or ModelError when there is none."""
    order, task = ctx.order, _task(ctx, target, failures)
    brief = _brief(ctx, task, prompts.framing(task, order.nth))
    versions: dict[str, FileChange] = {}
    errors: list[EditError | ModelError] = []
    for answer in ctx.chat_many(brief.prompt.messages, purpose="edit", width=order.width):
        if isinstance(answer, ModelError):
            errors.append(answer)
            continue
        try:
            change = FileChange(target.path, target.source, _read(order, task, brief, answer))
        except EditError as error:
            errors.append(error)
        else:
            versions.setdefault(_canonical([change]), change)
    if not versions:
        raise errors[0]
    return list(versions.values())


def _task(ctx: RoleContext, target: Target, failures: Sequence[Evidence]) -> prompts.Task:
    """Everything that one edit is told."""
    order = ctx.order
    if target.source is None and ctx.read.exists(target.path):
        raise FormatError(f"{target.path} is no text file that can be edited.")
    if target.path.endswith((".py", ".pyi")) and "\r" in (target.source or "").replace("\r\n", "\n"):
        raise FormatError(f"{target.path} has line ends of its own kind (bare CR); it is not edited.")
    around = surroundings(
        target, ctx.task, ctx.survey, ctx.read, ctx.tags, evidence=failures, budget=order.context_tokens
    )
    return prompts.Task(
        action=order.packet.action,
        user_request=order.user_request,
        target=_tried_first(target, order.previous_patch, order.nth),
        tier=order.tier,
        asked=order.way,
        evidence=failures,
        feedback=order.feedback,
        previous_patch=order.previous_patch,
        pattern=order.pattern,
        skill=ctx.skill,
        others=around.others,
        project_map=around.project_map,
        conventions=around.conventions,
        forms=tuple(order.forms),
        continues=order.continues,
    )


def _new_text(ctx: RoleContext, task: prompts.Task) -> str:
    """The file's new text. Small models like to copy the code that they see, and to give an answer again:
    that costs no gates, so they are asked again at once, in other ways. Raises EditError or ModelError.
    """
    first, *others = prompts.ways(task, ctx.order.nth)[: ctx.order.copies + 1]
    try:
        return _ask(ctx, task, first)
    except NothingError as error:
        copied = error
    for way in others:
        ctx.beat("the model repeated code that it had seen")
        with contextlib.suppress(NothingError):
            return _ask(ctx, task, way)
    raise copied


def _tried_first(target: Target, previous_patch: str | None, sample: int) -> Target:
    """A repair is of the symbols that the failed patch changed, so that its failure is theirs."""
    if not previous_patch or target.source is None or len(target.choices) < 2:
        return target
    changed = set(changed_symbols(previous_patch, target.path, target.source.replace("\r\n", "\n")))
    choices = sorted(target.choices, key=lambda group: not changed & set(group))
    turn = (sample - 1) % len(choices)  # the first of them has its turn now
    return replace(target, choices=(*choices[-turn:], *choices[:-turn]) if turn else tuple(choices))


def _ask(ctx: RoleContext, task: prompts.Task, way: prompts.Framing) -> str:
    brief = _brief(ctx, task, way)
    return _read(ctx.order, task, brief, ctx.chat(brief.prompt.messages, purpose="edit"))


def _brief(ctx: RoleContext, task: prompts.Task, way: prompts.Framing) -> prompts.Brief:
    order = ctx.order
    return prompts.build(
        ctx.system,
        task,
        order.nth,
        budget=order.context_tokens,
        reply=order.max_tokens,
        way=way,
        count=ctx.count,
    )


def _read(order: Order, task: prompts.Task, brief: prompts.Brief, reply: ChatReply) -> str:
    """The file's new text that ``reply`` gives. Raises EditError."""
    begun = brief.begun
    text = continued(begun.text, reply.text, begun.indent) if begun else reply.text
    new = read_edit(text, brief.edit, cut=reply.finish == "length")
    _check_new(order, task, new)
    return new


def _check_new(order: Order, task: prompts.Task, new: str) -> None:
    """Raises NothingError or RepeatedError for what need not be judged to know that it fails."""
    path, old = task.target.path, task.target.source
    if task.evidence and old is not None and canonical(path, new) == canonical(path, old):
        raise NothingError(SAME_PROGRAM)
    if canonical_of_all([(path, new)]) in order.judged:
        raise RepeatedError(REPEATED)
