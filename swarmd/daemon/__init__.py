"""The daemon: one asyncio process that owns a home."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what "swarmd status" need not wait for
    from swarmd.config import Settings
    from swarmd.daemon.notify import Notifier
    from swarmd.home import Home

__all__ = ["run"]


def run(home: Home, settings: Settings, *, warn: Callable[[str], None]) -> int:
    """Be the daemon of ``home`` until a signal ends it; returns the exit code. A disk without room to
    begin is waited for; ``warn`` is told so.

    Raises HomeLockedError when another one runs there.
    """
    import os

    from swarmd.daemon.notify import Notifier
    from swarmd.daemon.room import with_room

    with Notifier.from_env(os.environ) as notifier:
        warned = set()

        def wait(why: str) -> None:
            notifier.waiting(why)
            if why not in warned:
                warned.add(why)
                warn(why)

        with_room(home.root, lambda: _serve(home, settings, notifier), wait)
    return 0


def _serve(home: Home, settings: Settings, notifier: Notifier) -> None:
    """One life of the daemon."""
    import asyncio

    from swarmd import durable
    from swarmd.clock import SystemClock
    from swarmd.daemon import presence
    from swarmd.daemon.master import Master

    clock = SystemClock()
    master = Master(home, settings, clock, notifier)
    with presence.hold(home, clock):
        try:
            asyncio.run(master.run())
        except (BaseExceptionGroup, OSError) as error:
            first = _first(error)
            if not (master.is_stopping and durable.is_full(first)):  # the next daemon mends the rest
                raise first from error


def _first(error: BaseException) -> BaseException:
    """What went wrong first in a group of errors: the others follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
