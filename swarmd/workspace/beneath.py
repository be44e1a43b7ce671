"""Opening files below a folder one component at a time, so that no symbolic link is ever followed.

Whoever writes in the folder may swap a folder for a link between a check and its use; a descriptor
that was opened without following links cannot be swapped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from swarmd.errors import PatchError

__all__ = ["FOLDER", "existing_folder", "folder", "misfit", "read", "read_at"]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that open a folder and nothing else."""


@contextlib.contextmanager
def folder(root_fd: int, parts: Sequence[str], path: str) -> Iterator[int | None]:
    """Open the folder ``parts`` below the root, one component at a time; None when it is absent."""
    fd: int | None = os.dup(root_fd)
    try:
        for part in parts:
            assert fd is not None
            above, fd = fd, None
            try:
                fd = _open(above, part, FOLDER, path)
            finally:
                os.close(above)
            if fd is None:
                break
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


@contextlib.contextmanager
def existing_folder(root_fd: int, parts: Sequence[str], path: str) -> Iterator[int]:
    """Like ``folder`` where the folder must exist: None as dir_fd would mean the current folder."""
    with folder(root_fd, parts, path) as fd:
        if fd is None:
            raise misfit(path, "its folder is gone")
        yield fd


def _open(folder_fd: int, name: str, flags: int, path: str) -> int | None:
    """Open ``name`` but never a symbolic link; None when it is absent."""
    try:
        return os.open(name, flags, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                raise PatchError(
                    f"{path}: {name} is a symbolic link", code="E-PATCH-SYMLINK", field=path
                ) from error
        raise misfit(path, f"{name}: {error.strerror}") from error


def read_at(folder_fd: int, name: str, path: str) -> tuple[bytes | None, int]:
    """The file ``name`` in an open folder, and its permission bits; (None, 0o644) when it is absent."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = _open(folder_fd, name, flags, path)
    if fd is None:
        return None, 0o644
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise misfit(path, "it is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(), stat.S_IMODE(mode) & 0o777
    finally:
        os.close(fd)


def read(root: Path, path: str) -> bytes | None:
    """The regular file ``path`` below ``root``; None when it is absent.

    Raises PatchError: E-PATCH-SYMLINK when a link is in the way, E-PATCH-APPLY when it is no file.
    """
    *above, name = path.split("/")
    root_fd = os.open(root, FOLDER)
    try:
        with folder(root_fd, above, path) as fd:
            return None if fd is None else read_at(fd, name, path)[0]
    finally:
        os.close(root_fd)


def misfit(path: str, why: str) -> PatchError:
    """The error of an edit that does not fit the files."""
    return PatchError(f"{path}: {why}", code="E-PATCH-APPLY", field=path)
