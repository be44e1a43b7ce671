"""A home whose file system tells of no changes, as network file systems: the daemon lists the folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from swarmd.testing import add_noop_type
from tests.acceptance.harness import Daemon


def _watches(pid: int) -> int:
    """How many inotify watches a process has."""
    infos = Path(f"/proc/{pid}/fdinfo").iterdir()
    return sum(info.read_text().count("inotify wd:") for info in infos if info.exists())


def test_requests_and_commands_are_found_by_listing(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon('[daemon]\nwatch = "sweep"\nsweep_interval_s = 1.0\n')
    add_noop_type(daemon.home / "agents")
    daemon.start()
    assert daemon.process is not None
    assert _watches(daemon.process.pid) == 0
    daemon.drop("found", {"user_request": "Do nothing.", "kind": "research"}, "low")
    assert daemon.result("found", 20)["status"] == "succeeded"
    (daemon.home / "bus/control/stop-taking.json").write_text(json.dumps({"command": "pause"}))
    daemon.wait(lambda: daemon.events("daemon_paused"), 20, "it is not paused", daemon.tail)
    assert daemon.stop() == 0


def test_by_default_events_are_used(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.process is not None
    assert _watches(daemon.process.pid) > 0
