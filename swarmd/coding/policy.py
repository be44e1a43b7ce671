"""The attempt loop as a pure function: from how a task's samples ended to what happens next.

An attempt is one round of up to n samples, or of fills: of single statements (policy.fills). The rules, in
the order in which they are asked:

====  ================================================  ==============================================
      when                                              then
====  ================================================  ==============================================
1     nothing was tried                                 the first fill, on the first tier from the start tier
                                                        that fills; else the first sample, cold, on the start
                                                        tier. A tier begins with its fills, unless it begins
                                                        with a repair (9, 13), or it is the last attempt
2     the last sample passed                            stop
3     no model answered                                 the same sample again, up to three times in all;
                                                        then the next tier
3a    a fill failed                                     the next fill; after the last one the attempt is
                                                        over (12 to 14); samples, if there was nothing to
                                                        fill; if it conflicts, see 9. The sizes, classes and
                                                        repeats of fills mean nothing (4 to 8, 10, 11)
3b    it passed, but only examples speak for it         an answer of the next tier with another model, to
                                                        compare it with; where such answers differ, one more;
                                                        after as many tries as policy.opinions, or where no
                                                        higher tier has another model, the largest model's
                                                        first one is taken
4     the failure's class says so (policy.on_failure)   stop, or the next tier
5     a failed patch was larger than escalate_files     the deep tier, in a new attempt
      or escalate_lines, on the fast tier
6     one of the deep tier was larger than              the reviewer tier
      escalate_files or reviewer_lines
7     new type errors in escalate_types samples in a    the next tier
      row
8     failures of the deep tier that tell nothing       the reviewer tier
      (UNCLEAR) in escalate_unclear samples in a row
9     it did not fit on top of the other tasks, or      a new attempt, which is shown it and why: on the same
      failed there although it had passed alone         tier, unless that has had two
10    a patch or a failure's signature came again       the attempt is over
      in this attempt, or it has had its n samples
11    the attempt goes on                               the next sample, as the failure's class says; plain
                                                        ones as many at one time as the model answers
12    the attempt is over, and the tier has had fewer   a new attempt there; where the tier repairs at all,
      than attempts_per_tier, fills aside               it begins with the best of what failed before
13    the tier has had its attempts                     the next tier: fast, deep, reviewer. It begins
                                                        afresh, unless the best of deep's patches needs
                                                        a minimal repair, and the reviewer is another
                                                        model: then with that
14    max_attempts were made, or there is no next tier  stop, and say why
====  ================================================  ==============================================

A model's first sample, and a repair that begins an attempt, are drawn at temperature 0, the others warmer
each, because another sample is what helps models of up to 3B most: more than their own repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from swarmd.coding import history as facts
from swarmd.coding.history import History
from swarmd.config import PolicySettings, Reaction, TierNumbers
from swarmd.messages import Failure, Outcome, Tier, Way

__all__ = ["MODEL_TRIES", "TIERS", "UNCLEAR", "Stop", "Try", "next_step", "temperature"]

TIERS: tuple[Tier, ...] = ("fast", "deep", "reviewer")
"""From the cheapest to the last."""
MODEL_TRIES = 3
"""How often one sample is asked for when no model answers."""
UNCLEAR = frozenset({"timeout", "limits", "missing", "forged"})
"""Classes of failures that do not tell what is wrong with the code."""

_WARM, _WARMER = 0.7, 0.8
_CONFLICTS = 2
"""Attempts that a tier has at least, when what it made does not fit on top of the other tasks."""
_WAYS: dict[Reaction, Way] = {"repair": "repair", "reask": "reask", "shrink": "shrink"}


@dataclass(frozen=True)
class Try:
    """One more sample, or several at one time."""

    attempt: int
    sample: int
    tier: Tier
    temperature: float
    way: Way = "sample"
    """How it is asked for; what is no plain sample is shown the ``feedback``."""
    feedback: Failure | None = None
    repairs: tuple[int, int] | None = None
    """The attempt and sample whose patch is to be repaired."""
    why: str = ""
    """Why it is not simply the next one, for people."""
    width: int = 1
    """How many samples are drawn at one time, this one the first of them; of a fill, how many statements are
    asked for, if there are as many."""
    nth: int = 1
    """Its number among all samples of its model, from 1: such are asked for in different ways. A fill's
    number among the fills."""


@dataclass(frozen=True)
class Stop:
    """No more samples."""

    reason: str
    """For people."""


def temperature(nth: int) -> float:
    """How warm sample number ``nth`` (from 1) of a model is drawn."""
    return 0.0 if nth <= 1 else min(_WARM + 0.05 * (nth - 2), _WARMER)


def next_step(
    history: Sequence[Outcome],
    start: Tier,
    policy: PolicySettings,
    slots: Mapping[Tier, int] = MappingProxyType({}),
    *,
    fillers: Collection[Tier] = (),
    models: Mapping[Tier, str] = MappingProxyType({}),
) -> Try | Stop:
    """What follows on ``history``, which holds every sample of the task, oldest first. ``slots``: how many
    calls of a tier its model answers at one time, if it is more than one. ``fillers``: the tiers
    whose models may fill in single statements, if there may be any that are wrong. ``models``: the model of
    each tier; of those that are left out it is another one each."""
    fills = {tier: policy.fills.of(tier) if tier in fillers else 0 for tier in TIERS}
    policy = policy.model_copy(update={"fills": TierNumbers(**fills)})
    if not history:
        filling = next((tier for tier in TIERS[TIERS.index(start) :] if _fills(tier, 1, policy)), None)
        return _fill(1, 1, filling, policy, 1) if filling else Try(1, 1, start, temperature(1))
    known = History(history, start, policy, slots, {tier: models.get(tier, tier) for tier in TIERS})
    steps = (rule(known) for rule in _RULES)
    step = next((step for step in steps if step is not None), None) or _attempt_is_over(known)
    ends = isinstance(step, Stop) and not known.last.ok
    if ends and facts.since_unconfirmed(history) and not facts.is_settled(history):
        return _settle(known)
    return step


# --- the rules, by their numbers above ---------------------------------------------------------------


def _passed(known: History) -> Stop | None:  # 2
    return Stop("it passed its gates") if known.last.ok else None


def _no_model(known: History) -> Try | Stop | None:  # 3
    if known.kind != "model":
        return None
    tries = facts.unanswered(known.outcomes)
    if tries < MODEL_TRIES:
        before, fillers = known.outcomes[:-tries], TIERS  # those that may not fill have no fills any more
        return next_step(before, known.start, known.policy, known.slots, fillers=fillers, models=known.models)
    return _go_up(known, "no model answered")


def _filled(known: History) -> Try | Stop | None:  # 3a
    last = known.last
    if last.way != "fill":
        return None
    conflict = _conflicts(known)
    if conflict is not None:
        return conflict
    if known.kind == "gaps":
        return Try(last.attempt, last.sample + 1, last.tier, temperature(1))
    done = len(known.fills)
    if done < known.policy.fills.of(last.tier):
        return _fill(last.attempt, last.sample + 1, last.tier, known.policy, done + 1)
    return _attempt_is_over(known)


def _unconfirmed(known: History) -> Try | Stop | None:  # 3b
    answers = facts.since_unconfirmed(known.outcomes)
    if not answers or facts.is_settled(known.outcomes):
        return None
    last, passed = known.last, facts.who_passed(known)
    if len(answers) >= known.policy.opinions:
        return _settle(known)
    if known.kind != "unconfirmed":
        return None
    above = TIERS[TIERS.index(last.tier) + 1 :]
    other = next((tier for tier in above if known.models[tier] not in passed), None)
    if other is not None and last.attempt < known.policy.max_attempts:
        # by itself: shown what another one wrote, it would be no opinion of its own
        return Try(last.attempt + 1, 1, other, temperature(1), why="another model's opinion is asked for")
    if len(passed) < 2:
        return _settle(known)
    nth = 1 + facts.drawn(known, last.tier)
    return Try(last.attempt, last.sample + 1, last.tier, temperature(nth), nth=nth)


def _settle(known: History) -> Try:
    """No two answers agree: the first of the largest model is taken."""
    last = known.last
    answers = [one for one in facts.since_unconfirmed(known.outcomes) if facts.kind(one) == "unconfirmed"]
    best = max(answers, key=lambda one: TIERS.index(one.tier))
    shown = facts.place(best)
    return Try(
        last.attempt,
        last.sample + last.width,
        best.tier,
        temperature(1),
        "settle",
        repairs=shown,
        why="no two answers agree",
    )


def _as_the_class_says(known: History) -> Try | Stop | None:  # 4
    if known.reaction == "stop":
        return Stop(f"a failure of the class {known.kind} ends the task; {facts.last_words(known)}")
    return _go_up(known, f"a failure of the class {known.kind}") if known.reaction == "escalate" else None


def _too_large(known: History) -> Try | Stop | None:  # 5, 6
    last, policy = known.last, known.policy
    most = {"fast": policy.escalate_lines, "deep": policy.reviewer_lines}.get(last.tier)
    if most is None or (last.diff_files <= policy.escalate_files and last.diff_lines <= most):
        return None
    return _go_up(known, f"the patch changes {last.diff_lines} lines in {last.diff_files} files")


def _types_persist(known: History) -> Try | Stop | None:  # 7
    count = known.policy.escalate_types
    if known.last.tier == TIERS[-1] or facts.in_a_row(known.tier, {"types"}) < count:
        return None
    return _go_up(known, f"type errors persist in {count} samples")


def _stays_unclear(known: History) -> Try | Stop | None:  # 8
    count = known.policy.escalate_unclear
    if known.last.tier != "deep" or facts.in_a_row(known.tier, UNCLEAR) < count:
        return None
    return _go_up(known, f"{count} failures do not tell what is wrong")


def _conflicts(known: History) -> Try | Stop | None:  # 9
    last, before = known.last, known.outcomes[-2] if len(known.outcomes) > 1 else None
    passed_alone = before is not None and before.ok and facts.place(before) == facts.place(last)
    if known.kind != "conflict" and not passed_alone:
        return None
    here, attempts = {one.attempt for one in known.tier}, known.policy.attempts_per_tier.of(last.tier)
    more_here = len(here) < max(attempts, _CONFLICTS)
    step = _new_attempt(known, last.tier) if more_here else _go_up(known, "it does not fit with the others")
    if isinstance(step, Stop):
        return step
    return _repair(step.attempt, step.tier, last, step.why, nth=step.nth)


def _goes_on(known: History) -> Try | None:  # 10, 11
    last = known.last
    filled = sum(one.attempt == last.attempt for one in known.fills)
    sample, most = last.sample + last.width, filled + known.policy.samples.of(last.tier)
    if facts.repeats(known.attempt) or sample > most:
        return None
    reaction = known.reaction
    if reaction == "repair" and facts.repairs_made(known) >= known.policy.repairs.of(last.tier):
        reaction = "sample"
    way = _WAYS.get(reaction)
    if way is None:
        width = max(1, min(known.slots.get(last.tier, 1), most - sample + 1))
        return replace(_sample(known, last.attempt, sample), width=width)
    shown, nth = facts.place(last) if way == "repair" else None, 1 + facts.drawn(known, last.tier)
    return Try(last.attempt, sample, last.tier, temperature(nth), way, last.failure, shown, nth=nth)


_RULES: tuple[Callable[[History], Try | Stop | None], ...] = (
    _passed,
    _no_model,
    _filled,
    _unconfirmed,
    _as_the_class_says,
    _too_large,
    _types_persist,
    _stays_unclear,
    _conflicts,
    _goes_on,
)


def _attempt_is_over(known: History) -> Try | Stop:  # 12, 13
    attempts_here = {one.attempt for one in known.tier}
    if len(attempts_here) < known.policy.attempts_per_tier.of(known.last.tier):
        return _new_attempt(known, known.last.tier)
    gates = {one.failure.gate for one in known.tier if one.failure} - {None}
    return _go_up(
        known, f"{', '.join(sorted(map(str, gates)) or ['it'])} failed in {facts.samples_told(known)}"
    )


def _go_up(known: History, why: str) -> Try | Stop:
    """A fresh attempt on the next tier: what a smaller model got wrong is no lesson for a larger one."""
    tier = known.last.tier
    if tier == TIERS[-1]:
        return Stop(f"every tier up to {tier} failed; {facts.last_words(known)}")
    return _new_attempt(known, TIERS[TIERS.index(tier) + 1], why)


def _new_attempt(known: History, tier: Tier, why: str = "") -> Try | Stop:
    attempt = known.last.attempt + 1
    if attempt > known.policy.max_attempts:
        return Stop(f"all {known.policy.max_attempts} attempts failed; {facts.last_words(known)}")
    if tier == "reviewer" and known.last.tier == "deep" and known.models["deep"] != known.models["reviewer"]:
        best = facts.best(known.tier)
        if best is not None and 0 < best.red <= known.policy.minimal_repair:
            return _repair(attempt, tier, best, f"{why}; a minimal repair may be enough", nth=1)
    return _sample(known, attempt, 1, tier, why)


def _sample(known: History, attempt: int, sample: int, tier: Tier | None = None, why: str = "") -> Try:
    """A plain sample; at the head of an attempt it is shown the best of what failed on its tier, if the
    tier repairs at all."""
    tier = tier or known.last.tier
    earlier = [one for one in known.outcomes if one.tier == tier and one.way != "fill"]
    nth = 1 + facts.drawn(known, tier)
    best = facts.best(earlier) if sample == 1 and known.policy.repairs.of(tier) else None
    if best is not None:
        return _repair(attempt, tier, best, why, nth)
    if not any(one.tier == tier for one in known.outcomes) and _fills(tier, attempt, known.policy):
        return _fill(attempt, 1, tier, known.policy, 1, why)
    return Try(attempt, sample, tier, temperature(nth), why=why, nth=nth)


def _fills(tier: Tier, attempt: int, policy: PolicySettings) -> bool:
    """Whether ``tier`` begins with fills, in ``attempt``."""
    return policy.fills.of(tier) > 0 and attempt < policy.max_attempts


def _fill(attempt: int, sample: int, tier: Tier, policy: PolicySettings, nth: int, why: str = "") -> Try:
    return Try(
        attempt, sample, tier, temperature(1), "fill", why=why, nth=nth, width=policy.fill_width.of(tier)
    )


def _repair(attempt: int, tier: Tier, best: Outcome, why: str, nth: int) -> Try:
    """The head of an attempt that begins with ``best``."""
    shown = facts.place(best)
    return Try(attempt, 1, tier, temperature(1), "repair", best.failure, shown, why, nth=nth)
