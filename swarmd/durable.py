"""The one way to change a file that must survive.

A file is written beside its final place, synced, renamed over it, and the folder is synced: after
power loss there is the old file or the new one, whole. A failed fsync is never retried, because the
kernel may have dropped the pages and reports the error only once: the process must end.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from swarmd.clock import short_id

__all__ = [
    "FsyncFailedError",
    "append",
    "create_group",
    "is_full",
    "make_dirs",
    "overwrite",
    "read_regular",
    "remove",
    "sync",
    "sync_dir",
    "sync_file_system",
    "truncate",
    "write",
    "write_all",
    "write_group",
]


class FsyncFailedError(OSError):
    """The disk did not confirm a write; what is on it is unknown. End the process and recover."""


def is_full(error: BaseException) -> bool:
    """Whether ``error`` says that there is no room, on the disk or in the account's quota: what was to be
    written can be written later. Not for a failed sync, after which nothing can be known."""
    no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return no_room and not isinstance(error, FsyncFailedError)


def sync(fd: int) -> None:
    """Make the written data of ``fd`` survive power loss. Raises FsyncFailedError."""
    try:
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)
    except OSError as error:
        raise FsyncFailedError(error.errno, f"fsync failed: {error.strerror}") from error


def sync_dir(path: Path) -> None:
    """Make the names in folder ``path`` survive power loss. Raises FsyncFailedError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise FsyncFailedError(error.errno, f"fsync failed: {error.strerror}") from error
    finally:
        os.close(fd)


def sync_file_system(path: Path) -> None:
    """Make everything on the file system of ``path`` survive power loss. Raises FsyncFailedError.

    It takes as long as the disk needs for whatever anybody has written there: call it in a thread.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _syncfs(fd)
    finally:
        os.close(fd)


def _syncfs(fd: int) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:  # macOS has none
        os.sync()
    elif call(fd) != 0:
        number = ctypes.get_errno()
        raise FsyncFailedError(number, f"syncfs failed: {os.strerror(number)}")


def write(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` in one step.

    With ``durable`` false, readers still never see half a file, but power loss may undo it: right
    for views that can be rebuilt.
    """
    write_group({path: data}, durable=durable, mode=mode)


def create_group(files: Mapping[Path, bytes], *, mode: int = 0o600) -> None:
    """Write several files without a sync. One that is new is written in its place: right where nobody
    may read it before more has happened; one that is there is replaced in one step. Folders are made
    where they are missing. When one cannot be written, what is new of the others goes away again.
    """
    made: list[Path] = []
    old: dict[Path, bytes] = {}
    try:
        for path, data in files.items():
            try:
                fd = _create(path, mode)
            except FileExistsError:
                old[path] = data
                continue
            made.append(path)
            try:
                write_all(fd, data)
            finally:
                os.close(fd)
        write_group(old, durable=False, mode=mode)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _create(path: Path, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        make_dirs(path.parent)
        return os.open(path, flags, mode)


def write_group(files: Mapping[Path, bytes], *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace several files, with one sync of each folder for all of them.

    Each file changes in one step; the group as a whole does not. Folders must exist.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, data in files.items():
            temporary = path.with_name(f".{path.name[:200]}.{short_id(12)}.tmp")
            staged.append((temporary, path))
            _write_new(temporary, data, durable, mode)
        for temporary, path in staged:
            temporary.replace(path)
    except BaseException:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        for folder in {path.parent for path in files}:
            sync_dir(folder)


def _write_new(path: Path, data: bytes, durable: bool, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(fd, data)
        if durable:
            sync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to ``fd``, however short the single writes are."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def overwrite(fd: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` into an open file at ``offset``, however short the single writes are."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def append(fd: int, lines: Iterable[bytes], *, durable: bool = True) -> None:
    """Append whole lines to an open log with one write and one sync for all of them."""
    write_all(fd, b"".join(lines))
    if durable:
        sync(fd)


def truncate(path: Path, size: int) -> None:
    """Cut ``path`` to ``size`` bytes, durably."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, size)
        sync(fd)
    finally:
        os.close(fd)


def remove(path: Path, *, durable: bool = False) -> None:
    """Remove a file; one that is already gone is fine."""
    path.unlink(missing_ok=True)
    if durable:
        sync_dir(path.parent)


def make_dirs(*paths: Path, mode: int = 0o700) -> None:
    """Create folders with their parents, open to this user only."""
    for path in paths:
        if not path.parent.is_dir():
            make_dirs(path.parent, mode=mode)  # mkdir's own parents=True ignores the mode
        path.mkdir(mode=mode, exist_ok=True)


def read_regular(path: Path, limit: int) -> bytes:
    """Read at most ``limit`` bytes of a regular file, never through a symlink and never blocking.

    Raises OSError when it is not a regular file, cannot be read, or is longer than ``limit``.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)  # fdopen does not close what it refuses
    if len(data) > limit:
        raise OSError(f"{path.name} is larger than {limit} bytes")
    return data
