"""``swarmd model calibrate --show``, and what is said when nothing can be measured."""

from __future__ import annotations

from swarmd.calibration.exercises import version
from swarmd.calibration.results import file_of, identity, read, save
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.model_calibrate import _is_more
from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import Calibration, FormScore

from .conftest import Run

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"


def keep(home: Home, model: str, exercises: str) -> None:
    scores = [
        FormScore(
            form=form, correct=7, well_formed=11, prompt_tokens=1, completion_tokens=1234, latency_ms=5600
        )
        for form in ("symbol", "file", "replace")
    ]
    measured = Calibration(
        identity=identity(Settings(), model),
        exercises=exercises,
        count=12,
        seed=1,
        measured_at="2026-01-01T00:00:00.000Z",
        served_by="embedded",
        order=["file", "symbol", "replace"],
        scores=scores,
    )
    save(home, measured)


def test_what_was_measured_is_shown(run: Run, home: Home) -> None:
    keep(home, SMALL, version())
    shown = run("model", "calibrate", "--show", "--no-color")
    assert shown.code == ExitCode.OK
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["file", "7/12", "11/12", "1,234", "6"] in lines
    assert "order: file, symbol, replace; file leads by more than chance" in shown.out
    assert f"{LARGE}: not calibrated" in shown.out
    document = run("model", "calibrate", "fast", "--show", "--json").document
    (entry,) = document["models"]
    assert (entry["model"], entry["current"]) == (SMALL, True)
    assert entry["calibration"]["order"] == ["file", "symbol", "replace"]


def test_what_holds_no_more_is_said_to(run: Run, home: Home) -> None:
    keep(home, SMALL, "older")
    assert "It is not used" in run("model", "calibrate", "fast", "--show").out
    assert run("model", "calibrate", "fast", "--show", "--json").document["models"][0]["current"] is False


def test_a_broken_file_is_a_warning(run: Run, home: Home) -> None:
    keep(home, SMALL, version())
    file_of(home, SMALL).write_bytes(b"{")
    shown = run("model", "calibrate", "--show")
    assert shown.code == ExitCode.FAILED
    assert "is no calibration" in shown.err
    assert f"{LARGE}: not calibrated" in shown.out, "the others are shown all the same"


def test_nothing_is_asked_of_a_model_that_is_not_there(run: Run, home: Home) -> None:
    assert run("model", "calibrate", "nope").code == ExitCode.USAGE
    assert run("model", "calibrate", "--exercises", "0").code == ExitCode.USAGE
    ran = run("model", "calibrate", "fast", "--json")  # its weights were not pulled
    assert ran.code == ExitCode.MODEL_DOWN
    assert ran.document["models"][0]["code"] == "E-WEIGHTS"
    assert not home.calibration.exists()


def test_it_needs_a_home(run: Run) -> None:
    ran = run("model", "calibrate")
    assert ran.code == ExitCode.USAGE
    assert "swarmd init" in ran.err


def test_a_result_of_more_exercises_is_not_replaced_by_one_of_fewer(home: Home) -> None:
    keep(home, SMALL, version())
    path = file_of(home, SMALL)
    known = read(path)
    assert known is not None
    assert _is_more(path, known.model_copy(update={"count": 3}))
    assert not _is_more(path, known)
    assert not _is_more(path, known.model_copy(update={"count": 3, "exercises": "others"}))
    path.write_text("{")
    assert not _is_more(path, known.model_copy(update={"count": 3}))
    assert not _is_more(path.with_name("none.json"), known)
