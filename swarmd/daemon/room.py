"""Starting on a full disk: what begins there waits, and goes on by itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from swarmd import durable

__all__ = ["with_room"]

T = TypeVar("T")

ROOM = 64 * 1024
"""Bytes without which no start can succeed: it writes who runs, what it mended, and that it began."""
PAUSE_S = 0.5


def with_room(folder: Path, work: Callable[[], T], tell: Callable[[str], None]) -> T:
    """What ``work`` gives. Each time it ends because the disk is full, it is done again, from its
    beginning, once ``folder`` has room; ``tell`` is told meanwhile, twice a second, what is waited for.

    Raises what ``work`` raises for any other reason.
    """
    while True:
        try:
            return work()
        except OSError as error:
            if not durable.is_full(error):
                raise
        tell(f"the disk of {folder} is full: waiting for room")
        time.sleep(PAUSE_S)
        while not _has_room(folder):
            tell(f"the disk of {folder} is full: waiting for room")
            time.sleep(PAUSE_S)


def _has_room(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            durable.write_all(file.fileno(), b"\0" * ROOM)
    except OSError as error:
        return not durable.is_full(error)
    return True
