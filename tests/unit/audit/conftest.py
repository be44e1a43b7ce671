"""Logs of several segments, and crashes between any two system calls."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmd.audit.chain import Chain

CALLS = ("open", "write", "fdatasync", "fsync", "ftruncate", "link", "rename", "replace", "unlink", "mkdir")
"""What changes files."""


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here can lose power."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None, raising=False)


class Crash(BaseException):
    """The process is gone: no handler may see it."""


class Faults:
    """Counts the system calls that change files, and stops the one that is chosen."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stop_at: int | None = None
        self.error: BaseException = Crash()

    def on(self, name: str) -> None:
        if self.stop_at is not None and len(self.calls) == self.stop_at:
            self.stop_at = None
            raise self.error
        self.calls.append(name)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``with faults() as it``: calls are counted; ``faults(n)``: the n-th does not happen any more."""

    @contextmanager
    def watching(stop_at: int | None = None, error: BaseException | None = None) -> Iterator[Faults]:
        found = Faults()
        found.stop_at, found.error = stop_at, error or Crash()
        with monkeypatch.context() as patched:
            for name in CALLS:
                patched.setattr(os, name, _watched(name, getattr(os, name), found))
            yield found

    return watching


def _watched(name: str, real: Callable[..., Any], found: Faults) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR):
            target = Path(args[0]).name if isinstance(args[0], (str, Path)) else ""
            found.on(f"{name} {target}".strip())
        return real(*args, **kwargs)

    return call


def numbers(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"event": "counted", "level": "info", "data": {"n": n}} for n in range(first, first + count)]


def write_segments(path: Path, *counts: int) -> bytes:
    """A log with so many lines in its segments, and what it holds in all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chain, written = Chain(path, "1/2"), 0
    for n, count in enumerate(counts):
        if n:
            assert chain.rotate("2026-11-21T10:00:00.000Z") is not None
        chain.append(numbers(count, written))
        written += count
    chain.close()
    return content(path)


def files(path: Path) -> list[Path]:
    """All segments, the oldest first."""
    return [*sorted((path.parent / "archive").glob(f"{path.stem}.*.jsonl")), path]


def content(path: Path) -> bytes:
    """What the log holds, over all its segments."""
    return b"".join(file.read_bytes() for file in files(path))


def ends(data: bytes) -> list[int]:
    """Where lines end, the beginning included."""
    return [0, *(n + 1 for n, byte in enumerate(data) if byte == ord("\n"))]
