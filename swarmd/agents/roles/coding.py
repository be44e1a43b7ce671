"""Edits code: finds the target, asks for its new version, splices it in. Types without a role do this."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import evidence, prompts
from swarmd.coding.diffs import changed_symbols
from swarmd.coding.edits import read_edit
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import EditError, FormatError, NothingError
from swarmd.coding.surroundings import surroundings
from swarmd.coding.target import Target, choose
from swarmd.errors import ModelError
from swarmd.messages import Proposal
from swarmd.workspace.patch import FileChange, make

__all__ = ["run"]


def run(ctx: RoleContext) -> Proposal:
    """A patch for the order, or why there is none."""
    ctx.beat("reads the project")
    try:
        targets, failures = _find_targets(ctx)
        changes = _edit_all(ctx, targets, failures)
    except (EditError, ModelError, RecursionError) as error:
        return ctx.nothing(error)
    paths = ", ".join(change.path for change in changes)
    return ctx.propose(kind="patch", patch=make(changes), summary=f"Changes {paths}.")


def _edit_all(ctx: RoleContext, targets: Sequence[Target], failures: Sequence[Evidence]) -> list[FileChange]:
    """The new versions of all targets; one that needs no change is no failure beside others that do."""
    changes: list[FileChange] = []
    unchanged: NothingError | None = None
    for target in targets:
        try:
            changes.append(_edit(ctx, target, failures))
        except NothingError as error:
            unchanged = unchanged or error
    if not changes and unchanged is not None:
        raise unchanged
    return changes


def _find_targets(ctx: RoleContext) -> tuple[list[Target], list[Evidence]]:
    """What to edit, and the failing tests that say so. Raises FormatError when nothing can be found."""
    survey = ctx.survey
    found = evidence.collect(evidence.relevant(survey, ctx.task), survey, ctx.read)
    targets = choose(ctx.order.packet.files_owned, ctx.task, survey, ctx.read, found, ctx.tags)
    if not targets:
        raise FormatError("Nothing says which file to change; name it in the request.")
    paths = {target.path for target in targets}
    return targets, [item for item in found if item.paths & paths] or found


def _edit(ctx: RoleContext, target: Target, failures: Sequence[Evidence]) -> FileChange:
    """The new version of one file, by one call."""
    order = ctx.order
    if target.source is None and ctx.read.exists(target.path):
        raise FormatError(f"{target.path} is no text file that can be edited.")
    around = surroundings(
        target, ctx.task, ctx.survey, ctx.read, ctx.tags, evidence=failures, budget=order.context_tokens
    )
    task = prompts.Task(
        action=order.packet.action,
        user_request=order.user_request,
        target=_tried_first(target, order.previous_patch),
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
    )
    return FileChange(target.path, target.source, _new_text(ctx, task))


def _new_text(ctx: RoleContext, task: prompts.Task) -> str:
    """The file's new text. Small models like to copy the code that they see: a copy costs no gates, so
    they are asked again at once, in other ways. Raises EditError or ModelError.
    """
    first, *others = prompts.ways(task, ctx.order.sample)
    try:
        return _ask(ctx, task, first)
    except NothingError as error:
        copied = error
    for way in others:
        ctx.beat("the model repeated the code as it was")
        with contextlib.suppress(NothingError):
            return _ask(ctx, task, way)
    raise copied


def _tried_first(target: Target, previous_patch: str | None) -> Target:
    """A repair begins with the symbols that the failed patch changed, so that its failure is theirs."""
    if not previous_patch or target.source is None or len(target.choices) < 2:
        return target
    changed = set(changed_symbols(previous_patch, target.path, target.source.replace("\r\n", "\n")))
    return replace(target, choices=tuple(sorted(target.choices, key=lambda group: not changed & set(group))))


def _ask(ctx: RoleContext, task: prompts.Task, way: prompts.Framing) -> str:
    order = ctx.order
    brief = prompts.build(
        ctx.system,
        task,
        order.sample,
        budget=order.context_tokens,
        reply=order.max_tokens,
        way=way,
        count=ctx.count,
    )
    reply = ctx.chat(brief.prompt.messages, purpose="edit")
    return read_edit(reply.text, brief.edit, cut=reply.finish == "length")
