"""Calls put together from their two lines."""

from typing import Any

import pytest

from swarmd.audit.modelcalls import MOST_OPEN, Blocked, CallReader, CallRecord


def line(seq: int, event: str, call_id: str = "call-1", **data: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "ts": f"t{seq}",
        "event": event,
        "actor": "coding.1",
        "request_id": "login",
        "data": {"call_id": call_id, **data},
    }


def read(*lines: dict[str, Any]) -> list[CallRecord | Blocked]:
    reader = CallReader()
    return [*(found for one in lines for found in reader.take(one)), *reader.rest()]


WHY = {
    "destination": "https://api.openai.com:443",
    "bytes_sent": 120,
    "rule": "plans",
    "mode": "auto",
    "candidates": ["big", "small"],
    "refused": ["other: privacy: strict"],
}


def test_what_the_start_says_is_known_at_the_end() -> None:
    (call,) = read(
        line(3, "model_call_start", model="big", local=False, **WHY),
        line(9, "model_call_complete", model="big", local=False, bytes_received=33, prompt_tokens=5),
    )
    assert isinstance(call, CallRecord)
    assert (call.start_seq, call.seq, call.ts, call.outcome) == (3, 9, "t9", "answered")
    assert (call.destination, call.bytes_sent, call.bytes_received) == ("https://api.openai.com:443", 120, 33)
    assert (call.rule, call.mode, call.candidates, call.refused) == (
        "plans",
        "auto",
        "big; small",
        "other: privacy: strict",
    )
    assert call.has_left


def test_one_call_may_be_asked_of_several_models() -> None:
    one, two = read(
        line(1, "model_call_start", model="a", local=True),
        line(2, "model_call_complete", model="a", local=True, code="E-MODEL-DOWN"),
        line(3, "model_call_start", model="b", local=True),
        line(4, "model_call_complete", model="b", local=True),
    )
    assert isinstance(one, CallRecord)
    assert isinstance(two, CallRecord)
    assert [(c.model, c.outcome, c.code) for c in (one, two)] == [
        ("a", "failed", "E-MODEL-DOWN"),
        ("b", "answered", None),
    ]


def test_a_call_whose_broker_died_is_told_because_its_prompt_may_be_gone() -> None:
    (call,) = read(line(1, "model_call_start", local=False))
    assert isinstance(call, CallRecord)
    assert (call.outcome, call.seq, call.has_left) == ("no end", 1, True)


@pytest.mark.parametrize(
    ("data", "left"),
    [
        ({}, None),
        ({"local": "yes"}, None),
        ({"local": True}, False),
        ({"local": False}, True),
        ({"local": False, "bytes_sent": 0}, False),
        ({"local": False, "code": "E-MODEL-PRIVACY"}, False),
        ({"local": False, "code": "E-MODEL-DOWN"}, True),
    ],
)
def test_what_may_have_left(data: dict[str, Any], left: bool | None) -> None:
    (call,) = read(line(1, "model_call_complete", **data))
    assert isinstance(call, CallRecord)
    assert call.has_left is left


def test_blocked_attempts() -> None:
    (attempt,) = read(line(4, "privacy_blocked", model="big", code="E-MODEL-PRIVACY", reason="not here"))
    assert attempt == Blocked(4, "t4", "login", "coding.1", "big", None, "E-MODEL-PRIVACY", "not here", None)


def test_starts_without_an_end_do_not_pile_up() -> None:
    reader = CallReader()
    lines = (line(n, "model_call_start", f"call-{n}") for n in range(MOST_OPEN + 5))
    assert [found.seq for one in lines for found in reader.take(one)] == list(range(5))


@pytest.mark.parametrize("event", ["model_call_start", "model_call_complete", "privacy_blocked"])
@pytest.mark.parametrize(
    "data", [None, [], {"call_id": [1], "bytes_sent": "x", "refused": [1, {"a": 2}], "model": {}}]
)
def test_lines_of_any_shape_are_survived(event: str, data: Any) -> None:
    (found,) = read({"event": event, "seq": "x", "data": data})
    assert found.seq == 0
