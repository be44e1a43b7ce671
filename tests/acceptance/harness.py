"""What the acceptance tests share: the real binary on a fresh home, repositories, judgements."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from swarmd.testing import ScriptedModel


class Daemon:
    """A swarmd daemon, driven as a user would: by files, signals and the command line."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.home = folder / "home"
        self.env = {
            **os.environ,
            "SWARMD_HOME": str(self.home),
            "XDG_STATE_HOME": str(folder / "state"),
            "NO_COLOR": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.swarmd("init", str(self.home))
        if settings:
            (self.home / "swarmd.toml").write_text(settings)

    def swarmd(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of the CLI."""
        done = subprocess.run(
            [sys.executable, "-m", "swarmd", *args], env=self.env, capture_output=True, text=True, timeout=120
        )
        if check:
            assert done.returncode == 0, f"swarmd {' '.join(args)}: {done.stdout}{done.stderr}"
        return done

    def start(self, under: Sequence[str] = ()) -> None:
        """Start the daemon in the foreground of a child and wait until it is ready. ``under``: a program that
        runs it, such as a tracer."""
        before = len(self.events("daemon_ready"))
        with (self.home / "logs/daemon.out").open("ab") as out:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "swarmd", "up"],
                env=self.env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.wait(lambda: len(self.events("daemon_ready")) > before, 30, "the daemon is not ready")

    def kill(self) -> None:
        """kill -9, and wait until the process is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end as ``swarmd down`` does; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """End it whatever state it is in, with every process that it started."""
        if self.process is None or self.process.poll() is not None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in children:
            if child.is_running():
                child.kill()

    def drop(self, name: str, request: dict[str, Any], priority: str = "normal") -> None:
        """Write a request file in place, as any program may."""
        (self.home / "bus/inbox" / priority / f"{name}.json").write_text(json.dumps(request))

    def result(self, request_id: str, timeout: float = 120) -> dict[str, Any]:
        """The request's result, once it is there."""
        path = self.home / "bus/outbox" / f"{request_id}.json"
        self.wait(path.exists, timeout, f"no result of {request_id}", self.tail)
        return json.loads(path.read_text())

    def log(self) -> list[dict[str, Any]]:
        """All whole lines of the master's log."""
        path = self.home / "logs/master.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def events(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """The log's lines of one event whose fields are equal to ``fields``."""
        return [
            line
            for line in self.log()
            if line["event"] == name and all(line.get(key) == value for key, value in fields.items())
        ]

    def tail(self) -> str:
        """The end of the log, for a failing test's message."""
        out = self.home / "logs/daemon.out"
        lines = [json.dumps(line) for line in self.log()[-25:]]
        return "\n".join([*lines, out.read_text()[-3000:] if out.exists() else ""])

    def wait(
        self, condition: Callable[[], Any], timeout: float, what: str, more: Callable[[], str] = lambda: ""
    ) -> Any:
        """Wait until ``condition`` holds; fail with ``what`` when it does not in ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            if self.process is not None and self.process.poll() not in (None, 0, -signal.SIGKILL):
                pytest.fail(f"the daemon ended with {self.process.returncode}\n{self.tail()}")
            time.sleep(0.05)
        pytest.fail(f"{what} after {timeout} s\n{more()}")


def scripted_settings(model: ScriptedModel) -> str:
    """swarmd.toml for a home whose tiers are all served by ``model``."""
    return (
        '[tiers]\nfast = "scripted"\ndeep = "scripted"\nreviewer = "scripted"\n'
        f'[models.scripted]\nprovider = "openai"\nname = "scripted"\nbase_url = "{model.base_url}"\n'
    )


def git(folder: Path, *args: str) -> str:
    """Plain git with a fixed identity."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *args], check=True, capture_output=True, text=True
    ).stdout


def make_repository(folder: Path, files: dict[str, str]) -> Path:
    """A git repository with one commit of ``files``."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the working tree, of HEAD, the index, the configuration and the stash."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        inside_git = relative.startswith(".git/")
        if inside_git and relative not in (".git/HEAD", ".git/index", ".git/config", ".git/refs/stash"):
            continue
        if path.is_symlink():
            found[relative] = f"-> {path.readlink()}"
        elif path.is_file():
            found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def own_tests_pass(repository: Path, branch: str, clone: Path) -> bool:
    """Judge a branch without swarmd: a fresh clone and the project's own tests."""
    git(repository, "clone", "--quiet", "--branch", branch, str(repository), str(clone))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    argv = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=."]
    return subprocess.run(argv, cwd=clone, env=env, capture_output=True).returncode == 0
