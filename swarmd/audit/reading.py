"""Reading a log back: all of it, or as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from swarmd.audit.chain import Line

__all__ = ["follow", "read_lines"]


def read_lines(path: Path, *, offset: int = 0) -> Iterator[tuple[Line, int]]:
    """Each whole line of the log from byte ``offset``, with the offset behind it.

    A torn last line is left for later. A missing file has no lines. A line that is not JSON raises
    orjson.JSONDecodeError: only ``swarmd audit verify`` may pass over damage.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            offset += len(raw)
            yield orjson.loads(raw), offset


def follow(
    path: Path,
    *,
    offset: int = 0,
    stop: Callable[[], bool] = lambda: False,
    poll_s: float = 0.1,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """Each line of the log from byte ``offset``, waiting for more until ``stop()`` is true."""
    while True:
        for line, end in read_lines(path, offset=offset):
            offset = end
            yield line
        if stop():
            return
        sleep(poll_s)
