"""Appends to the chained log, against bare appends with the same syncs on the same disk."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from swarmd.audit import Chain

LINES = 4096
FIELDS = {
    "ts": "2026-01-01T00:00:00.000Z",
    "event": "noise",
    "level": "info",
    "actor": "m",
    "data": {"text": "x" * 200},
}


def chained(path: Path, group: int) -> float:
    """Lines per second through the chain, one sync for each ``group``."""
    chain = Chain(path, "benchmark")
    began = time.perf_counter()
    for _ in range(LINES // group):
        chain.append([FIELDS] * group)
    rate = LINES / (time.perf_counter() - began)
    chain.close()
    return rate


def bare(path: Path, group: int, size: int) -> float:
    """Lines of the same size per second with nothing but write and fdatasync."""
    data = b"x" * (size - 1) + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    began = time.perf_counter()
    for _ in range(LINES // group):
        os.write(fd, data * group)
        os.fdatasync(fd)
    rate = LINES / (time.perf_counter() - began)
    os.close(fd)
    return rate


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        folder = Path(name)
        for group in (1, 64):
            ours = chained(folder / f"chain-{group}", group)
            size = (folder / f"chain-{group}").stat().st_size // LINES
            limit = bare(folder / f"bare-{group}", group, size)
            print(
                f"groups of {group:2}: chained {ours:9.0f}/s   bare {limit:9.0f}/s   ratio {ours / limit:.2f}"
            )


if __name__ == "__main__":
    main()
