"""kill -9 of every process in turn, in the middle of a request: one result comes all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.harness import Daemon, make_repository
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers


def _pid(daemon: Daemon, victim: str) -> int | None:
    if victim in ("broker", "zygote"):
        started = daemon.events("process_started", actor=victim)
        return started[-1]["data"]["pid"] if started else None
    ready = [line for line in daemon.events("agent_ready") if line["data"]["agent_type"] == victim]
    return ready[-1]["data"]["pid"] if ready else None


def _strike(daemon: Daemon, victim: str) -> None:
    """Wait until ``victim`` is at work on the request, then kill it."""
    moment = {"verifier": "verification_start"}.get(victim, "model_call_start")
    daemon.wait(lambda: daemon.events(moment, request_id="death"), 60, f"no {moment}", daemon.tail)
    if victim == "master":
        daemon.kill()
        daemon.start()
        return
    pid = _pid(daemon, victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["coding", "verifier", "broker", "zygote", "master"])
def test_a_request_survives_the_death_of(victim: str, scripted: Callable[..., tuple], tmp_path: Path) -> None:
    slow_tests = (
        COUNTER["tests/test_words.py"] + "\n\ndef test_slow():\n    import time\n\n    time.sleep(1)\n"
    )
    words = make_repository(tmp_path / "words", COUNTER | {"tests/test_words.py": slow_tests})
    daemon, _ = scripted(answers(GOOD_COUNTER, delay=1.5))
    daemon.start()
    daemon.drop("death", COUNTER_REQUEST | {"workspace": str(words)}, "high")
    _strike(daemon, victim)
    result = daemon.result("death")
    assert result["status"] == "succeeded", daemon.tail()
    _only_once(daemon)


def test_a_request_survives_the_death_of_its_engine(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    words = make_repository(tmp_path / "words", COUNTER)
    daemon = make_daemon('[tiers]\ndeep = "qwen2.5-coder-0.5b"\nreviewer = "qwen2.5-coder-0.5b"\n')
    daemon.start()
    daemon.drop("death", COUNTER_REQUEST | {"workspace": str(words)}, "high")
    daemon.wait(lambda: daemon.events("model_call_start", request_id="death"), 120, "no call", daemon.tail)
    engine = daemon.wait(lambda: _engines(daemon), 60, "no engine", daemon.tail)[0]
    engine.kill()
    result = daemon.result("death", 400)
    assert result["status"] in ("succeeded", "failed")
    answered = [line for line in daemon.events("model_call_complete") if not line["data"].get("error")]
    assert answered, daemon.tail()
    _only_once(daemon)


def _engines(daemon: Daemon) -> list[psutil.Process]:
    assert daemon.process is not None
    children = psutil.Process(daemon.process.pid).children(recursive=True)
    return [child for child in children if "swarmd.models.engine" in " ".join(_cmdline(child))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _only_once(daemon: Daemon) -> None:
    """One result, one line that ends the request, a whole log, and nothing left behind."""
    assert [path.name for path in (daemon.home / "bus/outbox").glob("*.json")] == ["death.json"]
    assert len(daemon.events("request_complete", request_id="death")) == 1
    assert daemon.process is not None
    family = psutil.Process(daemon.process.pid).children(recursive=True)
    assert daemon.stop() == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not list((daemon.home / "bus/active").iterdir())
    assert not list((daemon.home / "workspaces").glob("*/checkouts"))
    daemon.swarmd("audit", "verify")
