"""Repairs by filling gaps: single statements of suspect functions are written anew, unseen, and judged."""

from __future__ import annotations

import math
from collections.abc import Sequence

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import evidence, holes
from swarmd.coding.canonical import canonical_of_all
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import GapsError, NothingError
from swarmd.coding.holes import Hole
from swarmd.coding.target import MAX_TOGETHER, Target, choose
from swarmd.errors import ModelError, ModelOverflowError
from swarmd.messages import ChatReply, Proposal
from swarmd.messages.packet import Candidate
from swarmd.workspace.patch import FileChange, make

__all__ = ["run"]

MIN_TOKENS, MAX_TOKENS = 48, 160
"""Cap on what is written into one gap."""
CHARS_PER_TOKEN = 2
WARM = 0.8
"""The temperature at which statements are asked for again."""


def run(ctx: RoleContext) -> Proposal:
    """Patches that each change one statement, the closest to what stood there first: of the patches that
    pass the same tests, the smaller change is right more often.

    Raises GapsError when there is nothing, or nothing more, to fill; NothingError when each statement would
    be as it was; ModelError when no model answered.
    """
    tries, gaps = _gaps(ctx)
    replies = ctx.fill_many(
        [(gap.before, gap.behind) for gap in gaps],
        temperature=WARM if tries else 0.0,
        max_tokens=[_most_tokens(gap) for gap in gaps],
        stops=[["\n"] if gap.lines == 1 else [] for gap in gaps],
    )
    _raise_if_unable(replies)
    changes: dict[str, tuple[float, Hole, FileChange]] = {}
    for gap, reply in zip(gaps, replies, strict=True):
        new = None if isinstance(reply, ModelError) else holes.fill(gap, reply.text)
        program = canonical_of_all([(gap.path, new.source if new else "")])
        if new is not None and program not in ctx.order.judged:
            changes.setdefault(program, (new.likeness, gap, _change(ctx, gap, new.source)))
    if not changes:
        raise NothingError(f"Each of {len(gaps)} statements would be as it is, or makes no sense.")
    ranked = sorted(changes.items(), key=lambda one: -one[1][0])
    candidates = [Candidate(patch=make([change]), canonical=program) for program, (_, _, change) in ranked]
    lines = ", ".join(f"{gap.path}:{gap.start}" for _, (_, gap, _) in ranked)
    return ctx.propose(
        kind="patch",
        patch=candidates[0].patch,
        canonical=candidates[0].canonical,
        others=candidates[1:],
        ranked=True,
        summary=f"Changes one statement; tried: {lines}.",
    )


def _gaps(ctx: RoleContext) -> tuple[int, list[Hole]]:
    """How often all suspect statements were asked for, and those to ask for now. Raises GapsError."""
    order, survey = ctx.order, ctx.survey
    found = evidence.collect(evidence.relevant(survey, ctx.task), survey, ctx.read)
    targets = _targets(ctx, found)
    paths = {target.path for target in targets}
    every = holes.find(targets, survey.spectrum, [item for item in found if item.paths & paths])
    if not every:
        raise GapsError("There is nothing to fill in: no statement of a function is suspect.")
    rounds = math.ceil(len(every) / order.width)
    tries, turn = divmod(order.nth - 1, rounds)
    chosen = every[turn * order.width :][: order.width]
    # In the order of the file: so each prompt begins with most of the one before, which the engine has read.
    return tries, sorted(chosen, key=lambda gap: (gap.path, gap.start))


def _change(ctx: RoleContext, gap: Hole, new: str) -> FileChange:
    old = ctx.read.read(gap.path) or ""
    return FileChange(gap.path, old, new.replace("\n", "\r\n") if "\r\n" in old else new)


def _targets(ctx: RoleContext, found: Sequence[Evidence]) -> list[Target]:
    """What the samples of a task would turn to, one after the other."""
    order, targets = ctx.order, []
    for sample in range(1, MAX_TOGETHER + 1):
        chosen = choose(
            order.packet.files_owned, ctx.task, ctx.survey, ctx.read, found, ctx.tags, sample=sample
        )
        targets += [target for target in chosen if target not in targets]
    return targets


def _most_tokens(gap: Hole) -> int:
    return max(MIN_TOKENS, min(MAX_TOKENS, len(gap.text) // CHARS_PER_TOKEN))


def _raise_if_unable(replies: Sequence[ChatReply | ModelError]) -> None:
    """Raises GapsError when the model cannot fill gaps, and the first ModelError when none was answered."""
    errors = [reply for reply in replies if isinstance(reply, ModelError)]
    if any(error.code == "E-MODEL-FILL" for error in errors):
        raise GapsError(next(error.message for error in errors if error.code == "E-MODEL-FILL"))
    if len(errors) == len(replies) and not all(isinstance(error, ModelOverflowError) for error in errors):
        raise errors[0]
