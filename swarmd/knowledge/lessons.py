"""Writing down what passed, what failed, and why: one line per task, one file per month."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, StringConstraints

from swarmd import durable
from swarmd.clock import rfc3339
from swarmd.messages import Message, Tier
from swarmd.messages.request import Kind

__all__ = ["MAX_BYTES", "Lesson", "add"]

MAX_BYTES = 4 * 1024 * 1024
"""Size of a month's file at which its older half is dropped."""


class Lesson(Message):
    """How one task ended. Only what gates have shown stands here, never a model's own word."""

    request_id: str
    task_id: str
    agent_type: str
    kind: Kind
    passed: bool
    why: Annotated[str, StringConstraints(max_length=1000)]
    """The gates that passed, or the class and the digest of the last failure."""
    tier: Tier
    attempts: int = 0
    files: list[str] = Field(default_factory=list, max_length=16)


def add(folder: Path, lesson: Lesson, now: datetime) -> Path:
    """Append ``lesson`` to the month's file under ``folder`` and return that file.

    Power loss may undo it. Raises OSError when it cannot be written.
    """
    path = folder / f"{now.astimezone(UTC):%Y-%m}.jsonl"
    line = orjson.dumps({"ts": rfc3339(now), **lesson.model_dump(mode="json")}) + b"\n"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size + len(line) <= MAX_BYTES:
            torn = size and os.pread(fd, 1, size - 1) != b"\n"
            durable.append(fd, [b"\n" * bool(torn), line], durable=False)
            return path
    finally:
        os.close(fd)
    _drop_older_half(path, line)
    return path


def _drop_older_half(path: Path, line: bytes) -> None:
    """Keep the newest whole lines, up to half of the limit, and add ``line``."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_BYTES // 2))
        newest = file.read(MAX_BYTES // 2).partition(b"\n")[2]
    kept = newest if newest.endswith(b"\n") or not newest else newest + b"\n"
    durable.write(path, kept + line, durable=False)
