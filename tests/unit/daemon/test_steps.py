"""What follows for a task, by the settings of the home and of its agent type."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.daemon.steps import described, judged_before, step_of, then
from swarmd.messages import Failure, Outcome


def office(role: str = "coding", attempts: int | None = None, **settings: Any) -> Any:
    made = SimpleNamespace(
        role=role,
        module=f"swarmd.agents.roles.{role}",
        model=None,
        limits=SimpleNamespace(attempts=attempts),
    )
    return SimpleNamespace(
        settings=Settings.model_validate(settings), types=SimpleNamespace(valid={"coding": made})
    )


def a_task(
    *history: Outcome, agent_type: str = "coding", crashes: int = 0, files: tuple[str, ...] = ("a.py",)
) -> Any:
    packet = SimpleNamespace(agent_type=agent_type, tier="fast", files_owned=files)
    return SimpleNamespace(packet=packet, history=list(history), earlier=0, crashes=crashes, ended=False)


REQUEST: Any = SimpleNamespace(request=SimpleNamespace(tier=None), survey=None, plan=None, tasks={})


def failed(kind: str = "assertion", **fields: Any) -> Outcome:
    failure = Failure.model_validate({"kind": kind, "digest": "red", "signature": kind})
    values = {"attempt": 1, "sample": 1, "tier": "fast", "ok": False, "failure": failure}
    return Outcome.model_validate(values | {"patch_sha256": "p", "canonical": "c"} | fields)


def test_what_comes_next_is_told_in_words() -> None:
    words = then(office(), REQUEST, a_task(), failed())
    assert words == "deep, attempt 2, sample 1"
    late = failed(tier="reviewer", attempt=5)
    assert then(office(), REQUEST, a_task(), late) == "give up"
    passed = Outcome(attempt=1, sample=1, tier="fast", ok=True, diff_files=1)
    assert then(office(), REQUEST, a_task(), passed) == "onto the request's branch"
    assert then(office(), REQUEST, a_task(), passed.model_copy(update={"diff_files": 0})) == "done"


def bugfix(kind: str = "bugfix", *tasks: Any) -> Any:
    survey = SimpleNamespace(
        base_results=[SimpleNamespace(gate="tests", ok=False, failures=["one"])],
        base_failed=[],
        examples=["f(1) == 2"],
    )
    return SimpleNamespace(
        request=SimpleNamespace(tier=None, user_request="Add it", files=[]),
        survey=survey,
        plan=SimpleNamespace(kind=kind, packets=[]),
        tasks={str(number): task for number, task in enumerate(tasks)},
    )


FILLS, SAMPLES = "deep, attempt 1, single statements (1)", "fast, attempt 1, sample 1"


def test_single_statements_come_first_where_a_test_fails() -> None:
    task, red = a_task(), bugfix()
    assert described(step_of(office(), red, task)) == FILLS
    red.survey.base_results[0].failures = []
    assert described(step_of(office(), red, task)) == SAMPLES


def test_fills_know_nothing_of_the_request_so_others_ask_for_samples() -> None:
    assert described(step_of(office(), bugfix("feature"), a_task())) == SAMPLES
    assert described(step_of(office("docs"), bugfix(), a_task())) == SAMPLES
    own = office()
    own.types.valid["coding"].module = "mine.coding"
    assert described(step_of(own, bugfix(), a_task())) == SAMPLES
    plain = {"qwen2.5-coder-1.5b": {"weights": "w", "fill": "none"}}
    assert described(step_of(office(models=plain), bugfix(), a_task())) == SAMPLES
    again = a_task()
    again.earlier = 1
    assert described(step_of(office(), bugfix(), again)) == SAMPLES, "it begins with what failed before"


def test_new_code_that_nothing_can_judge_begins_on_a_larger_tier() -> None:
    unjudged = bugfix("feature")
    unjudged.survey.examples = []
    begins = {"": "deep", "fast": "fast", "reviewer": "reviewer"}
    for least, tier in begins.items():
        policy = {"unjudged_tier": least} if least else {}
        step = step_of(office(policy=policy), unjudged, a_task())
        assert described(step) == f"{tier}, attempt 1, sample 1"
    assert described(step_of(office("docs"), unjudged, a_task())) == SAMPLES
    check = SimpleNamespace(gate="verify-1", ok=True, failures=[])
    unjudged.survey.base_results.append(check)
    assert described(step_of(office(), unjudged, a_task())).startswith("deep"), "it passes already"
    check.ok = False
    assert described(step_of(office(), unjudged, a_task())) == SAMPLES
    unjudged.survey.base_results.remove(check)
    unjudged.plan.packets = [SimpleNamespace(files_owned=["LICENSE", "config.toml"])]
    assert described(step_of(office(), unjudged, a_task())) == SAMPLES, "it is no code"
    unjudged.plan.packets = []
    unjudged.survey.base_failed = ["test_a.py::test_it"]
    assert described(step_of(office(), unjudged, a_task())).startswith("deep"), "it is not about that test"
    unjudged.request.user_request = "Make test_it pass"
    assert described(step_of(office(), unjudged, a_task())) == SAMPLES


def test_only_the_last_task_that_changes_code_is_filled_in() -> None:
    first, second = a_task(), a_task()
    assert described(step_of(office(), bugfix("bugfix", first, second), first)) == SAMPLES
    first.ended = True
    assert described(step_of(office(), bugfix("bugfix", first, second), second)) == FILLS


def test_repairs_are_told_apart() -> None:
    policy = {
        "repairs": {"fast": 1, "deep": 1, "reviewer": 1},
        "samples": {"fast": 2, "deep": 2, "reviewer": 1},
    }
    step = step_of(office(policy=policy), REQUEST, a_task(failed("name")))
    assert described(step) == "fast, attempt 1, sample 2, to repair the patch"


def test_a_model_that_answers_several_calls_is_asked_for_several_samples() -> None:
    models = {"qwen2.5-coder-0.5b": {"parallel": 8, "weights": "w"}}
    policy = {"samples": {"fast": 9, "deep": 1, "reviewer": 1}}
    step = step_of(office(models=models, policy=policy), REQUEST, a_task(failed()))
    assert described(step) == "fast, attempt 1, 4 samples at one time", "no more than the tier's concurrency"
    made = office(models=models, policy=policy)
    for files in ((), ("a.py", "b.py")):
        assert getattr(step_of(made, REQUEST, a_task(failed(), files=files)), "width", 0) == 1


def test_tests_that_failed_are_taken_out_on_any_tier() -> None:
    assert getattr(step_of(office("testing"), REQUEST, a_task(failed())), "way", "") == "repair"
    assert getattr(step_of(office("coding"), REQUEST, a_task(failed())), "way", "") == "sample"


@pytest.mark.parametrize(
    ("task", "why"), [(a_task(crashes=3), "poison"), (a_task(agent_type="gone"), "no valid agent type")]
)
def test_what_cannot_go_on_stops(task: Any, why: str) -> None:
    assert why in getattr(step_of(office(), REQUEST, task), "reason", "")


def test_a_types_own_limit_of_attempts_holds() -> None:
    history = [failed(), failed(sample=2)]
    assert "all 1 attempts" in getattr(step_of(office(attempts=1), REQUEST, a_task(*history)), "reason", "")


def test_programs_from_before_the_request_was_opened_again_are_judged_again() -> None:
    task = a_task(failed(canonical="old"), failed(canonical="new"))
    task.earlier = 1
    assert judged_before(task) == ["new"]
