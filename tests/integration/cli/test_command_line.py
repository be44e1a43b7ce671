"""The real program in processes of its own: exit codes, streams, colour, and the daemon's start."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from swarmd.audit import verify
from swarmd.audit.chain import Chain
from swarmd.daemon import presence
from swarmd.home import Home, init
from swarmd.testing import ScriptedModel, temporary_home

ROOT = Path(__file__).resolve().parents[3]
SWARMD = [sys.executable, "-m", "swarmd"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("NO_COLOR", "FORCE_COLOR", "SWARMD_HOME")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}


@pytest.fixture
def home(tmp_path: Path, env: dict[str, str]) -> Home:
    made = Home(tmp_path / "home")
    init(made, env)
    env["SWARMD_HOME"] = str(made.root)
    return made


def swarmd(env: dict[str, str], *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SWARMD, *words], env=env, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_module_and_exit_codes(env: dict[str, str], home: Home) -> None:
    assert swarmd(env, "--version").stdout.startswith("swarmd ")
    assert swarmd(env, "status").returncode == 3
    assert swarmd(env, "nonsense").returncode == 2
    assert swarmd(env, "down").returncode == 0
    assert swarmd(env, "model", "test", "nonsense").returncode == 2


def test_init_then_the_home_is_found_from_below_it(env: dict[str, str], tmp_path: Path) -> None:
    assert swarmd(env, "init", str(tmp_path / "mine")).returncode == 0
    below = tmp_path / "mine" / "bus"
    answer = json.loads(swarmd(env, "config", "show", "--json", cwd=below).stdout)
    assert answer["home"] == str(tmp_path / "mine")


def test_a_foreign_folder_is_no_home_although_it_has_the_file(env: dict[str, str], tmp_path: Path) -> None:
    hostile = tmp_path / "checkout"
    hostile.mkdir()
    (hostile / "swarmd.toml").write_text('privacy = "off"\n')
    answer = json.loads(swarmd(env, "config", "show", "--json", cwd=hostile).stdout)
    assert answer["home"] == str(tmp_path / "state" / "swarmd")


def test_colour_on_a_terminal_only(env: dict[str, str], home: Home) -> None:
    assert "\x1b" not in swarmd(env, "model", "list").stdout

    def on_terminal(**more: str) -> bytes:
        here, there = pty.openpty()
        with os.fdopen(here, "rb", buffering=0) as terminal:
            process = subprocess.Popen(
                [*SWARMD, "model", "list"],
                env={**env, **more},
                cwd=ROOT,
                stdout=there,
                stderr=subprocess.DEVNULL,
            )
            os.close(there)
            said = b""
            try:
                while part := terminal.read(4096):
                    said += part
            except OSError:  # how a terminal ends on Linux
                pass
            assert process.wait(30) == 0
        return said

    assert b"\x1b[" in on_terminal()
    assert b"\x1b[" not in on_terminal(NO_COLOR="1")


def test_a_reader_that_has_gone_is_no_error(env: dict[str, str], home: Home) -> None:
    command = f"{sys.executable} -m swarmd config show | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert "BrokenPipe" not in done.stderr


def test_an_ascii_terminal_gets_ascii(env: dict[str, str], home: Home) -> None:
    Chain(home.master_log, "1/2").append(
        [{"event": "task_complete", "level": "info", "data": {"summary": "größer"}}]
    )
    env |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = swarmd(env, "log")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "+ ok" in done.stdout


def test_following_the_log_shows_new_lines_and_ends_with_ctrl_c(env: dict[str, str], home: Home) -> None:
    log = Chain(home.master_log, "1/2")
    log.append([{"event": "first", "level": "info"}])
    command = [*SWARMD, "log", "-f", "--json"]
    # What runs the tests in the background may have told all of them to ignore Ctrl-C.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "first"
            log.rotate()
            assert json.loads(process.stdout.readline())["event"] == "segment_started"
            log.append([{"event": "second", "level": "info"}])
            assert json.loads(process.stdout.readline())["event"] == "second"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


def test_the_check_runs_as_a_file_alone_without_swarmd(home: Home, tmp_path: Path) -> None:
    """As a stranger runs it: isolated, without site-packages."""
    Chain(home.master_log, "1/2").append([{"event": "first"}, {"event": "second"}, {"event": "third"}])
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(verify.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", "-W", "error", str(alone), str(home.root)]
    good = subprocess.run(command, capture_output=True, text=True)
    assert (good.returncode, good.stdout, good.stderr) == (0, "ok        master.jsonl (3 lines hold)\n", "")
    home.master_log.write_bytes(home.master_log.read_bytes().replace(b"second", b"SECOND"))
    bad = subprocess.run(command, capture_output=True, text=True)
    assert bad.returncode == 1
    assert bad.stdout.startswith("changed   master.jsonl (2 lines hold) line 2:")


# --- the daemon


@pytest.fixture
def served(tmp_path: Path, env: dict[str, str]) -> Iterator[Home]:
    """A home whose models are scripted; whatever daemon is left on it is ended."""
    with ScriptedModel(default={"reply": "no"}) as model:
        made = temporary_home(tmp_path, **model.settings())
        env["SWARMD_HOME"] = str(made.root)
        yield made
        running = presence.read(made)
        if running is not None:
            os.kill(running.pid, signal.SIGKILL)


def test_up_status_and_down(env: dict[str, str], served: Home) -> None:
    first = swarmd(env, "up", "-d", "--json")
    assert first.returncode == 0, first.stderr
    daemon = json.loads(first.stdout)
    assert daemon["started"] is True
    again = json.loads(swarmd(env, "up", "-d", "--json").stdout)
    assert (again["started"], again["daemon"]["pid"]) == (False, daemon["daemon"]["pid"])
    second = swarmd(env, "up", "--json")
    assert (second.returncode, json.loads(second.stderr)["error"]["code"]) == (6, "E-HOME-LOCKED")
    status = swarmd(env, "status", "--json")
    assert (status.returncode, json.loads(status.stdout)["daemon"]["pid"]) == (0, daemon["daemon"]["pid"])
    down = swarmd(env, "down", "--now")
    assert down.returncode == 0, down.stderr
    assert swarmd(env, "status").returncode == 3
    assert swarmd(env, "audit", "verify").returncode == 0


def test_up_in_the_foreground_ends_with_ctrl_c(env: dict[str, str], served: Home) -> None:
    process = subprocess.Popen(
        [*SWARMD, "up"], env=env, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while "daemon_ready" not in (served.master_log.read_text() if served.master_log.exists() else ""):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_up_that_cannot_start_says_why(env: dict[str, str], home: Home) -> None:
    with FileLock(home.lock_file):
        done = swarmd(env, "up", "-d", "--json")
    assert done.returncode == 1
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "E-DAEMON-START"
    assert "error[E-HOME-LOCKED]: a daemon already runs" in error["message"]
    assert str(home.console_log) in error["hint"]


def test_up_with_wrong_settings_fails_before_it_starts_anything(env: dict[str, str], home: Home) -> None:
    home.settings_file.write_text("[daemon]\nmax_agents = 0\n")
    done = swarmd(env, "up", "-d", "--json")
    assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (2, "E-CONFIG")
    assert not home.console_log.exists()


def test_a_hostile_checkout_is_not_imported_by_the_daemon(
    env: dict[str, str], served: Home, tmp_path: Path
) -> None:
    hostile = tmp_path / "checkout"
    (hostile / "swarmd").mkdir(parents=True)
    (hostile / "swarmd" / "__init__.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    code = "import sys; from swarmd.cli import main; sys.exit(main(['up', '-d']))"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=env, cwd=hostile, capture_output=True, text=True, timeout=120)
    swarmd(env, "down", "--now")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


def test_doctor_ends_quickly_with_a_line_for_every_check(env: dict[str, str], home: Home) -> None:
    done = swarmd(env, "doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["ok"] else 1)
    names = {check["name"] for check in found["checks"]}
    assert {"python", "git", "home", "sandbox", "confinement", "models", "audit", "disk"} <= names
    assert all(check["fix"] for check in found["checks"] if check["state"] == "fail")
