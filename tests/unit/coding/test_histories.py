"""The policy's rules, each by histories that are replayed.

A sample is written as ``tier attempt.sample class``, with what else is known of it: ``lines`` and
``files`` of its patch, ``red`` tests, ``patch``, ``program`` (its normalised tree) and ``sign`` (its
failure's signature) where they are the same as another sample's. What follows is written alike:
``repair 3.1`` is shown the patch of sample 3.1.
"""

from __future__ import annotations

import pytest

from swarmd.coding.history import failed_programs
from swarmd.coding.policy import TIERS, Try, next_step
from swarmd.config import PolicySettings
from swarmd.messages import Failure, Outcome

POLICY = PolicySettings.model_validate(
    {
        "samples": {"fast": 3, "deep": 2, "reviewer": 1},
        "attempts_per_tier": {"fast": 2, "deep": 2, "reviewer": 2},
        "repairs": {"fast": 0, "deep": 1, "reviewer": 1},
        "on_failure": {"assertion": "repair"},
    }
)
FAST_1 = "fast 1.1 assertion, fast 1.2 assertion, fast 1.3 assertion"
FAST = f"{FAST_1}, fast 2.1 assertion, fast 2.2 assertion, fast 2.3 assertion"
DEEP_3 = f"{FAST}, deep 3.1 assertion red=5, deep 3.2 assertion red=4"

