"""The daemon: one asyncio process that owns a home."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from swarmd.clock import SystemClock
from swarmd.config import Settings
from swarmd.daemon import presence
from swarmd.home import Home

__all__ = ["run"]


def run(home: Home, settings: Settings, *, env: Mapping[str, str]) -> int:
    """Be the daemon of ``home`` until a signal ends it; returns the exit code.

    Raises HomeLockedError when another one runs there.
    """
    from swarmd.daemon.master import Master  # 120 ms that "swarmd status" need not wait for

    clock = SystemClock()
    with presence.hold(home, clock):
        try:
            asyncio.run(Master(home, settings, clock).run())
        except BaseExceptionGroup as group:
            raise _first(group) from group
    return 0


def _first(error: BaseException) -> BaseException:
    """What went wrong first in a group of errors: the others follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
