"""Which daemon runs on a home: who holds the lock, and how to ask it to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil
from filelock import FileLock, Timeout

from swarmd import __version__, durable
from swarmd.clock import Clock, boot_id, rfc3339
from swarmd.errors import DaemonDownError, HomeLockedError, SwarmdError
from swarmd.home import Home
from swarmd.messages import Message, dump, load

__all__ = ["Presence", "hold", "is_held", "read", "stop"]


class Presence(Message):
    """The daemon that runs on a home. Pid, start and boot id together name one process for good."""

    pid: int
    start: float
    """The process's start time, in seconds since the epoch."""
    boot_id: str
    started_at: str
    version: str

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        try:
            return self.boot_id == boot_id() and abs(psutil.Process(self.pid).create_time() - self.start) < 2
        except psutil.Error:
            return False


@contextlib.contextmanager
def hold(home: Home, clock: Clock) -> Iterator[Presence]:
    """Be the one daemon of ``home``. The kernel frees the lock however this process ends.

    Raises HomeLockedError when another daemon holds it.
    """
    lock = FileLock(home.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        other = read(home)
        who = f" (pid {other.pid}, since {other.started_at})" if other else ""
        raise HomeLockedError(f"a daemon already runs on {home.root}{who}") from error
    presence = Presence(
        pid=os.getpid(),
        start=psutil.Process().create_time(),
        boot_id=boot_id(),
        started_at=rfc3339(clock.now()),
        version=__version__,
    )
    try:
        durable.write(home.daemon_file, dump(presence), durable=False)
        yield presence
        durable.remove(home.daemon_file)
    finally:
        lock.release()


def is_held(home: Home) -> bool:
    """Whether some process holds the home's lock."""
    if not home.lock_file.exists():
        return False
    lock = FileLock(home.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def read(home: Home) -> Presence | None:
    """The daemon that runs on ``home``; None when there is none."""
    try:
        presence = load(Presence, home.daemon_file.read_bytes())
    except (OSError, ValueError):
        return None
    return presence if presence.alive() else None


def stop(home: Home, *, now: bool, timeout: float) -> None:
    """Ask the daemon to end and wait until it has; ``now`` skips the draining.

    Raises DaemonDownError when none runs, SwarmdError E-DAEMON-STOP when it is still there after
    ``timeout`` seconds.
    """
    presence = read(home)
    if presence is None:
        raise DaemonDownError(f"no daemon runs on {home.root}")
    deadline = time.monotonic() + timeout
    os.kill(presence.pid, signal.SIGTERM)
    if now:
        time.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            os.kill(presence.pid, signal.SIGTERM)
    while presence.alive():
        if time.monotonic() > deadline:
            raise SwarmdError(
                f"the daemon (pid {presence.pid}) has not ended within {timeout:.0f} s",
                code="E-DAEMON-STOP",
                hint='Look at the end of logs/master.jsonl, then try "swarmd down --now".',
            )
        time.sleep(0.05)