HISTORIES = {
    # 1, 2: the beginning and the end
    "nothing was tried": ("", "fast 1.1 sample"),
    "it passed": ("fast 1.1 ok", "stop: it passed its gates"),
    "it passed at last": (f"{FAST}, deep 3.1 ok", "stop: it passed its gates"),
    # 3: no model answers
    "no model once": ("fast 1.1 model", "fast 1.1 sample"),
    "no model twice": ("fast 1.1 model, fast 1.1 model", "fast 1.1 sample"),
    "no model three times": ("fast 1.1 model, fast 1.1 model, fast 1.1 model", "deep 2.1 sample"),
    "no model in the middle": ("fast 1.1 assertion, fast 1.2 model", "fast 1.2 sample"),
    "a new sample has three tries of its own": (
        "fast 1.1 model, fast 1.1 model, fast 1.1 syntax, fast 1.2 model",
        "fast 1.2 sample",
    ),
    "no model on the last tier": (
        "reviewer 1.1 model, reviewer 1.1 model, reviewer 1.1 model",
        "stop: every tier up to reviewer failed",
    ),
    # 5: large patches leave the fast tier
    "more than three files": ("fast 1.1 assertion files=4", "deep 2.1 sample"),
    "three files are few enough": ("fast 1.1 assertion files=3", "fast 1.2 sample"),
    "more than two hundred lines": ("fast 1.1 lint lines=201", "deep 2.1 sample"),
    "two hundred lines are few enough": ("fast 1.1 lint lines=200", "fast 1.2 sample"),
    # 6: and the deep one
    "deep's patch is large": (f"{FAST}, deep 3.1 assertion lines=121", "reviewer 4.1 sample"),
    "deep's patch is not large": (f"{FAST}, deep 3.1 assertion lines=120", "deep 3.2 repair 3.1"),
    "a reviewer's patch may be large": (
        f"{FAST}, deep 3.1 assertion lines=121, reviewer 4.1 assertion lines=121",
        "reviewer 5.1 repair 4.1",
    ),
    # 7: type errors persist
    "type errors once": ("fast 1.1 types", "fast 1.2 sample"),
    "type errors twice": ("fast 1.1 types, fast 1.2 types", "deep 2.1 sample"),
    "type errors, but not in a row": ("fast 1.1 types, fast 1.2 name, fast 1.3 types", "fast 2.1 sample"),
    "type errors over two attempts": (
        "fast 1.1 name, fast 1.2 name, fast 1.3 types, fast 2.1 types",
        "deep 3.1 sample",
    ),
    "type errors on the deep tier": ("deep 1.1 types, deep 1.2 types", "reviewer 2.1 sample"),
    # 8: failures that do not tell what is wrong
    "deep times out once": ("deep 1.1 timeout", "deep 1.2 sample"),
    "deep is unclear twice": ("deep 1.1 timeout, deep 1.2 limits", "reviewer 2.1 sample"),
    "fast may be unclear": ("fast 1.1 timeout, fast 1.2 limits", "fast 1.3 sample"),
    # 9: conflicts
    "a conflict begins a new attempt": ("fast 1.1 conflict", "fast 2.1 repair 1.1"),
    "on a tier that repairs, too": ("deep 1.1 conflict", "deep 2.1 repair 1.1"),
    "it passed alone, and not with the other tasks": (
        "fast 1.1 ok, fast 1.1 assertion",
        "fast 2.1 repair 1.1",
    ),
    "it failed, and another one passed": ("fast 1.1 assertion, fast 1.2 assertion", "fast 1.3 sample"),
    "two conflicts use up the tier": ("fast 1.1 conflict, fast 2.1 conflict", "deep 3.1 repair 2.1"),
    "what did not fit is shown, not what once came near": (
        "deep 1.1 assertion red=2, deep 1.2 ok, deep 1.2 conflict",
        "deep 2.1 repair 1.2",
    ),
    "a conflict on the last tier": (
        "reviewer 1.1 conflict, reviewer 2.1 conflict",
        "stop: every tier up to reviewer failed",
    ),
    # 10: repetitions
    "the same patch": ("fast 1.1 assertion patch=x, fast 1.2 assertion patch=x", "fast 2.1 sample"),
    "the same program": (
        "fast 1.1 assertion program=a, fast 1.2 assertion program=a",
        "fast 2.1 sample",
    ),
    "the same program, once with what is refused": (
        "fast 1.1 refused program=a, fast 1.2 assertion program=a",
        "fast 1.3 sample",
    ),
    "the same program, once not well laid out": (
        "fast 1.1 lint program=a, fast 1.2 assertion program=a",
        "fast 1.3 sample",
    ),
    "a program that the agent knew to be judged": (
        "fast 1.1 assertion, fast 1.2 repeated",
        "fast 2.1 sample",
    ),
    "the same failure": ("fast 1.1 assertion sign=x, fast 1.2 assertion sign=x", "fast 2.1 sample"),
    "the same failure in another attempt": (
        "fast 1.1 assertion sign=x, fast 1.2 assertion sign=x, fast 2.1 assertion sign=x",
        "fast 2.2 sample",
    ),
    # 11: what the class of a failure asks for
    "no edit can be read": ("fast 1.1 format", "fast 1.2 reask"),
    "it does not apply": ("fast 1.1 apply", "fast 1.2 reask"),
    "it breaks a rule": ("fast 1.1 refused", "fast 1.2 shrink"),
    "tests went missing": ("fast 1.1 missing", "fast 1.2 shrink"),
    "it changed nothing": ("fast 1.1 nothing", "fast 1.2 sample"),
    "it timed out": ("fast 1.1 timeout", "fast 1.2 sample"),
    "small models do not repair": ("fast 1.1 name", "fast 1.2 sample"),
    "larger ones repair an unknown name": ("deep 1.1 name", "deep 1.2 repair 1.1"),
    "and a syntax error": ("deep 1.1 syntax", "deep 1.2 repair 1.1"),
    "and a failed test": ("deep 1.1 assertion", "deep 1.2 repair 1.1"),
    # 12, 13: attempts and tiers
    "an attempt is over after its samples": (FAST_1, "fast 2.1 sample"),
    "the next attempt begins with what came nearest": (
        "deep 1.1 assertion red=2, deep 1.2 assertion red=3",
        "deep 2.1 repair 1.1",
    ),
    "and goes on with a sample that knows of nothing": (
        "deep 1.1 timeout, deep 1.2 assertion, deep 2.1 timeout",
        "deep 2.2 sample",
    ),
    "a reply without an edit came less near": (
        "deep 1.1 syntax, deep 1.2 format",
        "deep 2.1 repair 1.1",
    ),
    "a gate failed twice": (FAST, "deep 3.1 sample"),
    "deep's second attempt": (DEEP_3, "deep 4.1 repair 3.2"),
    "deep was nearly right": (
        f"{DEEP_3}, deep 4.1 assertion red=1, deep 4.2 assertion red=2",
        "reviewer 5.1 repair 4.1",
    ),
    "deep was far off": (
        f"{DEEP_3}, deep 4.1 assertion red=6, deep 4.2 assertion red=2",
        "reviewer 5.1 sample",
    ),
    # 14: the end
    "five attempts were made": (
        f"{DEEP_3}, deep 4.1 assertion, deep 4.2 assertion, reviewer 5.1 assertion",
        "stop: all 5 attempts failed",
    ),
    "there is no tier above": (
        "reviewer 1.1 assertion, reviewer 2.1 assertion",
        "stop: every tier up to reviewer failed",
    ),
}


