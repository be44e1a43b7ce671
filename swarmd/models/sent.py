"""What was sent to another machine, byte for byte, kept so that it can be looked at later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from swarmd import durable
from swarmd.errors import ModelError

__all__ = ["Record", "about_to_send", "keep_sent", "recording"]


NAMED = 8
"""Most bodies that are named: a busy server may be asked often."""


@dataclass
class Record:
    """What left the machine for one call."""

    bytes: int = 0
    sha256: list[str] = field(default_factory=list)
    """The names under which the last bodies are kept, in the order in which they went."""
    redacted: int = 0
    """Places in the prompts in which something was taken out."""


_CURRENT: ContextVar[tuple[Record, Path] | None] = ContextVar("swarmd_sent", default=None)
"""A call runs in one task, and so do the clients that it asks: what they send belongs to it."""


@contextmanager
def recording(record: Record, folder: Path) -> Iterator[None]:
    """While it lasts, what this task sends to others is kept in ``folder`` and noted in ``record``."""
    token = _CURRENT.set((record, folder))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def about_to_send(body: bytes) -> None:
    """Keep ``body``, which a client is about to send to another machine. Raises ModelError when that is not
    possible: then nothing may be sent, because nobody could say what had been."""
    current = _CURRENT.get()
    if current is None or not body:
        return
    record, folder = current
    try:
        record.sha256 = [*record.sha256, keep_sent(folder, body)][-NAMED:]
    except OSError as error:
        problem = f"what would leave this machine cannot be kept in {folder}: {error}"
        raise ModelError(problem, code="E-MODEL-SENT", hint="Is the disk full?") from error
    record.bytes += len(body)


def keep_sent(folder: Path, body: bytes) -> str:
    """Store ``body``, a request's body as it goes over the wire, in ``folder`` under its SHA-256, and return
    that name. Storing it again changes nothing; the folder is made if need be, for this user only.

    It survives power loss when this returns: call it before sending. Raises OSError when it cannot be stored.
    """
    name = hashlib.sha256(body).hexdigest()
    target = folder / name
    if target.is_symlink() or not target.is_file() or target.stat().st_size != len(body):
        durable.make_dirs(folder)
        durable.write(target, body, mode=0o400)
    return name
