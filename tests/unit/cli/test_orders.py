"""Commands to the daemon, when none runs: a clear error, nothing left behind, nothing lost."""

import json
from pathlib import Path

import pytest

from swarmd.cli.exit_codes import ExitCode
from swarmd.home import Home
from swarmd.messages import DeadLetter, dump

from .conftest import Run
from .test_requests import RESULT, begin, end

FAILED = RESULT.model_copy(update={"status": "failed", "branch": None, "patch": None})


@pytest.mark.parametrize(
    "words",
    [("pause",), ("resume",), ("config", "reload"), ("task", "cancel", "search"), ("task", "retry", "login")],
)
def test_an_order_without_a_daemon_is_told_and_not_kept(run: Run, home: Home, words: tuple[str, ...]) -> None:
    begin(home, "search")
    end(home, FAILED)
    ran = run(*words, "--json")
    assert (ran.code, ran.error["code"], ran.out) == (ExitCode.DAEMON_DOWN, "E-DAEMON-DOWN", "")
    assert "swarmd up -d" in ran.error["hint"]
    assert list(home.control.iterdir()) == []


def test_wrong_settings_are_told_before_anybody_is_asked(run: Run, home: Home) -> None:
    home.settings_file.write_text("[daemon]\nmax_agents = 0\n")
    ran = run("config", "reload", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-CONFIG")


def test_what_waits_is_cancelled_without_a_daemon_and_put_back(run: Run, home: Home) -> None:
    run("task", "add", "Fix it", "--id", "login", "--priority", "high")
    ran = run("task", "cancel", "login", "--json")
    assert (ran.code, ran.document["status"]) == (0, "withdrawn")
    assert list((home.inbox / "high").iterdir()) == []
    assert run("bus", "dead", "--json").document["letters"][0]["code"] == "E-REQUEST-CANCELLED"
    ran = run("task", "retry", "login", "--json")
    assert (ran.code, ran.document["status"]) == (0, "requeued")
    assert len(list((home.inbox / "high").iterdir())) == 1


@pytest.mark.parametrize(
    ("request_id", "code"),
    [("search", "E-REQUEST-ACTIVE"), ("login", "E-REQUEST-SUCCEEDED"), ("logn", "E-REQUEST-UNKNOWN")],
)
def test_only_what_failed_or_was_cancelled_is_tried_again(
    run: Run, home: Home, request_id: str, code: str
) -> None:
    begin(home, "search")
    end(home)
    ran = run("task", "retry", request_id, "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, code)
    assert "login" in ran.error["hint"] or "new request" in ran.error["hint"] or "search" in ran.error["hint"]


def bury(home: Home, name: str) -> Path:
    letter = DeadLetter(name=name, original_name=name, code="E-REQUEST-X", message="bad", hint="h", at="t")
    (home.deadletter / f"{name}.error.json").write_bytes(dump(letter))
    (home.deadletter / name).write_text(json.dumps({"user_request": "x"}))
    return home.deadletter / name


def test_dead_letters_are_put_back(run: Run, home: Home) -> None:
    for name in ("a.json", "b.json"):
        bury(home, name)
    ran = run("bus", "requeue", "a.json", "b.json", "--priority", "low", "--json")
    assert ran.code == 0
    assert [letter["name"] for letter in ran.document["requeued"]] == ["a.json", "b.json"]
    assert {path.name for path in (home.inbox / "low").iterdir()} == {"a.json", "b.json"}
    assert run("bus", "dead").out == "no dead letters\n"


def test_what_is_no_dead_letter_cannot_be_put_back(run: Run, home: Home) -> None:
    ran = run("bus", "requeue", "no.json", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-LETTER-UNKNOWN")
    assert "swarmd bus dead" in ran.error["hint"]
    assert run("bus", "requeue").code == ExitCode.USAGE
