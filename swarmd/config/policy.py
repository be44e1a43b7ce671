"""Settings of the attempt loop: numbers for each tier, and what follows on a failure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.config.section import Section

__all__ = ["PolicySettings", "Reaction", "ReactionSettings", "TierCounts", "TierNumbers"]


class TierNumbers(Section):
    """One number per tier."""

    fast: int = Field(ge=0)
    deep: int = Field(ge=0)
    reviewer: int = Field(ge=0)

    def of(self, tier: Literal["fast", "deep", "reviewer"]) -> int:
        """The number of ``tier``."""
        return int(getattr(self, tier))


class TierCounts(TierNumbers):
    """One number per tier, at least 1."""

    fast: int = Field(ge=1)
    deep: int = Field(ge=1)
    reviewer: int = Field(ge=1)


class FillWidths(TierNumbers):
    """One number per tier, as many calls as one agent may make at one time."""

    fast: int = Field(ge=1, le=32)
    deep: int = Field(ge=1, le=32)
    reviewer: int = Field(ge=1, le=32)


Reaction = Literal["reask", "repair", "sample", "shrink", "escalate", "stop"]


class ReactionSettings(Section):
    """What follows on a failed sample, by the class of its failure. reask: another sample, told what was
    wrong with the reply. repair: another one, shown the patch and why it failed, as often as policy.repairs
    allows; then as sample. sample: another one that knows of nothing. shrink: another one, asked for less.
    escalate: the next tier. stop: the task is aborted."""

    format: Reaction = "reask"
    """The reply holds no edit that can be read."""
    nothing: Reaction = "sample"
    """The edit changes nothing."""
    refused: Reaction = "shrink"
    """The edit breaks a rule: it drops what nobody asked to drop, touches other files, is too large."""
    apply: Reaction = "reask"
    """The patch does not apply."""
    syntax: Reaction = "repair"
    name: Reaction = "repair"
    """An unknown name, import or attribute."""
    types: Reaction = "repair"
    """The type checker finds something new."""
    lint: Reaction = "repair"
    """The linter finds something new."""
    assertion: Reaction = "sample"
    """A test fails. Models of a few billion parameters gain more by another sample than by a repair; where
    the tier repairs at all, the next attempt begins with one."""
    missing: Reaction = "shrink"
    """Tests that ran on the base did not run."""
    forged: Reaction = "sample"
    """The planted failing test did not fail, or the report was tampered with."""
    timeout: Reaction = "sample"
    limits: Reaction = "sample"
    """It took too much memory or too many processes."""
    review: Reaction = "repair"
    """The reviewer points at a defect."""

    def to(self, kind: str) -> Reaction:
        """What follows on a failure of class ``kind``."""
        reaction: Reaction = getattr(self, kind, "sample")
        return reaction


class PolicySettings(Section):
    """The attempt loop: how often, how many, when to go up a tier, when to stop."""

    samples: TierCounts = TierCounts(fast=1, deep=2, reviewer=1)
    """Most samples in one attempt. Where a model of 0.5B fails at temperature 0, a second, warmer sample of
    it hardly ever passes; one of 1.5B often does. The first is drawn by itself; the others too, unless the
    model answers several calls at one time (models.<name>.parallel)."""
    fills: TierNumbers = TierNumbers(fast=0, deep=4, reviewer=0)
    """How often a tier, before its first sample, writes single statements anew where a test fails: without
    being shown what stands there, which small models would copy. Such a task begins on the first tier that
    does so: models of 0.5B pass the shown tests with wrong statements too often. It needs a model that fills
    gaps (models.<name>.fill) and a Python function to suspect. When all suspect statements were tried, they
    are tried again, at a higher temperature. A tier's fills are an attempt of their own, which
    attempts_per_tier does not count and which is never the task's last one."""
    fill_width: FillWidths = FillWidths(fast=4, deep=4, reviewer=4)
    """Statements that are filled in each time, the most suspicious first; at most 32."""
    attempts_per_tier: TierCounts = TierCounts(fast=1, deep=2, reviewer=1)
    """A tier whose attempts have all failed at their gates hands the task to the next one."""
    max_attempts: int = Field(default=5, ge=1)
    """Over all tiers; then the task is aborted."""
    unjudged_tier: Literal["fast", "deep", "reviewer"] = "deep"
    """Where new code begins at least when no failing test, no example and no command of the request can tell
    whether it does what was asked: nothing would notice what the smallest model gets wrong."""
    opinions: int = Field(default=3, ge=1, le=5)
    """Most answers for new code that only examples speak for. One of another model is asked for, and both are
    called with other inputs of the kind that the examples show: when they do the same they are right, as far
    as can be seen. Two answers of one model prove nothing. 1: what passes the examples is taken."""
    repairs: TierNumbers = TierNumbers(fast=0, deep=0, reviewer=1)
    """Most repairs within one attempt. Models of up to 3B gain less by them than by another sample, which
    costs half: shown their own patch, they give it again. Where it is 0, a second attempt on the tier is
    not shown what failed in the first one either. From 7B on, 1 may be better on the deep tier."""
    copies: TierNumbers = TierNumbers(fast=1, deep=1, reviewer=1)
    """How often one sample is asked for again at once, in other ways, when the reply is the code as it was
    or code that failed before."""
    on_failure: ReactionSettings = ReactionSettings()
    context_tokens: TierCounts = TierCounts(fast=1200, deep=1200, reviewer=1200)
    """Cap on a prompt. On a CPU, 1,200 tokens take half a minute to a minute to read."""
    reply_tokens: TierCounts = TierCounts(fast=700, deep=700, reviewer=700)
    """Cap on a reply."""
    concurrency: TierCounts = TierCounts(fast=4, deep=1, reviewer=2)
    """Calls in flight at one time, per tier."""
    review: Literal["advise", "block"] = "advise"
    """What a reviewing model's reading may do. advise: what it points at becomes a warning in the
    result. block: it rejects. Models of a few billion parameters often reject what is right, so block
    is for larger ones. What ruff's and bandit's rules find rejects in both."""
    small_diff: int = Field(default=60, ge=0)
    """A request that changes at most so many lines of Python is reviewed by the static rules alone; its
    commit message, in any language, is made from the request and the facts. A model would add tokens and
    seconds, and little else. Where review is "block", or the request asks for a review, a model reads it all
    the same."""
    max_patch_lines: int = Field(default=300, ge=1)
    """A larger patch is refused before it is applied."""
    escalate_files: int = Field(default=3, ge=1)
    """A failed patch over more files goes to the deep tier at once."""
    escalate_lines: int = Field(default=200, ge=1)
    """A failed patch over more changed lines goes to the deep tier at once."""
    reviewer_lines: int = Field(default=120, ge=1)
    """A failed patch of the deep tier over more changed lines goes to the reviewer tier at once."""
    escalate_types: int = Field(default=2, ge=1)
    """After so many samples in a row with new type errors the next tier takes over."""
    escalate_unclear: int = Field(default=2, ge=1)
    """After so many failures of the deep tier in a row that do not tell what is wrong (timeout, limits,
    missing, forged) the reviewer tier takes over."""
    minimal_repair: int = Field(default=1, ge=0)
    """The reviewer tier is given the deep tier's best patch to repair when at most so many of its tests
    failed, and when it is another model: small ones hardly ever repair what they wrote themselves. Else it
    begins afresh."""
