"""Processes that end with the benchmark, and what they hold in memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["Process", "die_with_parent", "kill_tree", "resident", "start", "stop", "tree", "wait_for"]

Process = subprocess.Popen[bytes]
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str], log: Path, extra: Mapping[str, str] | None = None, user: str = "", cwd: str = "/"
) -> Process:
    """Start ``command`` with its output in ``log``; it dies with this process. ``user``: as whom."""
    prefix = []
    if setpriv := shutil.which("setpriv"):
        prefix = [setpriv, "--pdeathsig", "KILL"]
        if user and os.getuid() == 0:
            prefix += ["--reuid", user, "--regid", user, "--clear-groups"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=cwd,
        )


def tree(pid: int) -> list[int]:
    """``pid`` and all that descend from it."""
    found = [pid]
    for one in found:  # grows meanwhile
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def kill_tree(roots: Iterable[Process]) -> None:
    """SIGKILL, all of them at once, and wait for those that are our own children."""
    roots = [root for root in roots if root.poll() is None]  # a reaped one's number may be another's
    for pid in [pid for root in roots for pid in tree(root.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for root in roots:
        root.wait()


def stop(process: Process, grace_s: float = 5.0, ask: signal.Signals = signal.SIGTERM) -> None:
    """End a server: asked first, then made to."""
    process.send_signal(ask)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        kill_tree([process])


def resident(pids: Iterable[int]) -> float:
    """Memory of these processes and their descendants in MB, what they share counted once (PSS)."""
    total = 0
    for pid in {one for root in pids for one in tree(root)}:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def wait_for(ready: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Whether ``ready`` came true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