def read(text: str) -> list[Outcome]:
    """The history that ``text`` tells."""
    outcomes = []
    for number, sample in enumerate(filter(None, text.split(", "))):
        tier, place, kind, *rest = sample.split()
        facts = dict(fact.split("=") for fact in rest)
        attempt, _, index = place.partition(".")
        sign = facts.get("sign", f"s{number}")
        outcomes.append(
            Outcome.model_validate(
                {
                    "attempt": int(attempt),
                    "sample": int(index),
                    "tier": tier,
                    "ok": kind == "ok",
                    "failure": None
                    if kind == "ok"
                    else Failure(kind=kind, gate="tests", digest="red", signature=f"{kind}:{sign}"),
                    "patch_sha256": facts.get("patch", f"p{number}"),
                    "canonical": facts.get("program", f"c{number}"),
                    "diff_lines": int(facts.get("lines", 5)),
                    "diff_files": int(facts.get("files", 1)),
                    "red": int(facts.get("red", 0)),
                    "way": facts.get("way", "sample"),
                    "width": int(facts.get("width", 1)),
                }
            )
        )
    return outcomes


def tell(step: object) -> str:
    """``step`` as the histories write it."""
    if not isinstance(step, Try):
        return f"stop: {step.reason}"  # type: ignore[attr-defined]
    shown = f" {step.repairs[0]}.{step.repairs[1]}" if step.repairs else ""
    assert (step.feedback is None) == (step.way in ("sample", "fill", "settle")), (
        "what is told why is told so"
    )
    return f"{step.tier} {step.attempt}.{step.sample} {step.way}{shown}"


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_followed_by(name: str) -> None:
    history, expected = HISTORIES[name]
    start = history.split()[0] if history else "fast"
    step = tell(next_step(read(history), start, POLICY))  # type: ignore[arg-type]
    assert step.startswith(expected) if expected.startswith("stop") else step == expected


FILLED = "fast 1.1 assertion way=fill width=4"
DEEP_FILLED = f"{FILLED}, deep 2.1 assertion way=fill width=4, deep 2.2 nothing way=fill"
DEEP_DONE = f"{DEEP_FILLED}, deep 2.3 assertion way=fill"

