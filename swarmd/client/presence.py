"""Whether a daemon runs on a home, from the file in which it says so."""

from __future__ import annotations

import orjson

from swarmd import durable
from swarmd.clock import boot_id
from swarmd.errors import DaemonDownError
from swarmd.home import Home

__all__ = ["daemon_pid", "require_daemon"]

_MAX_FILE = 64 * 1024
_SLACK_S = 2.0
"""A process's start time is told in hundredths of a second since a boot whose moment is rounded."""


def daemon_pid(home: Home) -> int | None:
    """The pid of the daemon that runs on ``home``; None when none runs.

    A pid alone could be another process's by now: the boot and the start time must agree.
    """
    try:
        said = orjson.loads(durable.read_regular(home.daemon_file, _MAX_FILE))
        pid, start, boot = int(said["pid"]), float(said["start"]), said["boot_id"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return pid if boot == boot_id() and _started(pid, start) else None


def _started(pid: int, start: float) -> bool:
    import psutil  # not needed by those who only submit

    try:
        return abs(psutil.Process(pid).create_time() - start) < _SLACK_S
    except (psutil.Error, OverflowError, ValueError):
        return False


def require_daemon(home: Home, why: str = "") -> None:
    """Raise DaemonDownError, with ``why`` it is needed, when no daemon runs on ``home``."""
    if daemon_pid(home) is None:
        raise DaemonDownError(f"no daemon runs on {home.root}" + (f": {why}" if why else ""))
