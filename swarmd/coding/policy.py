"""The attempt loop as a pure function: from how a task's samples ended to what happens next.

An attempt is one round of up to n samples. The rules, in the order in which they are asked:

====  ================================================  ==============================================
      when                                              then
====  ================================================  ==============================================
1     nothing was tried                                 the first sample, cold, on the start tier
2     the last sample passed                            stop
3     no model answered                                 the same sample again, up to three times in all;
                                                        then the next tier
4     a failed patch was larger than escalate_files     the deep tier, in a new attempt
      or escalate_lines, on the fast tier
5     it did not fit on top of the other tasks          a new attempt on the same tier
6     a patch or a failure's signature came again       the attempt is over
      in this attempt, or it has had its n samples
7     the attempt goes on                               the next sample, warm
8     the attempt is over, and the tier has had fewer   a new attempt there; its samples are shown the
      than attempts_per_tier                            digest of the last failure that a gate found
9     the tier has had its attempts                     the next tier: fast, deep, reviewer
10    max_attempts were made, or there is no next tier  stop, and say why
====  ================================================  ==============================================

The first sample of an attempt is drawn at temperature 0, the others warmer each, because another
sample is what helps models of up to 3B most: more than their own repairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.config import PolicySettings
from swarmd.messages import Failure, Outcome, Tier

__all__ = ["MODEL_TRIES", "TIERS", "Stop", "Try", "next_step", "temperature"]

TIERS: tuple[Tier, ...] = ("fast", "deep", "reviewer")
"""From the cheapest to the last."""
MODEL_TRIES = 3
"""How often one sample is asked for when no model answers."""

_WARM, _WARMER = 0.7, 0.8
_NEVER_JUDGED = frozenset({"format", "nothing"})


@dataclass(frozen=True)
class Try:
    """One more sample."""

    attempt: int
    sample: int
    tier: Tier
    temperature: float
    repair: bool = False
    """True when the sample is shown why the last attempt on this tier failed."""
    feedback: Failure | None = None


@dataclass(frozen=True)
class Stop:
    """No more samples."""

    reason: str
    """For people."""


def temperature(sample: int) -> float:
    """How warm sample number ``sample`` (from 1) of an attempt is drawn."""
    return 0.0 if sample <= 1 else min(_WARM + 0.05 * (sample - 2), _WARMER)


def next_step(history: Sequence[Outcome], start: Tier, policy: PolicySettings) -> Try | Stop:
    """What follows on ``history``, which holds every sample of the task, oldest first."""
    if not history:
        return Try(1, 1, start, temperature(1))
    last = history[-1]
    if last.ok:
        return Stop("it passed its gates")
    this = [outcome for outcome in history if outcome.attempt == last.attempt]
    if _kind(last) == "model":
        if _unanswered(history) < MODEL_TRIES:
            return _sample(history, last.attempt, last.sample, last.tier)
        return _go_up(history, policy)
    if last.tier == "fast" and _too_large(last, policy):
        return _go_up(history, policy)
    if _kind(last) != "conflict" and not _repeats(this) and last.sample < policy.samples.of(last.tier):
        return _sample(history, last.attempt, last.sample + 1, last.tier)
    attempts_here = {outcome.attempt for outcome in history if outcome.tier == last.tier}
    if len(attempts_here) >= policy.attempts_per_tier:
        return _go_up(history, policy)
    return _new_attempt(history, last.tier, policy)


def _kind(outcome: Outcome) -> str | None:
    return outcome.failure.kind if outcome.failure else None


def _unanswered(history: Sequence[Outcome]) -> int:
    """How often in a row, up to now, the last sample found no model."""
    last, count = history[-1], 0
    for outcome in reversed(history):
        same = (outcome.attempt, outcome.sample, outcome.tier) == (last.attempt, last.sample, last.tier)
        if not same or _kind(outcome) != "model":
            break
        count += 1
    return count


def _too_large(outcome: Outcome, policy: PolicySettings) -> bool:
    return outcome.diff_files > policy.escalate_files or outcome.diff_lines > policy.escalate_lines


def _repeats(attempt: Sequence[Outcome]) -> bool:
    """True when the last sample of ``attempt`` is a patch, or failed in a way, that was there before."""
    *before, last = attempt
    patches = {outcome.patch_sha256 for outcome in before} - {None}
    signatures = {outcome.failure.signature for outcome in before if outcome.failure}
    again = last.failure is not None and last.failure.signature in signatures
    return last.patch_sha256 in patches or again


def _sample(history: Sequence[Outcome], attempt: int, sample: int, tier: Tier) -> Try:
    feedback = _feedback(history, attempt, tier)
    return Try(attempt, sample, tier, temperature(sample), feedback is not None, feedback)


def _new_attempt(history: Sequence[Outcome], tier: Tier, policy: PolicySettings) -> Try | Stop:
    attempt = history[-1].attempt + 1
    if attempt > policy.max_attempts:
        return Stop(f"all {policy.max_attempts} attempts failed; {_last_words(history)}")
    return _sample(history, attempt, 1, tier)


def _go_up(history: Sequence[Outcome], policy: PolicySettings) -> Try | Stop:
    """A fresh attempt on the next tier: what a smaller model got wrong is no lesson for a larger one."""
    tier = history[-1].tier
    if tier == TIERS[-1]:
        return Stop(f"every tier up to {tier} failed; {_last_words(history)}")
    return _new_attempt(history, TIERS[TIERS.index(tier) + 1], policy)


def _feedback(history: Sequence[Outcome], attempt: int, tier: Tier) -> Failure | None:
    """The last failure of the earlier attempts on ``tier``; one that a gate found says most."""
    earlier = [outcome for outcome in history if outcome.attempt < attempt and outcome.tier == tier]
    failures = [outcome.failure for outcome in earlier if outcome.failure and _kind(outcome) != "model"]
    judged = [failure for failure in failures if failure.kind not in _NEVER_JUDGED]
    return next(reversed(judged or failures), None)


def _last_words(history: Sequence[Outcome]) -> str:
    failure = history[-1].failure
    if failure is None:
        return "the last one gave no reason"
    where = f" in {failure.gate}" if failure.gate else ""
    first_line = next((line.strip() for line in failure.digest.splitlines() if line.strip()), "")
    return f"the last failure: {failure.kind}{where}: {first_line[:200]}"
