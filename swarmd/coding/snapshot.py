"""Reads the project's files, which are untrusted: no symlink is followed, nothing outside is opened."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["MAX_FILE_BYTES", "Snapshot", "clean_path"]

MAX_FILE_BYTES = 512 * 1024
"""A larger file is not read: it would not fit into any prompt."""


def clean_path(path: str) -> str | None:
    """``path`` in its one spelling inside the project, or None when it leads outside or into .git."""
    parts = [part for part in PurePosixPath(path.strip()).parts if part != "."]
    odd = not parts or path.strip().startswith("/") or ".." in parts
    if odd or any(part.casefold() == ".git" for part in parts) or not path.isprintable():
        return None
    return "/".join(parts)


@dataclass(frozen=True)
class Snapshot:
    """The project's files as they were before the edit."""

    root: Path

    def read(self, path: str) -> str | None:
        """The text of ``path``; None when it is absent, too large, not text, or reached by a symlink."""
        clean = clean_path(path)
        if clean is None:
            return None
        try:
            data = _read_beneath(self.root, clean.split("/"))
            return None if data is None else data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def exists(self, path: str) -> bool:
        """True when something of that name is there, readable or not, or something is in its way."""
        clean = clean_path(path)
        if clean is None:
            return False
        here = self.root
        for part in clean.split("/")[:-1]:
            here /= part
            if here.is_symlink() or (here.exists() and not here.is_dir()):
                return True
        return os.path.lexists(self.root / clean)


def _read_beneath(root: Path, parts: list[str]) -> bytes | None:
    """Opens folder by folder, so that no component of the path can be a symlink."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)
    with os.fdopen(file, "rb") as handle:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        data = handle.read(MAX_FILE_BYTES + 1)
    return data if len(data) <= MAX_FILE_BYTES else None
