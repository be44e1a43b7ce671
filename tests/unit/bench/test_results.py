"""Results that survive, and what they come to."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from swarmd.bench import cases, report, results
from swarmd.bench.dataset import Dataset
from swarmd.bench.results import Row
from swarmd.bench.run import Plan, begin
from swarmd.bench.runners.oneshot import Oneshot, messages
from swarmd.bench.runners.swarm import gate_spans, overrides
from swarmd.bench.suite import Problem, Suite, from_json, to_json
from swarmd.bench.toml import written
from swarmd.errors import UsageError
from tests.unit.bench.invented import FENCE

CASES = cases.read(FENCE.test)
assert CASES is not None


def row(task: str, solved: bool, label: str = "oneshot", **more: object) -> Row:
    fields = {
        "hidden": solved,
        "visible": None,
        "claimed": True,
        "prompt_tokens": 90,
        "completion_tokens": 10,
    }
    times = {"seconds": 10.0, "model_seconds": 6.0, "gate_seconds": 3.0}
    return Row("fix", label, label, task, 0, solved, **{**fields, **times, **more})  # type: ignore[arg-type]


def problem(task: str) -> Problem:
    return Problem(
        "fix", task, "fence_posts", "x = 1\n", "Fix it.", "def test(): ...\n", CASES, ("a",), ("b",)
    )


def test_rows_come_back_and_a_torn_line_harms_none(tmp_path: Path) -> None:
    rows = [row("a", True), row("b", False, error="E: no")]
    results.append(tmp_path, rows[0])
    with (tmp_path / results.FILE).open("ab") as file:
        file.write(b'{"suite": "fix", "la')
    results.append(tmp_path, rows[1])
    assert results.read(tmp_path) == rows


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    results.append(tmp_path, row("a", True))
    path = tmp_path / results.FILE
    path.write_bytes(path.read_bytes().replace(b'{"suite"', b'{"later":1,"suite"'))
    assert results.read(tmp_path) == [row("a", True)]


def test_what_has_a_result_is_not_run_again(tmp_path: Path) -> None:
    plan = Plan("fix", Oneshot("m"), "oneshot", 2, 0, 60.0, tmp_path)
    data, made = Dataset((), "digest"), Suite((problem("a"), problem("b")))
    results.append(tmp_path, row("a", True, variant=plan.variant(data)))
    assert [one.task_id for one in begin(plan, data, made)] == ["b"]
    assert [one.task_id for one in begin(replace(plan, label="again"), data, made)] == ["a", "b"]


def test_results_of_other_options_are_not_mixed(tmp_path: Path) -> None:
    plan = Plan("fix", Oneshot("m"), "oneshot", 2, 0, 60.0, tmp_path)
    data = Dataset((), "digest")
    results.append(tmp_path, row("a", True, variant=plan.variant(data)))
    with pytest.raises(UsageError) as raised:
        begin(replace(plan, runner=Oneshot("larger")), data, Suite((problem("a"),)))
    assert raised.value.code == "E-BENCH-LABEL"


def test_a_suite_survives_its_file() -> None:
    made = Suite((problem("a"),), {"b": "why"})
    assert from_json(to_json(made)) == made


def test_a_summary_counts_everything_that_was_spent() -> None:
    one = report.summarise([row("a", True), row("b", False), row("c", False, claimed=False)])
    assert (one.solved, one.problems, one.claimed, one.claimed_right) == (1, 3, 2, 1)
    assert one.tokens_per_solved == 300
    assert one.seconds_per_solved == 30
    assert one.honest_share == 0.5
    assert one.busy_share == pytest.approx(0.9)


def test_claims_are_held_against_the_hidden_cases() -> None:
    one = report.summarise([row("a", False, hidden=True)])
    assert one.honest_share == 1


def test_runners_are_compared_on_the_problems_that_both_tried() -> None:
    first = [row("a", True), row("b", False), row("c", False), row("only", True)]
    second = [row("a", True, "swarmd"), row("b", True, "swarmd"), row("c", False, "swarmd")]
    one = report.compare(first, second)
    assert (one.pairs, one.both, one.only_first, one.only_second) == (3, 1, 0, 1)
    assert one.ratio == 2
    assert one.unsolved_ratio == 0.5
    assert one.p_value == 1


def test_every_two_or_all_against_one() -> None:
    rows = [row("a", True, label) for label in ("x", "y", "z")]
    assert [(one.first, one.second) for one in report.comparisons(rows)] == [
        ("x", "y"),
        ("x", "z"),
        ("y", "z"),
    ]
    assert [one.second for one in report.comparisons(rows, "y")] == ["x", "z"]
    assert all("-" not in report.summary_cells(one)["s/solved"] for one in report.summaries(rows))


def test_a_report_wants_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report.load([tmp_path])


def test_the_prompt_of_one_shot_holds_the_file_and_the_tests() -> None:
    text = messages(problem("a"))[1]["content"]
    for part in ("Fix it.", "solution.py:\n```python\nx = 1\n```", "def test(): ...", "fence_posts"):
        assert part in text
    assert "```python" in messages(replace(problem("a"), test=""))[1]["content"]


def test_gate_times_come_from_the_log() -> None:
    lines = [
        {"ts": "2026-01-01T00:00:10.000Z", "data": {"gates": [{"ms": 1500}, {"ms": 500}]}},
        {"ts": "2026-01-01T00:00:11.000Z", "data": {"gates": []}},
        {"ts": "2026-01-01T00:00:12.000Z", "data": None},
    ]
    spans = list(gate_spans(iter(lines)))
    assert [round(end - begin, 3) for begin, end in spans] == [2.0]


def test_settings_are_given_as_in_toml() -> None:
    found = overrides(("policy.samples.fast=1", "policy.samples.deep=2", 'privacy="off"'))
    assert found == {"policy": {"samples": {"fast": 1, "deep": 2}}, "privacy": "off"}


@pytest.mark.parametrize(
    "wrong", ["policy.samples", "policy.samples.fast=0.5", "policy.unknown=1", "fast=[1", 'tiers.fast="x"']
)
def test_what_is_no_setting_is_refused_at_once(wrong: str) -> None:
    with pytest.raises(UsageError):
        overrides((wrong,))


def test_settings_are_written_as_toml() -> None:
    table = {"a": 1, "b": {"c.d": {"e": 'x"y\nü', "f": [1, 2]}, "g": True}}
    assert tomllib.loads(written(table)) == table
