"""Which daemon runs on a home: who holds the lock, and how to ask it to stop."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from swarmd import __version__, durable
from swarmd.clock import Clock, boot_id, rfc3339
from swarmd.errors import ConfigError, DaemonDownError, HomeLockedError, SwarmdError
from swarmd.home import Home

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Presence", "hold", "is_held", "read", "stop"]

PATIENCE_S = 1.0
"""How long the holder of the lock may take to write who it is."""
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems without locks answer."""
MAX_FILE = 64 * 1024


@dataclass(frozen=True)
class Presence:
    """The daemon that runs on a home. Pid, start and boot id together name one process for good.

    A plain class, not a message: "swarmd status" reads it, and cannot wait for pydantic to load.
    """

    pid: int
    start: float
    """The process's start time, in seconds since the epoch."""
    boot_id: str
    started_at: str
    version: str

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        import psutil

        try:
            return self.boot_id == boot_id() and abs(psutil.Process(self.pid).create_time() - self.start) < 2
        except (psutil.Error, OverflowError, ValueError):
            return False

    def document(self) -> dict[str, Any]:
        """It as JSON has it."""
        return {"v": 1, **asdict(self)}


@contextlib.contextmanager
def hold(home: Home, clock: Clock) -> Iterator[Presence]:
    """Be the one daemon of ``home``. The kernel frees the lock however this process ends.

    Raises HomeLockedError, with its pid, when another daemon holds it, and ConfigError
    E-HOME-NO-LOCKS when the file system has no locks that hold.
    """
    with _locked(home):
        presence = _own(clock)
        durable.write(home.daemon_file, _dump(presence), durable=False)
        yield presence
        durable.remove(home.daemon_file)


@contextlib.contextmanager
def _locked(home: Home) -> Iterator[None]:
    lock = _file_lock(home.lock_file)
    try:
        held = _acquire(lock)
    except (OSError, NotImplementedError) as error:
        raise _cannot_lock(home, error) from error
    if not held:
        raise HomeLockedError(f"a daemon already runs on {home.root}{_holder(home)}")
    try:
        if not _excludes(home.lock_file):
            raise _no_locks(home, "a lock there keeps nobody out")
        yield
    finally:
        lock.release()


def _file_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path)


def _acquire(lock: BaseFileLock) -> bool:
    """Take ``lock``, if it is free. Raises what the file system says against it."""
    from filelock import SoftFileLock, Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    if isinstance(lock, SoftFileLock):  # filelock's own way out: a file that would outlive kill -9
        lock.release()
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return True


def _excludes(path: Path) -> bool:
    """Whether a lock that is held keeps a second opener out: some network and shared-folder file
    systems grant every one."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _cannot_lock(home: Home, error: Exception) -> SwarmdError:
    if isinstance(error, NotImplementedError) or (isinstance(error, OSError) and error.errno in NO_LOCKS):
        return _no_locks(home, getattr(error, "strerror", None) or str(error))
    return ConfigError(
        f"the lock {home.lock_file} cannot be opened: {error}",
        code="E-HOME-LOCK",
        hint="The home must be a folder that you can write, on a disk that is not read-only or full.",
    )


def _no_locks(home: Home, why: str) -> ConfigError:
    return ConfigError(
        f"the file system of {home.root} has no working locks: {why}",
        code="E-HOME-NO-LOCKS",
        hint="Two daemons could serve it at the same time. Put the home on a local disk (--home); "
        "the repositories to work on may stay where they are.",
    )


def _own(clock: Clock) -> Presence:
    import psutil

    return Presence(
        pid=os.getpid(),
        start=psutil.Process().create_time(),
        boot_id=boot_id(),
        started_at=rfc3339(clock.now()),
        version=__version__,
    )


def _holder(home: Home) -> str:
    """Who holds the lock, for a message. It writes its name a moment after it has taken the lock."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        other = _load(home.daemon_file)
        if other and other.alive():
            return f" (pid {other.pid}, since {other.started_at})"
        time.sleep(0.05)
    other = _load(home.daemon_file)
    return f" (pid {other.pid}, which cannot be seen from here: in a container?)" if other else ""


def is_held(home: Home) -> bool:
    """Whether some process holds the home's lock. Raises ConfigError E-HOME-NO-LOCKS or E-HOME-LOCK."""
    if not home.lock_file.exists():
        return False
    lock = _file_lock(home.lock_file)
    try:
        held = not _acquire(lock)
    except (OSError, NotImplementedError) as error:
        raise _cannot_lock(home, error) from error
    lock.release()
    return held


def read(home: Home) -> Presence | None:
    """The daemon that runs on ``home``; None when there is none."""
    presence = _load(home.daemon_file)
    return presence if presence and presence.alive() else None


def _dump(presence: Presence) -> bytes:
    return orjson.dumps(presence.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _load(path: Path) -> Presence | None:
    try:
        found = orjson.loads(durable.read_regular(path, MAX_FILE))
    except (OSError, ValueError):
        return None
    kinds: dict[str, type | tuple[type, ...]] = {"pid": int, "start": (int, float)}
    if not isinstance(found, dict) or found.pop("v", None) != 1:
        return None
    if {field.name for field in fields(Presence)} != found.keys():
        return None
    if not all(isinstance(value, kinds.get(name, str)) for name, value in found.items()):
        return None
    return Presence(**found) if found["pid"] > 0 else None


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
