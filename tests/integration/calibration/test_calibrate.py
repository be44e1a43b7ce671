"""``swarmd model calibrate`` with a scripted model; its edits run in the real sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmd.calibration import measure
from swarmd.calibration.exercises import Exercise, load_exercises
from swarmd.calibration.judge import Judge
from swarmd.calibration.results import file_of, read
from swarmd.cli import main
from swarmd.cli.exit_codes import ExitCode
from swarmd.coding.edits import read_edit
from swarmd.home import Home
from swarmd.messages import EditForm
from swarmd.sandbox import choose
from swarmd.testing import ScriptedModel, temporary_home

from .replies import Kind, no_edit, right, rules, solved, unchanged, wrong

COUNT = 6


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(choose("auto"))


@pytest.mark.parametrize("exercise", load_exercises(), ids=lambda exercise: exercise.name)
def test_each_exercise_is_open_and_can_be_solved_in_every_format(exercise: Exercise, judge: Judge) -> None:
    assert judge.fault(exercise, exercise.source), "its check passes before anything is changed"
    assert judge.fault(exercise, solved(exercise)) == ""
    for form in ("symbol", "file", "replace"):
        edit = measure.question(exercise, form, "").edit
        assert edit.form == form
        assert read_edit(right(exercise, form), edit) == solved(exercise)
        assert read_edit(wrong(exercise, form), edit) != solved(exercise)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("raise SystemExit(0)\n", "SystemExit"),
        ("import os\nos._exit(0)\n", "it ended with 0"),
        ("import os\nos.write(3, b'0' * 32)\n", ""),
        ("import socket\nsocket.create_connection(('127.0.0.1', 1))\n", "Error"),
        ("open('/etc/hostname2', 'w')\n", "Error"),
    ],
)
def test_a_file_cannot_pass_by_ending_or_reporting_itself(judge: Judge, start: str, said: str) -> None:
    exercise = load_exercises()[0]
    fault = judge.fault(exercise, start + exercise.source)
    assert fault
    assert said in fault


Calibrate = Callable[..., tuple[int, dict[str, Any], Home]]


@pytest.fixture
def calibrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Calibrate:
    """Runs the command with a model that replies in the given ways."""

    def run(kinds: Mapping[EditForm, Kind], *words: str) -> tuple[int, dict[str, Any], Home]:
        with ScriptedModel(rules(kinds, COUNT)) as model:
            home = temporary_home(tmp_path, **model.settings())
            monkeypatch.setenv("SWARMD_HOME", str(home.root))
            code = main(["model", "calibrate", "--exercises", str(COUNT), "--json", *words])
        return code, json.loads(capsys.readouterr().out), home

    return run


def test_the_format_that_a_model_gets_right_comes_first(calibrate: Calibrate) -> None:
    code, document, home = calibrate({"symbol": wrong, "file": no_edit, "replace": right})
    assert code == ExitCode.OK
    (entry,) = document["models"]
    kept = read(file_of(home, "scripted"))
    assert kept is not None
    assert entry["calibration"] == kept.model_dump(mode="json")
    assert kept.order == ["replace", "symbol", "file"]
    counts = {one.form: (one.well_formed, one.correct) for one in kept.scores}
    assert counts == {"symbol": (COUNT, 0), "file": (0, 0), "replace": (COUNT, COUNT)}
    assert (kept.count, kept.served_by, len(kept.trials)) == (COUNT, "openai", 3 * COUNT)
    assert all(trial.completion_tokens > 0 and trial.prompt_tokens > 0 for trial in kept.trials)
    reasons = {trial.reason for trial in kept.trials if trial.form == "file"}
    assert reasons == {"The reply holds no code block. Answer with one block between ``` lines."}


def test_a_model_that_does_all_alike_is_asked_as_before(
    calibrate: Calibrate, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document, _ = calibrate({"symbol": right, "file": right, "replace": right})
    assert (code, document["models"][0]["calibration"]["order"][0]) == (ExitCode.OK, "symbol")
    assert main(["model", "calibrate", "--show"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert f"symbol   {COUNT}/{COUNT}" in shown
    assert "no other format leads symbol by more than chance" in shown


def test_an_edit_that_changes_nothing_is_well_formed_and_wrong(calibrate: Calibrate) -> None:
    _, document, _ = calibrate({"symbol": right, "file": unchanged, "replace": no_edit})
    scores = {one["form"]: one for one in document["models"][0]["calibration"]["scores"]}
    assert (scores["file"]["well_formed"], scores["file"]["correct"]) == (COUNT, 0)
    assert document["models"][0]["calibration"]["order"] == ["symbol", "file", "replace"]


def test_a_model_that_cannot_be_asked_keeps_what_it_had(
    calibrate: Calibrate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, home = calibrate({"symbol": right, "file": right, "replace": right})
    before = file_of(home, "scripted").read_bytes()
    monkeypatch.setattr("swarmd.models.calls.BACKOFF_S", ())
    assert main(["model", "calibrate", "--exercises", "1"]) == ExitCode.MODEL_DOWN  # it has been ended
    assert "FAIL  scripted" in capsys.readouterr().out
    assert file_of(home, "scripted").read_bytes() == before


def test_what_is_interrupted_is_no_result_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def interrupted(self: Judge, exercise: Exercise, source: str) -> str:
        seen.append(exercise.name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(Judge, "fault", interrupted)
    command = ["model", "calibrate", "--exercises", str(COUNT)]
    with ScriptedModel(rules({"symbol": right, "file": right, "replace": right}, COUNT)) as model:
        home = temporary_home(tmp_path, **model.settings())
        monkeypatch.setenv("SWARMD_HOME", str(home.root))
        main(command)
        assert len(seen) == 4
        assert main(["model", "calibrate", "--show"]) == ExitCode.OK
        assert "not calibrated" in capsys.readouterr().out
        assert main(command) == ExitCode.OK
    assert len(seen) == 3 * COUNT + 1, "only the one that was interrupted was judged twice"
    known = read(file_of(home, "scripted"))
    assert known is not None
    assert len(known.trials) == 3 * COUNT
    assert [path.suffix for path in home.calibration.iterdir()] == [".json"]
