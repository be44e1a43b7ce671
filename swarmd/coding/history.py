"""What is known of a task's samples: the facts that the policy's rules ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from swarmd.config import PolicySettings, Reaction
from swarmd.messages import Outcome, Tier

__all__ = [
    "History",
    "best",
    "drawn",
    "failed_programs",
    "in_a_row",
    "is_settled",
    "kind",
    "last_words",
    "place",
    "repairs_made",
    "repeats",
    "samples_told",
    "since_unconfirmed",
    "unanswered",
    "who_passed",
]

_AS_WRITTEN = frozenset({"conflict", "lint", "refused", "unconfirmed"})
"""Classes of failures that another text of the same program, or another tip, may not have."""
_NEVER_JUDGED = frozenset({"format", "nothing", "repeated", "gaps", "model"})


@dataclass(frozen=True)
class History:
    """All samples of a task, oldest first; at least one."""

    outcomes: Sequence[Outcome]
    start: Tier
    policy: PolicySettings
    slots: Mapping[Tier, int]
    models: Mapping[Tier, str]

    @cached_property
    def last(self) -> Outcome:
        return self.outcomes[-1]

    @cached_property
    def kind(self) -> str | None:
        return kind(self.last)

    @cached_property
    def attempt(self) -> list[Outcome]:
        """The samples of the last attempt, fills aside."""
        return [one for one in self.outcomes if one.attempt == self.last.attempt and one.way != "fill"]

    @cached_property
    def tier(self) -> list[Outcome]:
        """The samples of the last tier, fills aside."""
        return [one for one in self.outcomes if one.tier == self.last.tier and one.way != "fill"]

    @cached_property
    def fills(self) -> list[Outcome]:
        """The last outcome of each fill of the last tier."""
        fills = (one for one in self.outcomes if one.tier == self.last.tier and one.way == "fill")
        return list({place(one): one for one in fills}.values())

    @property
    def reaction(self) -> Reaction:
        """What the class of the last failure asks for."""
        return self.policy.on_failure.to(self.last.failure.kind) if self.last.failure else "sample"


def drawn(known: History, tier: Tier) -> int:
    """How many samples the model of ``tier`` has given already, on whatever tiers; fills aside."""
    model = known.models[tier]
    return sum(one.width for one in known.outcomes if known.models[one.tier] == model and one.way != "fill")


def failed_programs(history: Sequence[Outcome]) -> list[str]:
    """``canonical`` of the patches that would fail again, however they are written."""
    failed = [outcome for outcome in history if outcome.failure and kind(outcome) not in _AS_WRITTEN]
    programs = (one for outcome in failed for one in (outcome.canonical, *outcome.others))
    return list(dict.fromkeys(one for one in programs if one))


def kind(outcome: Outcome) -> str | None:
    """The class of its failure; None when it passed."""
    return outcome.failure.kind if outcome.failure else None


def since_unconfirmed(history: Sequence[Outcome]) -> list[Outcome]:
    """The first answer that passed without being confirmed, and all tries after it."""
    history = _on_this_tip(history)
    first = next((place for place, one in enumerate(history) if kind(one) == "unconfirmed"), len(history))
    return [one for one in history[first:] if kind(one) != "model"]


def _on_this_tip(history: Sequence[Outcome]) -> Sequence[Outcome]:
    """What came after the last one that did not fit on top of the other tasks: what passed before that has to
    be found anew."""
    did_not_fit = (
        place
        for place in range(len(history) - 1, 0, -1)
        if kind(history[place]) == "conflict" or history[place - 1].ok
    )
    return history[next(did_not_fit, -1) + 1 :]


def who_passed(known: History) -> set[str]:
    """The models of which an answer passed without being confirmed."""
    answers = since_unconfirmed(known.outcomes)
    return {known.models[one.tier] for one in answers if kind(one) == "unconfirmed"}


def is_settled(history: Sequence[Outcome]) -> bool:
    """Whether an answer was taken already though no other agreed."""
    return any(one.way == "settle" for one in _on_this_tip(history))


def unanswered(history: Sequence[Outcome]) -> int:
    """How often in a row, up to now, the last sample found no model."""
    last, count = history[-1], 0
    for outcome in reversed(history):
        same = (outcome.attempt, outcome.sample, outcome.tier) == (last.attempt, last.sample, last.tier)
        if not same or kind(outcome) != "model":
            break
        count += 1
    return count


def in_a_row(outcomes: Sequence[Outcome], kinds: set[str] | frozenset[str]) -> int:
    """How many at the end of ``outcomes`` failed with one of ``kinds``."""
    others = (index for index, outcome in enumerate(reversed(outcomes)) if kind(outcome) not in kinds)
    return next(others, len(outcomes))


def repeats(attempt: Sequence[Outcome]) -> bool:
    """True when the last sample of ``attempt`` is a patch, or failed in a way, that was there before."""
    *before, last = attempt
    patches = {outcome.patch_sha256 for outcome in before} - {None}
    signatures = {outcome.failure.signature for outcome in before if outcome.failure}
    again = last.failure is not None and last.failure.signature in signatures
    same = last.patch_sha256 in patches or last.canonical in failed_programs(before)
    return same or again or kind(last) == "repeated"


def repairs_made(known: History) -> int:
    """How many samples of this attempt were repairs: each follows a failure that asks for one."""
    *before, _ = known.attempt
    asked = [o for o in before if o.failure and known.policy.on_failure.to(o.failure.kind) == "repair"]
    return min(len(asked), known.policy.repairs.of(known.last.tier))


def best(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The failed sample that came nearest: judged at all, then with the fewest red tests, then the last."""
    others = ("model", "unconfirmed")
    failed = [outcome for outcome in outcomes if outcome.failure and kind(outcome) not in others]
    judged = [outcome for outcome in failed if kind(outcome) not in _NEVER_JUDGED]
    counted = [outcome for outcome in judged if outcome.red]
    return min(reversed(counted), key=lambda outcome: outcome.red) if counted else _last_of(judged or failed)


def _last_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    return outcomes[-1] if outcomes else None


def samples_told(known: History) -> str:
    """How many samples of the last tier, in words."""
    count = sum(outcome.width for outcome in known.tier)
    return f"{count} sample{'s' if count > 1 else ''} on {known.last.tier}"


def place(outcome: Outcome) -> tuple[int, int]:
    """Its attempt and sample: the same for every outcome of one sample."""
    return outcome.attempt, outcome.sample


def last_words(known: History) -> str:
    """The last failure in one line, for people."""
    failure = known.last.failure
    if failure is None:
        return "the last one gave no reason"
    where = f" in {failure.gate}" if failure.gate else ""
    first_line = next((line.strip() for line in failure.digest.splitlines() if line.strip()), "")
    return f"the last failure: {failure.kind}{where}: {first_line[:200]}"
