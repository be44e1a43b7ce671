"""Order of work, cancelling, stopping and going on, idle agents, plans that deploy nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Daemon, git, make_repository
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers

Scripted = Callable[..., tuple[Daemon, Any]]


def test_requests_are_taken_by_priority_then_arrival(scripted: Scripted, tmp_path: Path) -> None:
    daemon, _ = scripted(answers(GOOD_COUNTER), "[daemon]\nmax_active_requests = 1\n")
    words = make_repository(tmp_path / "words", COUNTER)
    for name, folder in [
        ("low", "low"),
        ("loose", "."),
        ("normal", "normal"),
        ("high", "high"),
        ("critical", "critical"),
    ]:
        daemon.drop(name, COUNTER_REQUEST | {"workspace": str(words)}, folder)
        time.sleep(0.02)
    daemon.start()
    daemon.result("low", 240)
    order = [line["request_id"] for line in daemon.events("request_received")]
    assert order == ["critical", "high", "loose", "normal", "low"]
    priorities = {line["request_id"]: line["data"]["priority"] for line in daemon.events("request_received")}
    assert priorities["loose"] == "normal"


def test_a_request_can_be_cancelled_while_its_model_thinks(scripted: Scripted, tmp_path: Path) -> None:
    rules = answers(GOOD_COUNTER)
    daemon, model = scripted([{"match": "SLOWLY", "reply": GOOD_COUNTER, "delay": 60}, *rules])
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    slow = {"user_request": COUNTER_REQUEST["user_request"] + " SLOWLY", "workspace": str(words)}
    daemon.drop("slow", slow)
    daemon.wait(lambda: daemon.events("model_call_start", request_id="slow"), 30, "no call", daemon.tail)
    began = time.monotonic()
    daemon.swarmd("task", "cancel", "slow")
    assert daemon.result("slow", 15)["status"] == "cancelled"
    assert time.monotonic() - began < 10
    assert "swarm/" not in git(words, "for-each-ref")
    daemon.drop("next", COUNTER_REQUEST | {"workspace": str(words)})
    assert daemon.result("next", 60)["status"] == "succeeded"
    assert model.calls


def test_a_stopped_daemon_goes_on_where_it_was(scripted: Scripted, tmp_path: Path) -> None:
    daemon, _ = scripted(answers(GOOD_COUNTER, delay=3), "[daemon]\ndrain_s = 0.2\n")
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    daemon.drop("long", COUNTER_REQUEST | {"workspace": str(words)})
    daemon.wait(lambda: daemon.events("model_call_start", request_id="long"), 30, "no call", daemon.tail)
    assert daemon.stop() == 0
    assert not (daemon.home / "bus/outbox/long.json").exists()
    assert daemon.swarmd("status", check=False).returncode == 3
    daemon.start()
    assert daemon.result("long", 60)["status"] == "succeeded"
    assert len(daemon.events("request_received", request_id="long")) == 1
    assert len(daemon.events("plan_created", request_id="long")) == 1


def test_idle_agents_end_and_come_back_on_demand(scripted: Scripted, tmp_path: Path) -> None:
    daemon, _ = scripted(answers(GOOD_COUNTER), "[daemon]\nidle_timeout_s = 1.0\n")
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    daemon.drop("one", COUNTER_REQUEST | {"workspace": str(words)})
    daemon.result("one", 60)
    daemon.wait(lambda: daemon.events("agent_terminated", actor="coding.1"), 15, "still there", daemon.tail)
    registry = daemon.home / "council/keys/agents-registry.json"

    def ended() -> bool:
        return bool(json.loads(registry.read_text())["agents"]["coding.1"]["status"] == "terminated")

    daemon.wait(ended, 5, "the registry does not agree with the process table", daemon.tail)
    record = json.loads(registry.read_text())
    assert record["agents"]["coding.1"]["tasks_done"] == 1
    daemon.drop("two", {"user_request": COUNTER_REQUEST["user_request"], "workspace": str(words)})
    assert daemon.result("two", 60)["status"] == "succeeded"
    assert daemon.events("agent_ready", actor="coding.2")
    assert not daemon.events("agent_lost")


def test_a_deployment_is_planned_and_waits_for_a_human(scripted: Scripted, tmp_path: Path) -> None:
    daemon, _ = scripted([{"match": "", "reply": "1. Build the wheel.\n2. Copy it to the server."}])
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    request = {"user_request": "Deploy the counter to production.", "kind": "deploy", "workspace": str(words)}
    daemon.drop("ship", request)
    result = daemon.result("ship", 60)
    assert result["status"] == "succeeded", daemon.tail()
    assert "nothing was deployed" in result["summary"]
    assert result["branch"] is None
    (pending,) = (daemon.home / "council/warrants/pending").glob("*.json")
    assert result["warrants"] == [pending.stem]
    assert "Build the wheel" in json.loads(pending.read_text())["summary"]


def test_a_second_daemon_on_the_same_home_is_refused(scripted: Scripted) -> None:
    daemon, _ = scripted([])
    daemon.start()
    refused = daemon.swarmd("up", check=False)
    assert refused.returncode == 6
    assert "E-HOME-LOCKED" in refused.stderr
    assert daemon.process is not None
    assert f"(pid {daemon.process.pid}," in refused.stderr
    assert daemon.process.poll() is None
