"""What an operator does with a running daemon: cancel, retry, pause, reload, and running short of things."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from swarmd.testing import ScriptedModel, add_noop_type
from tests.acceptance.harness import Daemon, make_repository
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers

Scripted = Callable[..., tuple[Daemon, ScriptedModel]]
NOOP = {"user_request": "Do nothing.", "kind": "research"}


def reload(daemon: Daemon, settings: str) -> None:
    """Change swarmd.toml and send SIGHUP; wait until the daemon has said what it made of it."""
    said = len(daemon.events("settings_loaded") + daemon.events("command_ignored"))
    (daemon.home / "swarmd.toml").write_text(settings)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait(
        lambda: len(daemon.events("settings_loaded") + daemon.events("command_ignored")) > said,
        10,
        "no reload",
    )


def test_a_cancelled_request_stops_at_once_and_can_be_taken_up_again(
    scripted: Scripted, tmp_path: Path
) -> None:
    slow = {"match": "", "reply": "never said", "delay": 60.0, "times": 1}
    daemon, model = scripted([slow, *answers(GOOD_COUNTER)])
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    daemon.drop("one", COUNTER_REQUEST | {"workspace": str(words)})
    daemon.wait(lambda: model.calls, 60, "no model was asked", daemon.tail)

    asked = time.monotonic()
    daemon.swarmd("task", "cancel", "one")
    assert daemon.result("one", 10)["status"] == "cancelled"
    assert time.monotonic() - asked < 4, "2 s, and what the command line takes to start on a busy machine"
    assert not daemon.events("model_call_complete", status="ok", request_id="one")

    daemon.swarmd("task", "retry", "one")
    daemon.wait(lambda: daemon.events("request_reopened"), 10, "it was not opened again", daemon.tail)
    result = daemon.result("one", 90)
    assert result["status"] == "succeeded", daemon.tail()
    assert result["branch"] == "swarm/one"
    assert [line["status"] for line in daemon.events("request_complete")] == ["cancelled", "succeeded"]
    daemon.swarmd("audit", "verify")


def test_a_failed_request_that_is_tried_again_keeps_its_earlier_attempts(
    scripted: Scripted, tmp_path: Path
) -> None:
    daemon, model = scripted([{"match": "", "reply": "I cannot do this."}])
    words = make_repository(tmp_path / "words", COUNTER)
    daemon.start()
    daemon.drop("one", COUNTER_REQUEST | {"workspace": str(words)})
    first = daemon.result("one", 120)
    assert first["status"] == "failed", daemon.tail()
    samples = first["tasks"][0]["samples"]
    assert samples > 0
    assert daemon.stop() == 0

    model.replace(answers(GOOD_COUNTER))
    daemon.start()
    daemon.swarmd("task", "retry", "one")
    daemon.wait(lambda: daemon.events("request_reopened"), 10, "it was not opened again", daemon.tail)
    daemon.kill()  # what was opened again stays so
    daemon.start()
    second = daemon.result("one", 120)
    assert second["status"] == "succeeded", daemon.tail()
    assert second["tasks"][0]["samples"] > samples
    done = [folder for day in (daemon.home / "bus/done").iterdir() for folder in day.iterdir()]
    assert [folder.name for folder in done] == ["one"]


def test_a_pause_holds_over_a_restart_and_what_waits_is_done_afterwards(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    add_noop_type(daemon.home / "agents")
    daemon.start()
    daemon.drop("early", NOOP | {"user_request": "wait 2"})
    daemon.wait(lambda: daemon.events("task_assigned", request_id="early"), 20, "not begun", daemon.tail)
    daemon.swarmd("task", "cancel", "early")
    assert daemon.result("early", 10)["status"] == "cancelled"
    daemon.swarmd("pause")
    daemon.swarmd("task", "retry", "early")
    daemon.wait(lambda: daemon.events("daemon_paused"), 10, "not paused")
    daemon.kill()
    daemon.start()
    daemon.drop("one", NOOP)
    time.sleep(1.5)
    assert (daemon.home / "bus/inbox/normal/one.json").exists()
    assert json.loads(daemon.swarmd("status", "--json").stdout)["live"]["intake"] == "paused"
    daemon.swarmd("resume")
    assert daemon.result("one", 20)["status"] == "succeeded"
    assert daemon.result("early", 20)["status"] == "succeeded"


def test_settings_and_agent_types_are_taken_over_while_it_runs(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon("[daemon]\nmax_agents = 3\n")
    daemon.start()
    daemon.drop("early", NOOP)
    assert daemon.result("early", 20)["error"]["code"] == "E-KIND-UNSERVED"
    add_noop_type(daemon.home / "agents")
    reload(daemon, "[daemon]\nmax_agents = 2\n")
    (line,) = daemon.events("settings_loaded")
    assert line["data"]["changed"] == ["daemon.max_agents"]
    assert "noop" in line["data"]["types"]
    daemon.drop("late", NOOP)
    assert daemon.result("late", 20)["status"] == "succeeded"
    reload(daemon, "[daemon]\nmax_agents = 0\n")
    (ignored,) = daemon.events("command_ignored")
    assert "max_agents" in ignored["data"]["reason"]
    daemon.drop("later", NOOP)
    assert daemon.result("later", 20)["status"] == "succeeded"


def test_a_new_broker_takes_over_when_its_settings_change(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    add_noop_type(daemon.home / "agents")
    daemon.start()
    # one that is still starting reads the changed settings itself
    daemon.wait(lambda: daemon.events("process_started", actor="broker"), 20, "no broker")
    reload(daemon, '[models.other]\nprovider = "ollama"\n[tiers]\nfast = "other"\n')
    daemon.wait(lambda: len(daemon.events("process_started", actor="broker")) == 2, 20, "no new broker")
    first, second = daemon.events("process_started", actor="broker")
    assert "other" in str(second["data"]["models"])
    assert "other" not in str(first["data"]["models"])
    assert not daemon.events("process_lost", actor="broker")
    daemon.drop("one", NOOP)
    assert daemon.result("one", 20)["status"] == "succeeded"


def test_without_room_intake_stops_says_so_and_goes_on_by_itself(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    add_noop_type(daemon.home / "agents")
    daemon.start()
    reload(daemon, "[daemon]\nmin_free_disk_mib = 1000000000\n")
    daemon.wait(lambda: daemon.events("intake_stopped"), 10, "intake goes on")
    daemon.drop("one", NOOP)
    time.sleep(1.5)
    assert (daemon.home / "bus/inbox/normal/one.json").exists()
    assert json.loads(daemon.swarmd("status", "--json").stdout)["live"]["intake"] == "disk"
    reload(daemon, "")
    assert daemon.result("one", 20)["status"] == "succeeded"
    assert daemon.events("intake_resumed")


def test_a_packet_that_ends_three_agents_is_given_up_with_the_evidence_and_its_type_goes_on(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    add_noop_type(daemon.home / "agents")
    deadly = daemon.home / "agents/noop/prompt.md"
    deadly.write_text("Do nothing.\n")
    daemon.start()
    daemon.drop("poison", NOOP | {"user_request": "wait 60"})
    for _ in range(3):
        before = len(daemon.events("agent_lost"))
        pid = daemon.wait(lambda: working(daemon), 20, "no agent works", daemon.tail)
        os.kill(pid, signal.SIGKILL)
        daemon.wait(lambda n=before: len(daemon.events("agent_lost")) > n, 10, "nobody noticed")  # type: ignore[misc]
    result = daemon.result("poison", 30)
    assert result["status"] == "failed"
    assert "poison" in result["tasks"][0]["reason"]
    assert {line["data"]["reason"] for line in daemon.events("agent_lost")} == {"ended by signal SIGKILL"}
    daemon.drop("good", NOOP)
    assert daemon.result("good", 90)["status"] == "succeeded"


def working(daemon: Daemon) -> int | None:
    """The pid of an agent that works, as the registry shows it."""
    known = json.loads((daemon.home / "council/keys/active-agents.json").read_text())["agents"]
    pids = {line["data"]["pid"] for line in daemon.events("agent_lost")}
    alive = [agent["pid"] for agent in known.values() if agent["status"] == "working"]
    return next((pid for pid in alive if pid not in pids), None)
