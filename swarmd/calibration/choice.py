"""In which order a model is asked for the formats, given how it did.

The most correct format comes first; of equally correct ones the one that is more often well-formed, then
the one that takes the fewest tokens of replies. But the default format only gives way to one whose lead is
more than chance: on a dozen exercises, one or two more that happen to be right say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

from swarmd.coding.forms import DEFAULT_ORDER
from swarmd.messages import EditForm, FormScore, FormTrial

__all__ = ["CHANCE", "chance", "leads", "order_of", "score"]

CHANCE = 0.05
"""A lead that comes about by chance this often, or more, is none. Five exercises that one format gets right
and the other does not, against none the other way round, are the least that counts (1/32)."""


def score(form: EditForm, trials: Sequence[FormTrial]) -> FormScore:
    """All trials of ``form`` together."""
    own = [trial for trial in trials if trial.form == form]
    return FormScore(
        form=form,
        correct=sum(trial.correct for trial in own),
        well_formed=sum(trial.well_formed for trial in own),
        prompt_tokens=sum(trial.prompt_tokens for trial in own),
        completion_tokens=sum(trial.completion_tokens for trial in own),
        latency_ms=sum(trial.latency_ms for trial in own),
    )


def order_of(trials: Sequence[FormTrial]) -> list[EditForm]:
    """All formats, the one to ask for first."""
    default = DEFAULT_ORDER[0]
    scores = [score(form, trials) for form in DEFAULT_ORDER]
    ranked = [one.form for one in sorted(scores, key=_rank)]
    before = ranked[: ranked.index(default)]
    ahead = [form for form in before if leads(form, default, trials)]
    behind = [form for form in ranked if form != default and form not in ahead]
    return [*ahead, default, *behind]


def _rank(one: FormScore) -> tuple[int, int, int]:
    return (-one.correct, -one.well_formed, one.completion_tokens)


def leads(form: EditForm, other: EditForm, trials: Sequence[FormTrial]) -> bool:
    """Whether ``form`` is better than ``other`` by more than chance: more often correct, or else no less
    often correct and more often well-formed."""
    if _by(form, other, trials, lambda trial: trial.correct) < CHANCE:
        return True
    correct = {one: score(one, trials).correct for one in (form, other)}
    shape = _by(form, other, trials, lambda trial: trial.well_formed)
    return correct[form] >= correct[other] and shape < CHANCE


def _by(
    form: EditForm, other: EditForm, trials: Sequence[FormTrial], passes: Callable[[FormTrial], bool]
) -> float:
    """How often chance alone gives ``form`` such a lead on the exercises that both did."""
    own = {trial.exercise: passes(trial) for trial in trials if trial.form == form}
    theirs = {trial.exercise: passes(trial) for trial in trials if trial.form == other}
    both = own.keys() & theirs.keys()
    return chance(
        sum(own[name] and not theirs[name] for name in both),
        sum(theirs[name] and not own[name] for name in both),
    )


def chance(wins: int, losses: int) -> float:
    """The probability of at least ``wins`` heads in ``wins + losses`` throws of a coin: the one-sided exact
    sign test, which for pairs of yes and no is McNemar's exact test (McNemar 1947)."""
    throws = wins + losses
    return float(sum(comb(throws, heads) for heads in range(wins, throws + 1)) / 2**throws)
