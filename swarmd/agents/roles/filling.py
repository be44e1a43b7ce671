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
    # In the order of the file: so each prompt begins with most of the one before, which the engine has read.
    asked = sorted(range(len(gaps)), key=lambda place: (gaps[place].path, gaps[place].start))
    answers = ctx.fill_many(
        [(gaps[place].before, gaps[place].behind) for place in asked],
        temperature=WARM if tries else 0.0,
        max_tokens=[_most_tokens(gaps[place]) for place in asked],
        stops=[["\n"] if gaps[place].lines == 1 else [] for place in asked],
    )
    replies = dict(zip(asked, answers, strict=True))
    changes: dict[str, tuple[float, FileChange]] = {}
    for place, gap in enumerate(gaps):
        new = holes.fill(gap, _said(gap, replies[place]))
        program = canonical_of_all([(gap.path, new.source if new else "")])
        if new is not None and program not in ctx.order.judged:
            changes.setdefault(program, (new.likeness, _change(ctx, gap, new.source)))
    if not changes:
        _raise_if_unanswered(answers)
        raise NothingError(f"Each of {len(gaps)} statements would be as it is, or makes no sense.")
    ranked = sorted(changes.items(), key=lambda one: -one[1][0])
    candidates = [Candidate(patch=make([change]), canonical=program) for program, (_, change) in ranked]
    paths = ", ".join(dict.fromkeys(change.path for _, (_, change) in ranked))
    return ctx.propose(
        kind="patch",
        patch=candidates[0].patch,
        canonical=candidates[0].canonical,
        others=candidates[1:],
        ranked=True,
        summary=f"Changes one statement of {paths}.",
    )


def _said(gap: Hole, reply: ChatReply | ModelError) -> str:
    """What is to stand in ``gap``; of a reply that was cut only what is whole."""
    if isinstance(reply, ModelError):
        return ""
    return reply.text.rpartition("\n")[0] if reply.finish == "length" else reply.text


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
    return tries, every[turn * order.width :][: order.width]


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


def _raise_if_unanswered(replies: Sequence[ChatReply | ModelError]) -> None:
    """Raises GapsError when the model cannot fill gaps, or the ModelError of an outage."""
    errors = [reply for reply in replies if isinstance(reply, ModelError)]
    unable = [error for error in errors if error.code == "E-MODEL-FILL"]
    if len(unable) == len(replies):
        raise GapsError(unable[0].message)
    outages = [error for error in errors if error not in unable and not isinstance(error, ModelOverflowError)]
    if outages:
        raise outages[0]
