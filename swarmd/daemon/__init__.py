"""The daemon: one asyncio process that owns a home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what "swarmd status" need not wait for
    from swarmd.config import Settings
    from swarmd.home import Home

__all__ = ["run"]


def run(home: Home, settings: Settings, *, env: Mapping[str, str]) -> int:
    """Be the daemon of ``home`` until a signal ends it; returns the exit code.

    Raises HomeLockedError when another one runs there.
    """
    import asyncio

    from swarmd.clock import SystemClock
    from swarmd.daemon import presence
    from swarmd.daemon.master import Master

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
