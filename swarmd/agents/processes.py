"""Processes as the kernel knows them: what names one for good, whose child it is, how a tree ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

__all__ = [
    "Zombies",
    "adopt_orphans",
    "children",
    "die_with_parent",
    "expose_to_oom",
    "oom_score",
    "pidfd",
    "process_start",
    "send_signal",
]

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
OOM_STEP, OOM_MOST = 100, 1000


def process_start(pid: int) -> int:
    """Start time of process ``pid`` in clock ticks since boot: with the pid it names one process.

    Raises OSError when there is no such process (or no /proc).
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rpartition(")")[2].split()[19])


def children(pid: int) -> list[int]:
    """The direct children of ``pid``, zombies included; none where the kernel does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # it may end at any time
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - in the way of every reaped child
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when ``parent``, which forked it, dies. False: it just has."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, whatever session it is in."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def expose_to_oom() -> None:
    """When memory runs out, this process and all that it starts go before those that started it.

    Children inherit it over fork and exec, so it also tells the master which orphans come from here.
    """
    with contextlib.suppress(OSError):
        own = oom_score(os.getpid())
        Path("/proc/self/oom_score_adj").write_text(str(min(own + OOM_STEP, OOM_MOST)))


def oom_score(pid: int) -> int:
    """How gladly the kernel ends ``pid`` when memory runs out. Raises OSError when it is gone."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def pidfd(pid: int) -> int | None:
    """A descriptor that means exactly the process ``pid``, a child not yet reaped; None: no support."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def send_signal(pid: int, start_ticks: int, fd: int | None, number: int, *, group: bool = False) -> bool:
    """Signal the process that all three name (``fd``: its pidfd), with ``group`` also its group, which it
    leads. False when it is gone: another process that has its number now is left alone."""
    try:
        if fd is not None:
            signal.pidfd_send_signal(fd, 0)
        elif process_start(pid) != start_ticks:
            return False
        if group:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it leads none yet
                os.killpg(pid, number)
        if fd is not None:
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)
    except OSError:
        return False
    return True


class Zombies:
    """Reaps orphans that this process adopted and nobody waits for, without taking from anybody who does
    wait: only what has been dead at two looks in a row."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def look(self) -> None:
        """Reap what was dead at the last look and still is. Looks should be seconds apart."""
        dead = {pid for pid in children(os.getpid()) if _is_zombie(pid)}
        for pid in dead & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    return False
