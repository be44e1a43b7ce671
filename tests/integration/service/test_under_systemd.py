"""The service under a real systemd user manager: started, watched, restarted or not, stopped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.home import Home, init
from swarmd.testing import ScriptedModel, temporary_home

from .user_manager import UserManager, user_manager

UNIT = "swarmd.service"
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
def manager() -> Iterator[UserManager]:
    with user_manager() as manager:
        yield manager


def swarmd(manager: UserManager, home: Home, *words: str, code: int = 0) -> str:
    done = manager.run(sys.executable, "-m", "swarmd", "--home", str(home.root), *words, check=False)
    assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}\n{manager.log()}"
    return done.stdout


@pytest.fixture
def home(manager: UserManager) -> Home:
    """A home whose service runs the stand-in, by the very drop-in that the docs speak of."""
    made = Home(manager.folder / "my home")
    init(made, {"XDG_STATE_HOME": str(manager.folder / "state")})
    drop_in = manager.folder / f"config/systemd/user/{UNIT}.d/test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(
        f'[Service]\nExecStart=\nExecStart="{sys.executable}" "{STAND_IN}" "{made.root}"\n'
        "WatchdogSec=1\nRestartSec=100ms\n"
    )
    return made


def pid_of(manager: UserManager, home: Home) -> int:
    daemon = json.loads(swarmd(manager, home, "service", "status", "--json"))["daemon"]
    return int(daemon["pid"])


def test_a_life_under_systemd(manager: UserManager, home: Home) -> None:
    said = json.loads(swarmd(manager, home, "service", "install", "--json"))
    assert (said["changed"], said["started"], said["commands"]) == ("created", True, [])
    first = pid_of(manager, home)
    shown = manager.show(UNIT)
    assert (shown["ActiveState"], shown["SubState"], shown["Type"]) == ("active", "running", "notify")
    assert (shown["MainPID"], shown["StatusText"]) == (str(first), "watched every 1.0 s")
    assert json.loads(swarmd(manager, home, "status", "--json"))["service"]["runs_daemon"] is True

    again = json.loads(swarmd(manager, home, "service", "install", "--json"))
    assert (again["changed"], pid_of(manager, home)) == ("unchanged", first)

    manager.run("systemctl", "--user", "reload", UNIT)
    manager.wait(lambda: (home.root / "heard").exists(), "SIGHUP did not come")
    assert (home.root / "heard").read_text() == "reload"

    (home.root / "do").write_text("hang")
    manager.wait(lambda: manager.show(UNIT)["NRestarts"] == "1", "the watchdog did not bite")
    (home.root / "do").write_text("1")
    manager.wait(lambda: manager.show(UNIT)["NRestarts"] == "2", "it was not restarted after a crash")
    manager.wait(lambda: manager.show(UNIT)["SubState"] == "running", "it does not run again")
    assert pid_of(manager, home) != first

    swarmd(manager, home, "service", "uninstall")
    assert (home.root / "heard").read_text() == "drained, worker None"
    assert manager.show(UNIT)["ActiveState"] == "inactive"
    assert manager.run("pgrep", "-x", "sleep", check=False).stdout == "", "a worker was left"
    swarmd(manager, home, "service", "status", code=3)


@pytest.mark.parametrize("status", [2, 6])
def test_what_a_restart_would_repeat_is_not_restarted(manager: UserManager, home: Home, status: int) -> None:
    swarmd(manager, home, "service", "install")
    (home.root / "do").write_text(str(status))
    manager.wait(lambda: manager.show(UNIT)["ActiveState"] == "failed", "it goes on")
    shown = manager.show(UNIT)
    assert (shown["ExecMainStatus"], shown["NRestarts"], shown["Result"]) == (str(status), "0", "exit-code")
    swarmd(manager, home, "service", "status", code=3)


def test_a_daemon_that_crashes_at_once_is_given_up_after_five_starts(
    manager: UserManager, home: Home
) -> None:
    drop_in = manager.folder / f"config/systemd/user/{UNIT}.d/test.conf"
    drop_in.write_text("[Service]\nExecStart=\nExecStart=false\nRestartSec=10ms\n")
    done = manager.run(
        sys.executable, "-m", "swarmd", "--home", str(home.root), "service", "install", "--json", check=False
    )
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["code"]) == (1, "E-SERVICE")
    assert f"journalctl --user -u {UNIT}" in error["hint"]
    manager.wait(lambda: manager.show(UNIT)["NRestarts"] == "5", "it was given up early", 30)
    manager.wait(lambda: manager.show(UNIT)["ActiveState"] == "failed", "it is started for ever", 30)


def logged(home: Home) -> dict[str, Any]:
    """The data of the last line of each event in the master's log."""
    lines = [json.loads(line) for line in home.master_log.read_text().splitlines()]
    return {line["event"]: line["data"] for line in lines}


def test_the_real_daemon_with_its_sandbox_under_the_real_unit(manager: UserManager) -> None:
    with ScriptedModel(default={"reply": "no"}) as model:
        folder = manager.folder / '50% "of" $HOME \\ größe'
        folder.mkdir()
        home = temporary_home(folder, **model.settings())
        swarmd(manager, home, "service", "install")
        swarmd(manager, home, "service", "status")
        events = logged(home)
        assert "daemon_ready" in events, "the manager was told before it was so"
        deadline = time.monotonic() + 30
        while "sandbox_proven" not in (events := logged(home)) and time.monotonic() < deadline:
            time.sleep(0.1)
        # The hardening leaves the sandbox as strong as it is outside of the service.
        assert events["sandbox_proven"]["level"] == "bwrap"
        assert manager.show(UNIT)["NoNewPrivileges"] == "yes"
        swarmd(manager, home, "service", "uninstall")
        assert json.loads(home.master_log.read_text().splitlines()[-1])["event"] == "daemon_stopped"
        assert manager.show(UNIT)["Result"] == "success"
