"""Where a worker was when it crashed or hung: written by faulthandler, read by the master.

Each worker has a file in memory, of a fixed size that the kernel holds it to, whose other end the master
keeps. A worker that dies of a fault, or is made to (SIGABRT), leaves its stacks there, however badly it
is stuck or confined; the master saves them under logs/dumps/.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from datetime import datetime
from pathlib import Path

from swarmd import durable
from swarmd.home import Home

__all__ = ["MAX_DUMPS", "folder", "open_file", "read", "save"]

MAX_DUMPS = 50
"""So many dumps are kept, the newest."""
MAX_BYTES = 64 * 1024
"""Longest dump; what is beyond is lost."""

_NAME = re.compile(r"[a-z][a-z0-9-]*\.\d+\.\d{8}T\d{12}Z\.txt")


def folder(home: Home) -> Path:
    """Where dumps are kept."""
    return home.logs / "dumps"


def open_file() -> int:
    """A new file for the last words of one worker, as a descriptor that does not survive an exec.

    Raises OSError for a shortage.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    fd = os.memfd_create("swarmd-last-words", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, MAX_BYTES)  # takes no memory before it is written
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read(fd: int) -> str:
    """What was left in the file ``fd``: text for people, from a process that is not to be trusted."""
    with contextlib.suppress(OSError):
        return os.pread(fd, MAX_BYTES, 0).rstrip(b"\0").decode("utf-8", "backslashreplace")
    return ""


def save(home: Home, name: str, text: str, now: datetime) -> Path:
    """Keep ``text`` as the dump of worker ``name`` and forget the oldest beyond MAX_DUMPS.

    Raises OSError when the disk does not take it.
    """
    dumps = folder(home)
    durable.make_dirs(dumps)
    path = dumps / f"{name}.{now:%Y%m%dT%H%M%S}{now.microsecond:06d}Z.txt"
    durable.write(path, text.encode("utf-8", "backslashreplace"), durable=False)
    kept = [entry for entry in dumps.iterdir() if _NAME.fullmatch(entry.name)]
    for old in sorted(kept, key=lambda entry: entry.name.split(".")[2])[:-MAX_DUMPS]:
        old.unlink(missing_ok=True)
    return path
