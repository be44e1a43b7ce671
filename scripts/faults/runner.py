"""One daemon on one home, as the fault walk drives it: started, traced, watched, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

__all__ = ["DiedError", "Runner", "StuckError", "log_lines", "processes_of"]

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.01
GRACE_S = 90.0
"""For a start or an end; under the tracer, and beside other work, they take their time."""

# Imports are done before the tracer comes: they change nothing, and stopping at each of their thousands
# of system calls would triple the time of a point.
LAUNCHER = """
import os, sys
import swarmd.cli, swarmd.cli.up, swarmd.daemon, swarmd.daemon.master
exec(os.environ.pop("FAULT_PRELUDE", ""))
sys.stdin.readline()
sys.exit(swarmd.cli.main(["up", "-q"]))
"""


class DiedError(Exception):
    """The daemon has ended while something was waited for."""


class StuckError(Exception):
    """What was waited for did not come."""


class Runner:
    """Starts and ends daemons on ``home``. Everything that they leave outside of it lies in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        for name in ("run", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SWARMD_", "PYTEST"))},
            "SWARMD_HOME": str(self.home),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._tracer: subprocess.Popen[bytes] | None = None

    # --- start and end -----------------------------------------------------------------------------

    def start(self, trace: Sequence[str] = (), prelude: str = "") -> None:
        """Start the daemon, under strace if there are options ``trace``. ``prelude``: Python that its
        process executes first. It may have ended when this returns."""
        with (self.folder / "daemon.out").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER],
                env={**self.env, "FAULT_PRELUDE": prelude},
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        if trace:
            # -b execve: its threads are followed, the programs that it starts are let go
            self.trace(["-f", "-b", "execve", *trace], self.process.pid)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
            stdin.write(b"\n")

    def trace(self, options: Sequence[str], pid: int) -> None:
        """Attach strace to ``pid`` and wait until it holds on. Its record is ``folder``/trace."""
        self._tracer = subprocess.Popen(
            ["strace", "-y", "-o", str(self.folder / "trace"), *options, "-p", str(pid)],
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._tracer.stderr is not None
        said = self._tracer.stderr.readline().decode()
        if "attached" not in said:
            raise StuckError(f"strace cannot attach to {pid}: {said.strip()}")

    def ready(self) -> None:
        """Wait until it serves."""
        assert self.process is not None
        mark, writer = '"event":"daemon_ready"', f'"writer":"{self.process.pid}"'

        def seen() -> bool:
            return any(mark in line and writer in line for line in _tail(self.home / "logs/master.jsonl"))

        self.wait(seen, "daemon_ready")

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = GRACE_S) -> Any:
        """What ``condition`` gives, once it is true. Raises DiedError or StuckError."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if self.process is not None and self.process.poll() is not None:
                raise DiedError(f"status {self.process.returncode} while waiting for: {what}")
            if time.monotonic() > deadline:
                raise StuckError(f"not within {timeout:g} s: {what}")
            time.sleep(POLL_S)
        return value

    def terminate(self, timeout: float = GRACE_S) -> int:
        """Ask it to end, as ``swarmd down`` does; its exit status. Raises StuckError."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise StuckError(f"it has not ended {timeout:g} s after SIGTERM") from error

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def untrace(self) -> str:
        """End the tracer, if there is one, and give what it wrote down."""
        if self._tracer is None:
            return ""
        self._tracer.terminate()
        self._tracer.communicate()
        self._tracer = None
        return (self.folder / "trace").read_text(errors="replace")

    def close(self) -> None:
        """End whatever is left of it."""
        self.untrace()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for process in processes_of(self.home):
            with contextlib.suppress(psutil.Error):
                process.kill()

    # --- what it shows -----------------------------------------------------------------------------

    def results(self) -> set[str]:
        """The ids that have an outbox file."""
        return {path.stem for path in (self.home / "bus/outbox").iterdir() if path.suffix == ".json"}

    def pid_of(self, agent_type: str) -> int | None:
        """The pid of a live worker of a type, as the registry file shows it."""
        try:
            shown = json.loads((self.home / "council/keys/active-agents.json").read_bytes())["agents"]
        except (OSError, ValueError):
            return None
        pids = [agent["pid"] for name, agent in shown.items() if name.startswith(f"{agent_type}.")]
        return pids[0] if pids else None

    def pid_in_log(self, actor: str) -> int | None:
        """The pid of the process that the log says was started last as ``actor``."""
        pids = [
            line["data"]["pid"]
            for line in log_lines(self.home)
            if line.get("event") == "process_started" and line.get("actor") == actor
        ]
        return pids[-1] if pids else None


def _tail(path: Path, size: int = 256 * 1024) -> list[str]:
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def log_lines(home: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of the master's log, over all its segments, each once."""
    seen: set[int] = set()
    for path in [*sorted((home / "logs/archive").glob("master.*.jsonl")), home / "logs/master.jsonl"]:
        for raw in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if raw.endswith(b"\n"):
                line = json.loads(raw)
                if line["seq"] not in seen:
                    seen.add(line["seq"])
                    yield line


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works on ``home``: it stands in its environment or its arguments."""
    mark, found = str(home), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("SWARMD_HOME") == mark or any(mark in arg for arg in process.cmdline()):
                found.append(process)
    return found
