"""The command line's orders, to what serves a home."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from swarmd.cli import main
from tests.integration.client.conftest import Served

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``swarmd`` and gives its exit status and its document, or its error."""
    monkeypatch.setenv("SWARMD_HOME", str(served.home.root))

    def run_command(*words: str) -> tuple[int, dict[str, Any]]:
        code = main([*words, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else json.loads(captured.err)["error"]

    return run_command


def test_pause_and_resume(run: Run, served: Served) -> None:
    assert run("pause") == (0, {"v": 1, "command": "pause", "paused": True})
    assert served.paused
    assert run("resume") == (0, {"v": 1, "command": "resume", "paused": False})
    assert not served.paused


def test_reload_tells_what_has_changed(run: Run) -> None:
    code, document = run("config", "reload")
    assert (code, document["changed"], document["types"]) == (0, ["limits"], ["coding"])


def test_cancel_and_retry(run: Run, served: Served) -> None:
    served.hold = True
    assert run("task", "add", "x", "--id", "fix")[0] == 0
    code, document = run("task", "cancel", "fix")
    assert (code, document["asked"], document["status"]) == (0, True, "cancelling")
    served.hold = False
    code, document = run("task", "retry", "fix")
    assert (code, document["status"]) == (0, "reopened")
    assert run("task", "show", "fix")[1]["state"] == "succeeded"
    assert run("task", "cancel", "fix") == (
        1,
        {"v": 1, "command": "task cancel", "request_id": "fix", "asked": False, "status": "succeeded"},
    )


def test_a_daemon_that_does_not_answer_is_not_waited_for_without_end(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "_carry_out", lambda order: served._stop.wait(2))
    code, error = run("pause", "--timeout", "0.1")
    assert (code, error["code"]) == (124, "E-TIMEOUT")


def test_what_the_daemon_refuses_is_told_by_task_add(run: Run) -> None:
    code, error = run("task", "add", "x", "--file", "../x")
    assert (code, error["code"]) == (2, "E-REQUEST-PATH")


def test_add_and_wait(run: Run) -> None:
    code, document = run("task", "add", "x", "--wait", "--timeout", "30")
    assert (code, document["result"]["status"]) == (0, "succeeded")
