"""Whole runs on an invented problem with a scripted model."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from swarmd.cli import main
from swarmd.testing import ScriptedModel
from tests.unit.bench.invented import FENCE, SHELVES, write_gzip

GOOD = f"```python\n{FENCE.prompt}{FENCE.canonical_solution}```\n"
ANSWERS: list[dict[str, Any]] = [
    {"match": "commit message", "reply": "Count the posts right\n\nAs the tests say."},
    {"match": '"?verdict"?', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel([*ANSWERS, {"match": "fence_posts", "reply": GOOD}]) as served:
        yield served


@pytest.fixture
def bench(tmp_path: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a bench on one problem."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    data = write_gzip(tmp_path / "data.gz", FENCE, SHELVES)
    words = ["bench", "solve", "--data", str(data), "--endpoint", model.base_url, "--suite", "fix", "--json"]
    return [*words, "--problems", "1", "--seed", "3", "--out", str(tmp_path / "out")]


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]


def test_one_shot_solves_counts_and_resumes(
    bench: list[str], model: ScriptedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*bench, "--runner", "oneshot"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = rows(tmp_path)
    assert row["solved"]
    assert row["claimed"]
    assert row["visible"]
    assert (row["calls"], row["cached_calls"]) == (1, 0)
    assert row["prompt_tokens"] > 100
    assert row["detail"]["mutation"]
    assert document["summaries"][0]["solved"] == 1
    assert model.calls[0]["temperature"] == 0
    assert not any((tmp_path / "out/work").iterdir())

    assert main([*bench, "--runner", "oneshot"]) == 0
    assert len(rows(tmp_path)) == len(model.calls) == 1
    assert main([*bench, "--runner", "oneshot", "--label", "again"]) == 0
    assert len(model.calls) == 1
    again = rows(tmp_path)[1]
    assert again["cached_calls"] == 1
    same = ("solved", "prompt_tokens", "completion_tokens", "model_seconds")
    assert {name: again[name] for name in same} == {name: row[name] for name in same}


def test_a_wrong_answer_is_claimed_but_not_solved(
    bench: list[str], model: ScriptedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.replace([{"match": "fence_posts", "reply": GOOD.replace("return full + 1", "return full + 7")}])
    assert main([*bench, "--runner", "oneshot"]) == 0
    assert (rows(tmp_path)[0]["claimed"], rows(tmp_path)[0]["solved"]) == (True, False)
    model.replace([{"match": "fence_posts", "reply": "I cannot do that."}])
    assert main([*bench, "--runner", "oneshot", "--label", "other", "--out", str(tmp_path / "two")]) == 0
    capsys.readouterr()
    assert main(["bench", "report", str(tmp_path / "out"), str(tmp_path / "two")]) == 0
    out = capsys.readouterr().out
    assert "0/1" in out
    assert "P (MCNEMAR)" in out


def test_swarmd_solves_through_a_daemon(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*bench, "--runner", "swarmd", "--keep", "--set", "policy.samples.fast=1"]) == 0
    (row,) = rows(tmp_path)
    assert row["solved"], row
    assert row["claimed"]
    assert row["detail"]["status"] == "succeeded"
    assert row["gate_seconds"] > 0
    assert row["seconds"] >= row["gate_seconds"]
    settings = next((tmp_path / "out/work").rglob("swarmd.toml")).read_text()
    assert '"fast" = 1' in settings
    mine = [
        one
        for one in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(one.info["cmdline"] or ())
    ]
    assert mine == []


def test_time_is_over_for_a_slow_model(bench: list[str], model: ScriptedModel, tmp_path: Path) -> None:
    model.replace([{"match": "", "reply": GOOD, "delay": 30}])
    began = time.monotonic()
    assert main([*bench, "--runner", "swarmd", "--time-limit", "2"]) == 0
    assert main([*bench, "--runner", "oneshot", "--time-limit", "1"]) == 0
    assert time.monotonic() - began < 29
    assert [(row["timed_out"], row["solved"], row["claimed"]) for row in rows(tmp_path)] == [
        (True, False, False)
    ] * 2


AIDER = """#!{python}
import json, os, subprocess, sys, urllib.request
if "--version" in sys.argv:
    sys.exit(print("aider 0.0.fake"))
options = dict(zip(sys.argv, sys.argv[1:]))
body = {{"model": options["--model"].split("/")[1], "temperature": 0,
        "messages": [{{"role": "user", "content": open(options["--message-file"]).read()}}]}}
request = urllib.request.Request(options["--openai-api-base"] + "/chat/completions",
                                 json.dumps(body).encode(), {{"content-type": "application/json"}})
reply = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
open(sys.argv[-1], "w").write(reply.split("```python")[1].split("```")[0])
sys.exit(subprocess.run(options["--test-cmd"], shell=True).returncode)
"""


def test_aider_is_run_with_its_test_loop(bench: list[str], tmp_path: Path) -> None:
    program = tmp_path / "aider"
    program.write_text(AIDER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert main([*bench, "--runner", "aider", "--aider", str(program), "--edit-format", "whole"]) == 0
    (row,) = rows(tmp_path)
    assert row["error"] == ""
    assert (row["solved"], row["claimed"], row["calls"]) == (True, True, 1)
    assert row["detail"]["test_runs"] == 1
    assert row["gate_seconds"] > 0


def test_what_is_missing_is_told(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert main([*bench, "--runner", "aider", "--aider", "/nowhere/aider"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "E-BENCH-AIDER"
    assert main([*bench, "--runner", "oneshot", "--model", "large"]) == 2
    assert "it has: scripted" in json.loads(capsys.readouterr().err)["error"]["hint"]
    assert main(["bench", "report", str(tmp_path)]) == 2


@pytest.mark.parametrize("runner", ["swarmd", "oneshot"])
def test_an_interrupted_bench_leaves_nothing_behind_and_goes_on(
    bench: list[str], model: ScriptedModel, tmp_path: Path, runner: str
) -> None:
    model.replace([{"match": "", "reply": GOOD, "delay": 60}])
    argv = [sys.executable, "-m", "swarmd", *bench, "--runner", runner]
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not model.calls and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    assert process.wait(40) == 130
    assert psutil.wait_procs(children, timeout=10)[1] == []
    model.replace([*ANSWERS, {"match": "fence_posts", "reply": GOOD}])
    assert main([*bench, "--runner", runner]) == 0
    assert [row["solved"] for row in rows(tmp_path)] == [True]


def test_a_killed_bench_takes_its_daemon_along(bench: list[str], model: ScriptedModel) -> None:
    model.replace([{"match": "", "reply": GOOD, "delay": 60}])
    argv = [sys.executable, "-m", "swarmd", *bench, "--runner", "swarmd"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 60
    while not model.calls and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("up" in child.cmdline() for child in children)
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=30)[1] == []
