"""Cache keys, what a reply cost, and how time is told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarmd.bench.cache import Cache, Recorded, is_random, key_of
from swarmd.bench.meter import Call, Meter, covered
from swarmd.bench.runners.base import Clock
from swarmd.bench.usage import Tally

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
REPLY = Recorded("application/json", "{}", 7, 5, 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"messages": [{"role": "user", "content": "ho"}]},
        {"temperature": 0.2},
        {"seed": 1},
        {"max_tokens": 9},
        {"stop": ["\n"]},
        {"stream": True},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_whatever_changes_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert key_of({**ASKED, **change}) != key_of(ASKED)


def test_what_does_not_leaves_the_key() -> None:
    same = {"user": "me", "stream_options": {"include_usage": True}, "stream": False, "seed": None}
    assert key_of({**same, **ASKED}) == key_of(ASKED)
    assert key_of(ASKED, 1) != key_of(ASKED)


def test_random_requests_are_told_by_temperature_and_seed() -> None:
    assert not is_random(ASKED)
    assert is_random({**ASKED, "temperature": 0.7})
    assert is_random({"model": "m"})
    assert not is_random({**ASKED, "temperature": 0.7, "seed": 3})


def test_the_cache_keeps_a_reply_and_forgives_a_torn_file(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    key = key_of(ASKED)
    assert cache.load(key) is None
    cache.save(key, ASKED, REPLY)
    assert cache.load(key) == REPLY
    path = next((tmp_path / "cache").rglob("*.json"))
    assert json.loads(path.read_bytes())["request"] == ASKED
    path.write_bytes(path.read_bytes()[:40])
    assert cache.load(key) is None


def test_overlapping_times_count_once() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1.5, 1.6)]) == 4


def test_time_is_split_between_models_gates_and_the_rest() -> None:
    meter = Meter()
    meter.add(Call((10.0, 14.0), 4.0, 100, 20))
    meter.add(Call((12.0, 15.0), 3.0, 100, 20))
    assert meter.model_s() == 5
    assert meter.gate_s([(14.0, 17.0), (20.0, 21.0)]) == 3
    assert meter.replayed_s == 0


def test_a_cached_reply_counts_as_it_did_when_it_was_recorded() -> None:
    meter = Meter()
    meter.add(Call((10.0, 10.25), 30.0, 100, 20, cached=True))
    assert meter.model_s() == 30
    assert meter.replayed_s == 29.75
    times = iter([0.0, 1.0, 2.0])
    clock = Clock(30.0, meter, lambda: next(times))
    assert clock.seconds == 30.75
    assert clock.is_over


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


SPOKEN = [frame(choices=[{"delta": {"content": word}}]) for word in ("one", " two", "")]
USAGE = frame(choices=[], usage={"prompt_tokens": 11, "completion_tokens": 2})
DONE = b"data: [DONE]\n\n"


def tally(*pieces: bytes, status: int = 200, kind: str = "text/event-stream") -> Tally:
    found = Tally(ASKED)
    found.begin(status, kind)
    for piece in pieces:
        found.feed(piece)
    return found


def test_tokens_are_those_that_the_engine_reports() -> None:
    whole = tally(*SPOKEN, USAGE, DONE)
    call = whole.call(1.0, 3.0, aborted=False)
    assert whole.is_whole
    assert (call.prompt_tokens, call.completion_tokens, call.seconds) == (11, 2, 2.0)
    assert whole.recorded(call).body.endswith("data: [DONE]\n\n")


def test_a_cut_stream_is_not_whole_and_its_tokens_are_counted() -> None:
    cut = tally(*SPOKEN)
    call = cut.call(1.0, 3.0, aborted=True)
    assert not cut.is_whole
    assert call.completion_tokens == 2
    assert call.prompt_tokens == 0  # "hi" is less than one token


def test_an_error_in_the_stream_or_status_is_not_kept() -> None:
    assert not tally(*SPOKEN, frame(error={"message": "no"}), DONE).is_whole
    assert not tally(b'{"error": "x"}', status=500, kind="application/json").is_whole
    assert not tally(b'{"cut', kind="application/json").is_whole


def test_a_plain_reply_is_counted() -> None:
    body = json.dumps({"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()
    plain = tally(body[:9], body[9:], kind="application/json")
    assert plain.is_whole
    assert plain.call(0, 1, aborted=False).prompt_tokens == 3
