"""Sums over model calls, and how long the machine was answering."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.audit.busy import MOST_OPEN, Busy
from swarmd.audit.usage import BY, By, UsageFold, amount


def call(second: int, latency_s: int = 1, /, *, local: Any = True, **data: Any) -> dict[str, Any]:
    return {
        "event": "model_call_complete",
        "ts": f"2026-11-21T10:{second // 60:02d}:{second % 60:02d}.000Z",
        "request_id": data.pop("request_id", "login"),
        "task_id": data.pop("task_id", "task-001"),
        "tier": data.pop("tier", "fast"),
        "latency_ms": latency_s * 1000,
        "data": {"model": "small", "provider": "embedded", "local": local, **data},
    }


def folded(lines: list[dict[str, Any]], by: By = "tier", **options: Any) -> UsageFold:
    fold = UsageFold(by, **options)
    for line in lines:
        fold.take(line)
    return fold


def test_tokens_here_and_elsewhere_are_kept_apart() -> None:
    fold = folded(
        [
            call(1, prompt_tokens=100, cached_tokens=40, completion_tokens=10),
            call(2, prompt_tokens=7, completion_tokens=3, local=False, micro_usd=55),
            call(3, code="E-MODEL-DOWN"),
        ]
    )
    local, cloud = fold.total.local, fold.total.cloud
    assert (local.calls, local.failed, local.prompt_tokens, local.cached_tokens, local.tokens) == (
        2,
        1,
        100,
        40,
        110,
    )
    assert (cloud.calls, cloud.tokens, cloud.micro_usd, cloud.unpriced) == (1, 10, 55, 0)
    assert fold.total.both.tokens == 120
    assert (fold.first, fold.last) == ("2026-11-21T10:00:01.000Z", "2026-11-21T10:00:03.000Z")


def test_a_cloud_call_without_a_price_is_not_free_but_unknown() -> None:
    fold = folded([call(1, prompt_tokens=7, local=False), call(2, local=False, code="E-MODEL-DOWN")])
    assert fold.total.cloud.unpriced == 1


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("request", ["login", "other"]),
        ("task", ["login/task-001", "login/task-002", "other"]),
        ("tier", ["fast", "deep"]),
        ("provider", ["embedded", "openai"]),
        ("model", ["small", "large"]),
        ("day", ["2026-11-21"]),
    ],
)
def test_groups(by: By, names: list[str]) -> None:
    lines = [
        call(1),
        call(2, task_id="task-002", tier="deep", model="large"),
        call(3, request_id="other", task_id=None, provider="openai"),
    ]
    fold = folded(lines, by)
    assert sorted(fold.groups) == sorted(names)
    assert sum(spent.both.calls for spent in fold.groups.values()) == 3


def test_groups_are_bounded_and_nothing_gets_lost() -> None:
    fold = folded(
        [call(n % 50, request_id=f"r{n}", prompt_tokens=2) for n in range(1000)], "request", most_groups=10
    )
    assert list(fold.groups) == [f"r{n}" for n in range(990, 1000)]
    assert fold.merged_groups == 990
    assert fold.merged.local.tokens == 1980
    assert fold.total.local.tokens == 2000


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(
    "line",
    [
        {},
        {"event": "model_call_complete"},
        {"event": "model_call_complete", "data": [1], "ts": None, "latency_ms": "x", "request_id": ["a"]},
        {
            "event": "model_call_complete",
            "data": {"prompt_tokens": -5, "micro_usd": True, "model": {}},
            "ts": "no",
        },
        {"event": "model_call_complete", "ts": "9999-12-31T23:59:59Z", "latency_ms": 2**52, "data": {}},
        {"event": ["model_call_complete"]},
    ],
)
def test_lines_of_any_shape_are_survived(by: By, line: dict[str, Any]) -> None:
    assert folded([line], by).total.both.tokens == 0


@pytest.mark.parametrize(
    ("value", "count"), [(3, 3), (0, 0), (-1, 0), (True, 0), (2.5, 0), ("7", 0), (None, 0)]
)
def test_amount(value: Any, count: int) -> None:
    assert amount(value) == count


def test_calls_at_one_time_take_the_time_of_one() -> None:
    fold = folded([call(10, 5), call(12, 7), call(30, 2), call(31, 1, local=False)])
    assert fold.busy_ms == 9000
    assert fold.total.local.latency_ms == 14_000


def test_a_long_call_covers_short_ones_before_it() -> None:
    busy = Busy()
    for begin, end in [(5, 6), (8, 9), (0, 20), (30, 31)]:
        busy.add(begin, end)
    assert busy.total_ms == 21


def test_busy_time_where_the_clock_was_set_back() -> None:
    busy = Busy()
    busy.add(1000, 1010)
    busy.add(10, 20)
    busy.add(15, 25)
    assert busy.total_ms == 25


def test_memory_is_bounded() -> None:
    busy = Busy()
    for n in range(5 * MOST_OPEN):
        busy.add(2 * n, 2 * n + 1)
    assert busy.total_ms == 5 * MOST_OPEN
    assert len(busy._open) == MOST_OPEN


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
def test_busy_time_is_the_union(intervals: list[tuple[int, int]]) -> None:
    ordered = sorted(((min(pair), max(pair)) for pair in intervals), key=lambda pair: pair[1])
    busy = Busy()
    for begin, end in ordered:
        busy.add(begin, end)
    assert busy.total_ms == len({n for begin, end in ordered for n in range(begin, end)})
