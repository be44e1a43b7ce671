"""One daemon per home: two real processes, and file systems whose locks are none."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd.daemon import presence
from swarmd.home import Home
from swarmd.testing import ScriptedModel, temporary_home

ROOT = Path(__file__).resolve().parents[3]
UP = [sys.executable, "-m", "swarmd", "up", "--json"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Home, dict[str, str]]]:
    """A home whose models are scripted; whatever daemon is left on it is ended."""
    with ScriptedModel(default={"reply": "no"}) as model:
        home = temporary_home(tmp_path, **model.settings())
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SWARMD_HOME": str(home.root),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        yield home, env
        running = presence.read(home)
        if running is not None:
            os.kill(running.pid, signal.SIGKILL)


def start(home: Home, env: dict[str, str], times: int = 1) -> subprocess.Popen[bytes]:
    """Start a daemon and wait until it is ready: the home's ``times``-th."""
    process = subprocess.Popen(
        UP, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while (home.master_log.read_text() if home.master_log.exists() else "").count('"daemon_ready"') < times:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def refused(env: dict[str, str], *before: str) -> tuple[int, dict[str, str]]:
    done = subprocess.run([*before, *UP], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stderr.splitlines()[-1])["error"]


def test_the_second_daemon_names_the_first_and_touches_nothing(served: tuple[Home, dict[str, str]]) -> None:
    home, env = served
    first = start(home, env)
    try:
        before = home.daemon_file.read_bytes()
        seconds = [subprocess.Popen(UP, env=env, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
        for second in seconds:
            _, said = second.communicate(timeout=60)
            error = json.loads(said)["error"]
            assert (second.returncode, error["code"]) == (6, "E-HOME-LOCKED")
            assert f"(pid {first.pid}, since " in error["message"]
        assert home.daemon_file.read_bytes() == before
        assert presence.read(home) is not None
        assert home.master_log.read_text().count('"daemon_started"') == 1
        first.kill()
        first.wait()
        again = start(home, env, times=2)  # the kernel has freed the lock
        assert presence.read(home) is not None
        again.terminate()
        assert again.wait(60) == 0
    finally:
        first.kill()
        first.wait()


def test_many_that_start_at_once_are_one(served: tuple[Home, dict[str, str]]) -> None:
    _, env = served
    processes = [
        subprocess.Popen(UP, env=env, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
        for _ in range(4)
    ]
    try:
        deadline = time.monotonic() + 60
        while sum(process.poll() is None for process in processes) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (winner,) = (process for process in processes if process.poll() is None)
        for process in processes:
            if process is not winner:
                _, said = process.communicate()
                assert process.returncode == 6
                assert f"pid {winner.pid}," in json.loads(said)["error"]["message"]
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    ("injected", "why"),
    [
        ("error=ENOLCK", "No locks available"),
        ("error=ENOSYS", "Function not implemented"),
        ("error=EOPNOTSUPP", "Operation not supported"),
        ("retval=0", "a lock there keeps nobody out"),
    ],
)
def test_a_file_system_without_working_locks_is_refused(
    served: tuple[Home, dict[str, str]], injected: str, why: str
) -> None:
    """As NFS without a lock daemon, old FUSE, and shared folders of virtual machines answer."""
    home, env = served
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=flock:{injected}"]
    code, error = refused(env, *strace)
    assert (code, error["code"]) == (2, "E-HOME-NO-LOCKS")
    assert why in error["message"]
    assert "local disk" in error["hint"]
    assert not home.master_log.exists()
    assert not home.daemon_file.exists()


def test_a_lock_that_cannot_be_opened_says_so(served: tuple[Home, dict[str, str]]) -> None:
    home, env = served
    home.lock_file.unlink(missing_ok=True)
    home.lock_file.mkdir()
    code, error = refused(env)
    assert (code, error["code"]) == (2, "E-HOME-LOCK")
