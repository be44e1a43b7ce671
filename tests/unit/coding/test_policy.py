"""The attempt loop, tested by replaying histories."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.coding.policy import TIERS, Stop, Try, next_step
from swarmd.config import PolicySettings, TierNumbers
from swarmd.messages import Failure, Outcome

POLICY = PolicySettings()


def ended(
    attempt: int, sample: int, tier: str, kind: str | None, mark: str = "", **fields: object
) -> Outcome:
    """One line of a history; ``kind`` None: it passed. Marks tell signatures and patches apart."""
    mark = mark or f"{attempt}.{sample}"
    failure = (
        None if kind is None else Failure(kind=kind, digest=f"digest {mark}", signature=f"{kind}:{mark}")
    )
    values = {"attempt": attempt, "sample": sample, "tier": tier, "ok": kind is None, "failure": failure}
    return Outcome.model_validate(values | {"patch_sha256": mark} | fields)


def replay(
    kind: str, start: str = "fast", policy: PolicySettings = POLICY, models: Mapping[str, str] | None = None
) -> list[Try]:
    """Every sample of a task whose samples all fail differently."""
    history: list[Outcome] = []
    tried: list[Try] = []
    while isinstance(step := next_step(history, start, policy, models=models or {}), Try):
        tried.append(step)
        history.append(ended(step.attempt, step.sample, step.tier, kind))
        assert len(tried) < 100
    return tried


def test_the_first_sample_is_cold_and_knows_nothing() -> None:
    assert next_step([], "deep", POLICY) == Try(1, 1, "deep", 0.0)


def test_all_tiers_are_used_up_in_order() -> None:
    tried = replay("assertion")
    assert [(one.tier, one.attempt, one.sample) for one in tried] == [
        ("fast", 1, 1),
        *(("deep", attempt, sample) for attempt in (2, 3) for sample in (1, 2)),
        ("reviewer", 4, 1),
    ]
    assert [one.nth for one in tried] == [1, 1, 2, 3, 4, 1]
    assert {one.way for one in tried} == {"sample"}


def test_a_tier_with_the_model_of_the_one_before_goes_on_with_its_samples() -> None:
    tried = replay("assertion", models={"deep": "large", "reviewer": "large"})
    assert [one.nth for one in tried if one.tier != "fast"] == [1, 2, 3, 4, 5]
    assert [one.temperature for one in tried if one.tier == "reviewer"] == [0.8]
    near = [ended(2, 1, "deep", "assertion", red=1), ended(3, 1, "deep", "assertion", red=1)]
    policy = POLICY.model_copy(update={"samples": TierNumbers(fast=1, deep=1, reviewer=1)})
    other = next_step(near, "deep", policy)
    assert isinstance(other, Try)
    assert (other.tier, other.way) == ("reviewer", "repair")
    same = next_step(near, "deep", policy, models={"deep": "large", "reviewer": "large"})
    assert isinstance(same, Try)
    assert (same.tier, same.way, same.nth) == ("reviewer", "sample", 3)


def test_a_tiers_first_sample_and_the_repair_that_begins_an_attempt_are_cold() -> None:
    policy = POLICY.model_copy(update={"attempts_per_tier": TierNumbers(fast=2, deep=2, reviewer=2)})
    for one in [*replay("assertion"), *replay("assertion", policy=policy)]:
        assert (one.temperature == 0.0) == (one.nth == 1 or (one.sample == 1 and one.way == "repair"))
        assert one.temperature <= 0.8


def test_the_second_attempt_on_a_tier_that_repairs_begins_with_a_repair() -> None:
    settings = {
        "repairs": {"fast": 0, "deep": 1, "reviewer": 1},
        "samples": {"fast": 2, "deep": 2, "reviewer": 1},
        "attempts_per_tier": {"fast": 1, "deep": 2, "reviewer": 1},
    }
    policy = PolicySettings.model_validate(settings)
    tried = {(one.tier, one.attempt, one.sample): one for one in replay("assertion", policy=policy)}
    assert tried["deep", 2, 1].feedback is None, "a new tier begins afresh"
    assert tried["deep", 2, 2].way == "sample"
    repair = tried["deep", 3, 1]
    assert (repair.way, repair.repairs) == ("repair", (2, 2))
    assert repair.feedback is not None
    assert repair.feedback.digest == "digest 2.2"
    assert tried["deep", 3, 2].way == "sample"


def test_an_outage_ends_the_task_with_a_reason() -> None:
    history: list[Outcome] = []
    while isinstance(step := next_step(history, "fast", POLICY), Try):
        history.append(ended(step.attempt, step.sample, step.tier, "model", "down"))
    assert len(history) == 3 * 3
    assert "every tier" in step.reason
    assert "model" in step.reason


def test_max_attempts_holds_over_all_tiers() -> None:
    policy = PolicySettings(max_attempts=3)
    assert max(one.attempt for one in replay("assertion", policy=policy)) == 3


def test_the_stop_says_what_failed_last() -> None:
    history: list[Outcome] = []
    while isinstance(step := next_step(history, "reviewer", POLICY), Try):
        history.append(ended(step.attempt, step.sample, step.tier, "syntax"))
    assert "syntax" in step.reason
    assert "digest 1.1" in step.reason


KINDS = st.sampled_from(["format", "nothing", "refused", "assertion", "model", "conflict", "timeout"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.integers(0, 3), st.integers(0, 300)), max_size=80), st.sampled_from(TIERS)
)
def test_every_history_ends_within_bounds(script: list[tuple[str, int, int]], start: str) -> None:
    history: list[Outcome] = []
    for kind, mark, lines in script:
        step = next_step(history, start, POLICY)
        if isinstance(step, Stop):
            assert step.reason
            return
        assert step.attempt <= POLICY.max_attempts
        assert step.sample <= POLICY.samples.of(step.tier)
        assert not history or TIERS.index(step.tier) >= TIERS.index(history[-1].tier)
        assert (step.way == "sample") == (step.feedback is None)
        history.append(ended(step.attempt, step.sample, step.tier, kind, str(mark), diff_lines=lines))
    assert len(history) <= 3 * (3 + 3 + 2 + 2 + 1)
