"""What a request's tasks make of the request."""

from __future__ import annotations

import pytest

from swarmd.daemon.finish import _status, _summary, commit_message, only_by_models
from swarmd.daemon.needs import blocker, required_failure
from swarmd.daemon.state import RequestState, TaskState
from swarmd.messages import AcceptedRequest, Failure, Outcome, Packet, Plan, Survey


def request(text: str = "Fix the cart", kind: str = "bugfix", **statuses: str) -> RequestState:
    accepted = AcceptedRequest(
        user_request=text,
        request_id="r",
        received_at="2026-01-01T00:00:00.000Z",
        source_name="r.json",
        content_sha256="0" * 64,
    )
    state = RequestState(accepted, 1, 0, accepted.received_at)
    packets = [
        Packet(
            packet_id=f"pkt-r-{number:03}",
            task_id=f"task-{number:03}",
            request_id="r",
            agent_type=agent_type,
            action="x",
            dependencies=[f"task-{number - 1:03}"] if number > 1 else [],
        )
        for number, agent_type in enumerate(statuses, 1)
    ]
    state.plan = Plan.model_validate(
        {"request_id": "r", "origin": "direct", "kind": kind, "packets": [p.model_dump() for p in packets]}
    )
    for packet in packets:
        status = statuses[packet.agent_type]
        state.tasks[packet.task_id] = TaskState(packet, status=status)  # type: ignore[arg-type]
    return state


def fail_with(state: RequestState, agent_type: str, kind: str) -> None:
    failure = Failure.model_validate({"kind": kind, "digest": "d", "signature": "s"})
    for task in state.tasks.values():
        if task.packet.agent_type == agent_type:
            task.history.append(Outcome(attempt=1, sample=1, tier="fast", ok=False, failure=failure))


@pytest.mark.parametrize(
    ("state", "failed"),
    [
        (request(coding="succeeded", git="failed"), None),
        (request(coding="failed", git="skipped"), "coding"),
        (request(coding="succeeded", testing="failed"), None),
        (request("Add it with tests", "feature", coding="succeeded", testing="failed"), "testing"),
        (request(kind="test", testing="failed"), "testing"),
        (request(coding="succeeded", review="failed"), None),
        (request(kind="review", review="failed"), "review"),
        (request(tidier="failed", coding="succeeded"), "tidier"),
    ],
)
def test_which_failure_makes_the_request_fail(state: RequestState, failed: str | None) -> None:
    found = required_failure(state)
    assert (found.packet.agent_type if found else None) == failed


@pytest.mark.parametrize(
    ("state", "blocked_by"),
    [
        (request(coding="succeeded", git="pending"), None),
        (request(coding="running", git="pending"), None),
        (request(testing="failed", git="pending"), None),
        (request("Add it with tests", "feature", testing="failed", git="pending"), "testing"),
        (request(review="failed", git="pending"), None),
        (request(coding="failed", git="pending"), "coding"),
        (request(coding="failed", testing="skipped", git="pending"), "testing"),
    ],
)
def test_a_task_goes_on_without_what_the_request_can_do_without(
    state: RequestState, blocked_by: str | None
) -> None:
    found = blocker(state, list(state.tasks.values())[-1])
    assert (found.packet.agent_type if found else None) == blocked_by


def test_a_review_that_points_at_a_defect_fails_the_request_and_one_without_a_verdict_does_not() -> None:
    state = request(coding="succeeded", review="failed")
    fail_with(state, "review", "model")
    assert required_failure(state) is None
    fail_with(state, "review", "review")
    found = required_failure(state)
    assert found is not None
    assert found.packet.agent_type == "review"


def test_the_commit_message_is_the_git_agents_or_made_from_the_request() -> None:
    state = request("Fix\nthe   cart " + "very " * 30, coding="succeeded", git="failed")
    subject = commit_message(state).splitlines()[0]
    assert subject.startswith("Fix the cart very")
    assert len(subject) <= 72
    state.tasks["task-002"].text = "Fix the cart\n\nIt counted twice.\n"
    assert commit_message(state) == "Fix the cart\n\nIt counted twice."


def test_what_only_a_models_own_tests_check_is_not_called_verified() -> None:
    tested = request(kind="feature", coding="succeeded", testing="succeeded")
    assert "tests that a model wrote" in only_by_models(tested)[0]
    assert "no test at all" in only_by_models(request(kind="feature", coding="succeeded"))[0]
    assert not only_by_models(request(kind="bugfix", coding="succeeded"))


def settle(state: RequestState) -> None:
    task = next(iter(state.tasks.values()))
    task.history.append(Outcome(attempt=2, sample=4, tier="deep", ok=True, way="settle"))


def test_what_was_taken_though_no_answer_agreed_is_unconfirmed() -> None:
    state = request("Add it", "feature", coding="succeeded", testing="succeeded")
    assert _status(state) == ("succeeded", None)
    settle(state)
    assert _status(state) == ("unconfirmed", None)
    assert _summary(state, "unconfirmed", None).startswith("Not confirmed, look at it before you use it.")


def test_what_was_settled_before_it_failed_is_a_failure() -> None:
    state = request("Add it", "feature", coding="failed", testing="skipped")
    settle(state)
    assert _status(state)[0] == "failed"


def test_another_answer_that_passed_after_one_was_settled_counts() -> None:
    state = request("Add it", "feature", coding="succeeded")
    settle(state)
    task = next(iter(state.tasks.values()))
    task.history.append(Outcome(attempt=3, sample=1, tier="deep", ok=True))
    assert _status(state)[0] == "succeeded"


def test_new_code_that_nothing_can_judge_is_unconfirmed() -> None:
    state = request("Add it", "feature", coding="succeeded", testing="succeeded")
    survey = {"request_id": "r", "workspace": "/w", "base_commit": "c", "base_name": "main"}
    state.survey = Survey.model_validate(survey)
    assert _status(state)[0] == "succeeded", "nothing was changed"
    state.commit = "d"
    assert _status(state)[0] == "unconfirmed"
    example = {"example_id": "e", "steps": [], "symbol": "f", "origin": "request"}
    state.survey = Survey.model_validate(survey | {"examples": [example]})
    assert _status(state)[0] == "succeeded"
    fixed = request("Fix it", "bugfix", coding="succeeded")
    fixed.survey, fixed.commit = Survey.model_validate(survey), "d"
    assert _status(fixed)[0] == "succeeded"