WITH_FILLS = {
    "single statements come first": ("", "fast 1.1 fill"),
    "no model answered a fill": ("fast 1.1 model way=fill", "fast 1.1 fill"),
    "a fill that passes is the end": ("fast 1.1 ok way=fill", "stop: it passed its gates"),
    "the fast tier fills once, and then makes its samples": (FILLED, "fast 2.1 sample"),
    "when those have failed, the next tier fills": (
        f"{FILLED}, fast 2.1 assertion, fast 2.2 assertion",
        "deep 3.1 fill",
    ),
    "a fill does not fit with the others": ("fast 1.1 conflict way=fill", "fast 2.1 repair 1.1"),
    "it passed alone, and not with the others": (
        "fast 1.1 ok way=fill, fast 1.1 assertion way=fill",
        "fast 2.1 repair 1.1",
    ),
    "the deep tier fills again": (DEEP_FILLED, "deep 2.3 fill"),
    "though its failures are alike": (
        f"{FILLED}, deep 2.1 assertion way=fill sign=x, deep 2.2 assertion way=fill sign=x",
        "deep 2.3 fill",
    ),
    "and tell nothing": (
        f"{FILLED}, deep 2.1 timeout way=fill, deep 2.2 timeout way=fill",
        "deep 2.3 fill",
    ),
    "until it had enough: that was an attempt": (DEEP_DONE, "deep 3.1 sample"),
    "fills are repaired by nobody": (
        f"{DEEP_FILLED}, deep 2.3 assertion way=fill red=1, deep 3.1 assertion red=5",
        "deep 3.2 sample",
    ),
    "on the last tier they come first, too": (
        ", ".join(f"deep 1.{nth} assertion way=fill" for nth in (1, 2, 3))
        + ", deep 2.1 assertion, deep 2.2 assertion, deep 3.1 assertion, deep 3.2 assertion",
        "reviewer 4.1 fill",
    ),
    "the tier's second attempt at samples": (
        f"{DEEP_DONE}, deep 3.1 assertion, deep 3.2 assertion",
        "deep 4.1 sample",
    ),
    "an outage is no fill": (
        f"{FILLED}, deep 2.1 model way=fill, deep 2.1 assertion way=fill, deep 2.2 assertion way=fill",
        "deep 2.3 fill",
    ),
    "nor a sample": (
        "fast 1.1 model way=fill, fast 1.1 gaps way=fill, fast 1.2 syntax, fast 1.3 assertion",
        "deep 2.1 fill",
    ),
    "nothing is there to fill": ("fast 1.1 gaps way=fill", "fast 1.2 sample"),
    "then there are as many samples as else": ("fast 1.1 gaps way=fill, fast 1.2 syntax", "fast 1.3 sample"),
    "and no more": ("fast 1.1 gaps way=fill, fast 1.2 syntax, fast 1.3 assertion", "deep 2.1 fill"),
    "nothing can be filled on the last tier": ("reviewer 1.1 gaps way=fill", "reviewer 1.2 sample"),
}


@pytest.mark.parametrize("name", WITH_FILLS)
def test_a_history_with_statements_to_fill_is_followed_by(name: str) -> None:  # 3a
    history, expected = WITH_FILLS[name]
    policy = PolicySettings.model_validate(
        {
            "samples": {"fast": 2, "deep": 2, "reviewer": 1},
            "fills": {"fast": 1, "deep": 3, "reviewer": 1},
            "fill_width": {"fast": 4, "deep": 4, "reviewer": 4},
        }
    )
    start = history.split()[0] if history else "fast"
    step = next_step(read(history), start, policy, fillers=TIERS)  # type: ignore[arg-type]
    told = tell(step)
    assert told.startswith(expected) if expected.startswith("stop") else told == expected
    if isinstance(step, Try) and step.way == "fill":
        assert (step.width, step.temperature) == (4, 0.0)


def test_a_task_begins_where_statements_are_filled_in() -> None:
    assert tell(next_step([], "fast", PolicySettings(), fillers=TIERS)) == "deep 1.1 fill"
    assert tell(next_step([], "reviewer", PolicySettings(), fillers=TIERS)) == "reviewer 1.1 sample"
    assert tell(next_step([], "fast", PolicySettings())) == "fast 1.1 sample"


UNSURE = "fast 1.1 unconfirmed"

OPINIONS = {
    "another answer is asked for, of a larger model": (UNSURE, "deep 2.1 sample"),
    "no other model is left": ("fast 1.1 assertion, deep 2.1 unconfirmed", "deep 2.2 settle 2.1"),
    "or was there from the first": ("reviewer 1.1 unconfirmed", "reviewer 1.2 settle 1.1"),
    "two agree": (f"{UNSURE}, deep 2.1 ok", "stop: it passed its gates"),
    "two differ, so a third is asked": (f"{UNSURE}, deep 2.1 unconfirmed", "deep 2.2 sample"),
    "the third agrees with one": (
        f"{UNSURE}, deep 2.1 unconfirmed, deep 2.2 ok",
        "stop: it passed its gates",
    ),
    "all differ: the larger model's first is taken": (
        f"{UNSURE}, deep 2.1 unconfirmed, deep 2.2 unconfirmed",
        "deep 2.3 settle 2.1",
    ),
    "one that failed was a try, too": (
        f"{UNSURE}, deep 2.1 assertion, deep 2.2 unconfirmed",
        "deep 2.3 settle 2.2",
    ),
    "no other passed": (f"{UNSURE}, deep 2.1 assertion, deep 2.2 assertion", "fast 2.3 settle 1.1"),
    "an outage is no try": (
        f"{UNSURE}, deep 2.1 model, deep 2.1 model, deep 2.1 unconfirmed",
        "deep 2.2 sample",
    ),
    "what is taken does not fit: the next is asked for as ever": (
        "deep 1.1 unconfirmed, deep 1.2 ok way=settle, deep 1.2 conflict way=settle",
        "deep 2.1 repair 1.2",
    ),
    "and can be taken, too": (
        "deep 1.1 unconfirmed, deep 1.2 ok way=settle, deep 1.2 conflict way=settle, deep 2.1 unconfirmed",
        "deep 2.2 settle 2.1",
    ),
    "the end comes first": (
        "reviewer 1.1 unconfirmed, reviewer 1.2 model, reviewer 1.2 model, reviewer 1.2 model",
        "reviewer 1.3 settle 1.1",
    ),
    "it is taken": (
        f"{UNSURE}, deep 2.1 assertion, deep 2.2 assertion, fast 2.3 ok way=settle",
        "stop: it passed its gates",
    ),
    "and if it cannot be, not again": (
        "reviewer 1.1 unconfirmed, reviewer 1.2 assertion, reviewer 1.3 assertion,"
        " reviewer 1.4 assertion way=settle, reviewer 2.1 assertion",
        "stop: ",
    ),
}


