"""Time and chance, as things that are handed in, so that a test can hold them still."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "SystemClock", "boot_id", "rfc3339", "short_id"]


class Clock(Protocol):
    """Two clocks: the wall's for people, the boot's for leases and deadlines."""

    def now(self) -> datetime:
        """The wall-clock time, in UTC. It may jump."""
        ...

    def boot(self) -> float:
        """Seconds since the machine booted, sleep included. It never jumps."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boot(self) -> float:
        # macOS has no CLOCK_BOOTTIME; its monotonic clock stops while the machine sleeps.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def rfc3339(moment: datetime) -> str:
    """``moment`` as UTC RFC 3339 with milliseconds, as every message and log line has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def short_id(length: int = 6) -> str:
    """A random name part of ``length`` hexadecimal digits."""
    return secrets.token_hex((length + 1) // 2)[:length]


def boot_id() -> str:
    """The kernel's id of this boot; a pid recorded under another one is dead. Empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
