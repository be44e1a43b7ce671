"""What the file system under a folder can do: tell of changes, and lock files.

A local file system tells of every change. One that other machines (or a hypervisor, or a program in
user space) also write to tells only of changes made through this very mount, so that a drop from
outside comes without an event.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileSystem", "identify", "lock_trouble"]

MOUNTS = Path("/proc/self/mountinfo")

_NO_EVENTS = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFE534D42: "smb2",
    0xFF534D42: "cifs",
    0x01021997: "9p",
    0x65735546: "fuse",  # virtiofs too
    0x53464846: "wslfs",
    0x6A656A63: "fakeowner",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0x7C7C6673: "prl_fs",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x00C36400: "ceph",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0x20030528: "orangefs",
}
"""File systems by the number in statfs(2) whose files others may change without an event here."""
_NO_EVENTS_KINDS = re.compile(
    r"nfs4?|smb\d?|smbfs|cifs|9p|virtiofs|drvfs|fakeowner|osxfs|fuse\..*|vboxsf|vmhgfs|prl_fs|afs|ceph|glusterfs"
)
_LOCAL_FUSE = {"fuseblk", "fuse.fuse-overlayfs"}
"""Written through this mount alone: a local disk's driver, and a container's own root."""


@dataclass(frozen=True)
class FileSystem:
    """The file system that holds a folder."""

    kind: str
    """Its type, such as ``ext4`` or ``fuse.sshfs``; empty when it cannot be found out."""
    events: bool
    """Whether every change there is told of; if not, only listing finds all that is dropped."""
    layered: bool = False
    """It is an overlay (a container's root): a change made below it, from outside, comes unannounced."""


def identify(
    folder: Path, *, magic: Callable[[Path], int] | None = None, mounts: Path = MOUNTS
) -> FileSystem:
    """The file system of ``folder``, or of its nearest parent that exists."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    kind = _mounted_kind(existing.resolve(), mounts)
    named = _NO_EVENTS.get((magic or _magic)(existing), "")
    silent = (bool(named) or _NO_EVENTS_KINDS.fullmatch(kind) is not None) and kind not in _LOCAL_FUSE
    return FileSystem(kind or named, events=not silent, layered=kind == "overlay")


def _magic(folder: Path) -> int:
    """statfs(2)'s f_type; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), buffer) != 0:
        return 0
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _mounted_kind(resolved: Path, mounts: Path) -> str:
    """The type of the mount that holds ``resolved``: the deepest one, and of several the last."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, types = before.split(), after.split()
        if len(fields) < 5 or not types:
            continue
        point = _unescape(fields[4])
        if len(point) >= best and resolved.is_relative_to(point):
            best, kind = len(point), types[0]
    return kind


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def lock_trouble(folder: Path) -> str:
    """Why a lock on a file in ``folder`` keeps nobody out; empty when it does.

    Tried with a file that is removed again: the second holder must be refused, and must be let in
    once the first is gone. Some file systems refuse all locks, some grant them to everybody.
    """
    try:
        fd, path = tempfile.mkstemp(prefix=".swarmd-lock-", suffix=".tmp", dir=folder)
    except OSError as error:
        return f"no file can be made in {folder}: {error.strerror}"
    try:
        return _try_locks(fd, path)
    except OSError as error:
        return f"flock fails with {error.strerror}"
    finally:
        os.close(fd)
        with contextlib.suppress(OSError):
            Path(path).unlink()


def _try_locks(first: int, path: str) -> str:
    fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "two holders got the same lock"
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(second)
    return ""