@pytest.mark.parametrize("name", OPINIONS)
def test_a_history_of_answers_that_only_examples_speak_for_is_followed_by(name: str) -> None:  # 3b
    history, expected = OPINIONS[name]
    policy, models = PolicySettings(opinions=3), {"deep": "large", "reviewer": "large"}
    step = tell(next_step(read(history), history.split()[0], policy, models=models))  # type: ignore[arg-type]
    assert step.startswith(expected) if expected.startswith("stop") else step == expected


def test_a_third_model_is_asked_where_there_is_one() -> None:
    def after(history: str, **models: str) -> str:
        return tell(next_step(read(history), "fast", PolicySettings(opinions=3), models=models))  # type: ignore[arg-type]

    both = f"{UNSURE}, deep 2.1 unconfirmed"
    assert after(both) == "reviewer 3.1 sample"
    near = "fast 1.1 assertion, deep 2.1 assertion red=1, deep 2.2 unconfirmed"
    assert after(near) == "reviewer 3.1 sample", "by itself, not shown what failed"
    assert after("fast 1.1 assertion, deep 2.1 unconfirmed") == "reviewer 3.1 sample"
    assert after(UNSURE, fast="one", deep="one") == "reviewer 2.1 sample"
    assert after(UNSURE, fast="one", deep="one", reviewer="one") == "fast 1.2 settle 1.1"


def test_what_was_not_confirmed_did_not_fail() -> None:
    assert failed_programs(read(f"{UNSURE} program=a, deep 2.1 assertion program=b")) == ["b"]


def test_only_tiers_whose_models_can_fill_do() -> None:
    policy = PolicySettings.model_validate({"fills": {"fast": 2, "deep": 2, "reviewer": 2}})
    assert tell(next_step([], "fast", policy, fillers=["deep"])) == "deep 1.1 fill"
    assert tell(next_step([], "fast", policy, fillers=[])) == "fast 1.1 sample"
    history = read("fast 1.1 assertion, fast 1.2 assertion")
    assert tell(next_step(history, "fast", policy, fillers=["deep"])) == "deep 2.1 fill"


def test_a_tiers_samples_are_counted_apart_from_its_fills() -> None:
    policy = PolicySettings.model_validate({"fills": {"fast": 0, "deep": 1, "reviewer": 0}})
    history = "deep 1.1 assertion way=fill width=4"
    first = next_step(read(history), "deep", policy, fillers=["deep"])
    second = next_step(read(f"{history}, deep 2.1 assertion"), "deep", policy, fillers=["deep"])
    assert isinstance(first, Try)
    assert isinstance(second, Try)
    assert (first.nth, first.temperature) == (1, 0.0)
    assert (second.nth, second.temperature > 0) == (2, True)


