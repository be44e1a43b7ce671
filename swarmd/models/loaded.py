"""Which models brokers have loaded, as a file beside each one's sockets: written by its manager, read by the
command line. It is a view for people; nothing depends on it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from swarmd import durable

__all__ = ["Loaded", "file_of", "publish", "read"]

MAX_FILE = 1024 * 1024


@dataclass(frozen=True)
class Loaded:
    """One engine."""

    model: str
    pid: int
    state: str
    """loading, ready, or leaving (it ends as soon as its calls have)."""
    calls: int
    """That it answers now."""
    waiting: int
    """Calls that wait for it or for its place."""
    context: int
    parallel: int
    slots: int
    cache: str
    gpu_layers: int
    ram_bytes: int
    """As planned."""
    vram_bytes: int
    last_used: str
    """RFC 3339."""


def file_of(runtime: Path, pid: int) -> Path:
    """Where the broker ``pid`` writes. The name is one that a later broker's sweep removes."""
    return runtime / f"engine-{pid}-loaded.json"


def publish(runtime: Path, models: Iterable[Loaded]) -> None:
    """Write what this process has loaded. A full disk only makes the view old."""
    document = {"v": 1, "pid": os.getpid(), "models": [asdict(model) for model in models]}
    with suppress(OSError):
        durable.write(file_of(runtime, os.getpid()), orjson.dumps(document), durable=False)


def read(runtime: Path) -> dict[int, list[Loaded]]:
    """What living brokers have loaded, by their pid. Files that cannot be read are passed over."""
    import psutil

    found: dict[int, list[Loaded]] = {}
    for path in sorted(runtime.glob("engine-*-loaded.json")):
        pid = path.name.split("-")[1]
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            with suppress(OSError, ValueError, TypeError, KeyError):
                document = orjson.loads(durable.read_regular(path, MAX_FILE))
                known = {field.name for field in fields(Loaded)}
                found[int(pid)] = [
                    Loaded(**{name: one[name] for name in known}) for one in document["models"]
                ]
    return found
