"""Removing folders that model-written code has been in."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from swarmd.clock import short_id
from swarmd.errors import WorkspaceError

__all__ = ["remove_tree"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path, within: Path) -> None:
    """Remove ``path``, a file or folder strictly inside ``within``; one that is gone is fine.

    Symbolic links below ``within`` are removed, never followed, wherever they stand. Read-only
    folders and any depth of nesting are coped with. Raises WorkspaceError E-WORKSPACE-REMOVE.
    """
    parts = _below(path, within)
    folder = -1
    try:
        folder = os.open(within, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # may be a link of the user's
        for part in parts[:-1]:
            above, folder = folder, os.open(part, _FOLDER, dir_fd=folder)
            os.close(above)
        _remove(folder, parts[-1])
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be removed: {error}", code="E-WORKSPACE-REMOVE") from error
    finally:
        if folder >= 0:
            os.close(folder)


def _below(path: Path, within: Path) -> tuple[str, ...]:
    inside = path.is_absolute() and path.is_relative_to(within) and ".." not in path.parts
    parts = path.relative_to(within).parts if inside else ()
    if not parts:
        raise WorkspaceError(f"{path} is not inside {within}", code="E-WORKSPACE-REMOVE")
    return parts


def _remove(above: int, name: str) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=above)
        return
    top = _open(name, above)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=above)


def _empty(top: int) -> None:
    """Empty a folder with two descriptors, however deep it is: subfolders are moved up, not walked down."""
    prefix = f".swarmd-{short_id(16)}-"
    moved = 0
    pending = _clear(top)
    while pending:
        name = pending.pop()
        folder = _open(name, top)
        try:
            for child in _clear(folder):
                moved += 1
                os.close(_open(child, folder))  # makes it writable: moving a folder changes its ".."
                os.rename(child, f"{prefix}{moved}", src_dir_fd=folder, dst_dir_fd=top)
                pending.append(f"{prefix}{moved}")
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)


def _clear(folder: int) -> list[str]:
    """Remove all but the folders in ``folder`` and return their names."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]


def _open(name: str, above: int) -> int:
    """Open a folder, never a link, and make it readable and writable to us."""
    try:
        fd = os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        _unlock(name, above)
        fd = os.open(name, _FOLDER, dir_fd=above)
    with contextlib.suppress(PermissionError):  # another's folder: removing what is in it tells
        os.fchmod(fd, 0o700)
    return fd


def _unlock(name: str, above: int) -> None:
    if hasattr(os, "O_PATH"):
        # A descriptor that cannot read still names the very folder: no link can slip in between.
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            Path(f"/proc/self/fd/{fd}").chmod(0o700)
        finally:
            os.close(fd)
    else:
        os.chmod(name, 0o700, dir_fd=above, follow_symlinks=False)