def test_the_last_attempt_is_never_one_of_fills() -> None:
    policy = PolicySettings(max_attempts=2)
    done = ", ".join(f"deep 1.{sample} assertion way=fill" for sample in (1, 2, 3, 4))
    assert tell(next_step(read(done), "fast", policy, fillers=TIERS)) == "deep 2.1 sample"
    assert tell(next_step(read(FILLED), "fast", policy, fillers=TIERS)) == "fast 2.1 sample"
    assert tell(next_step([], "fast", PolicySettings(max_attempts=1), fillers=TIERS)) == "fast 1.1 sample"


@pytest.mark.parametrize("reaction", ["stop", "escalate"])
def test_a_class_may_end_the_task_or_the_tier(reaction: str) -> None:  # 4
    policy = PolicySettings.model_validate({"on_failure": {"timeout": reaction}})
    step = tell(next_step(read("fast 1.1 timeout"), "fast", policy))
    assert step.startswith(
        "stop: a failure of the class timeout" if reaction == "stop" else "deep 2.1 sample"
    )


def test_repairs_are_limited_within_an_attempt() -> None:
    policy = PolicySettings.model_validate(
        {
            "samples": {"fast": 3, "deep": 4, "reviewer": 1},
            "repairs": {"fast": 0, "deep": 1, "reviewer": 1},
            "on_failure": {"assertion": "repair"},
        }
    )
    history = "deep 1.1 assertion, deep 1.2 assertion"
    assert tell(next_step(read("deep 1.1 assertion"), "deep", policy)) == "deep 1.2 repair 1.1"
    assert tell(next_step(read(history), "deep", policy)) == "deep 1.3 sample"
    more = policy.model_copy(update={"repairs": policy.repairs.model_copy(update={"deep": 2})})
    assert tell(next_step(read(history), "deep", more)) == "deep 1.3 repair 1.2"


def test_why_it_goes_up_is_told() -> None:
    whys = {
        "fast 1.1 assertion files=4": "the patch changes 5 lines in 4 files",
        "fast 1.1 types, fast 1.2 types": "type errors persist in 2 samples",
        FAST: "tests failed in 6 samples on fast",
        "deep 1.1 timeout, deep 1.2 timeout": "2 failures do not tell what is wrong",
    }
    for history, why in whys.items():
        step = next_step(read(history), history.split()[0], POLICY)  # type: ignore[arg-type]
        assert isinstance(step, Try)
        assert step.why == why


def test_plain_samples_are_drawn_as_many_at_one_time_as_the_model_answers() -> None:
    policy = PolicySettings.model_validate({"samples": {"fast": 6, "deep": 4, "reviewer": 1}})
    slots = {"fast": 4, "deep": 4}
    first = next_step([], "fast", policy, slots)
    assert isinstance(first, Try)
    assert first.width == 1, "the first one often passes"
    wide = next_step(read("fast 1.1 assertion"), "fast", policy, slots)
    assert isinstance(wide, Try)
    assert (wide.sample, wide.width) == (2, 4)
    assert wide.temperature > 0
    history = read("fast 1.1 assertion, fast 1.2 assertion")
    history[1] = history[1].model_copy(update={"width": 4})
    rest = next_step(history, "fast", policy, slots)
    assert isinstance(rest, Try)
    assert (rest.sample, rest.width) == (6, 1)
    history[1] = history[1].model_copy(update={"width": 5})
    assert tell(next_step(history, "fast", policy, slots)).startswith("deep 2.1")


def test_a_repair_is_one_sample() -> None:
    policy = PolicySettings.model_validate(
        {"samples": {"fast": 3, "deep": 4, "reviewer": 1}, "repairs": {"fast": 0, "deep": 1, "reviewer": 1}}
    )
    step = next_step(read("deep 1.1 name"), "deep", policy, {"deep": 4})
    assert isinstance(step, Try)
    assert (step.way, step.width) == ("repair", 1)


def test_programs_that_were_judged_beside_the_nearest_one_are_known() -> None:
    history = read("fast 1.1 assertion program=a, fast 1.2 lint program=b")
    history[0] = history[0].model_copy(update={"others": ["c", "a"]})
    assert failed_programs(history) == ["a", "c"]


def test_a_conflict_gives_a_tier_a_second_attempt_even_if_it_has_but_one() -> None:
    step = next_step(read("fast 1.1 ok, fast 1.1 conflict"), "fast", PolicySettings())
    assert tell(step) == "fast 2.1 repair 1.1"
