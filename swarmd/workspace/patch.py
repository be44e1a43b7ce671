"""Edits as patches: make one from whole texts, read one strictly, apply one to a folder.

Applying never goes through a symbolic link, never writes into a file that has another name elsewhere
(a hard link), and changes all files or none.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarmd.clock import short_id
from swarmd.durable import write_all
from swarmd.errors import PatchError
from swarmd.workspace import paths
from swarmd.workspace.beneath import FOLDER, existing_folder, folder, misfit, read_at
from swarmd.workspace.hunks import FilePatch, Hunk, Mark, ParsedPatch, split_lines
from swarmd.workspace.parsing import parse

__all__ = ["FileChange", "FilePatch", "Hunk", "ParsedPatch", "apply", "make", "parse"]


@dataclass(frozen=True)
class FileChange:
    """One file before and after, as whole texts."""

    path: str
    """Relative to the project's root."""
    old: str | None
    """None: it was not there."""
    new: str | None
    """None: it is deleted."""


def make(changes: Sequence[FileChange]) -> str:
    """The changes as one unified diff; those that change nothing leave no trace.

    Raises PatchError for a path that no edit may name, and E-PATCH-BINARY for a text with NUL in it.
    """
    files = tuple(_compared(change) for change in changes if change.old != change.new)
    return ParsedPatch(files).render()


def _compared(change: FileChange) -> FilePatch:
    paths.check(change.path)
    try:
        old, new = (change.old or "").encode(), (change.new or "").encode()
    except UnicodeEncodeError as error:
        raise PatchError(f"{change.path} is not valid Unicode", code="E-PATCH-BINARY") from error
    if b"\0" in old + new:
        raise PatchError(f"{change.path} has a NUL in it", code="E-PATCH-BINARY", field=change.path)
    hunks = tuple(_hunks(split_lines(old), split_lines(new)))
    if change.old is None:
        return FilePatch(change.path, "create", hunks)
    return FilePatch(change.path, "modify" if change.new is not None else "delete", hunks)


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[Hunk]:
    matcher = difflib.SequenceMatcher(None, old, new)
    for group in matcher.get_grouped_opcodes(3):
        lines: list[tuple[Mark, bytes]] = []
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [(" ", line) for line in old[old_from:old_to]]
            else:
                lines += [("-", line) for line in old[old_from:old_to]]
                lines += [("+", line) for line in new[new_from:new_to]]
        _, old_from, _, new_from, _ = group[0]
        old_count, new_count = group[-1][2] - old_from, group[-1][4] - new_from
        yield Hunk(old_from + bool(old_count), new_from + bool(new_count), tuple(lines))


@dataclass
class _Edit:
    """One file that is about to change: its folder's path, and both of its states."""

    file: FilePatch
    old: bytes | None
    new: bytes | None
    mode: int
    staged: str = ""
    """The name of the temporary file that holds the new state."""

    @property
    def folder(self) -> list[str]:
        return self.file.path.split("/")[:-1]

    @property
    def name(self) -> str:
        return self.file.path.split("/")[-1]


@dataclass
class _Journal:
    """What was done so far, to be undone when the next step fails."""

    edits: list[_Edit] = field(default_factory=list)
    folders: list[list[str]] = field(default_factory=list)


def apply(parsed: ParsedPatch, root: Path) -> list[str]:
    """Apply ``parsed`` to the files under ``root`` and return the paths that it touched.

    Files keep their executable bit; folders that become empty go away. Raises PatchError:
    E-PATCH-APPLY when it does not fit or a file cannot be written, E-PATCH-SYMLINK when a path leads
    through or to a symbolic link; then nothing has changed.
    """
    root_fd = os.open(root, FOLDER)
    try:
        edits = [_plan(root_fd, file) for file in parsed.files]
        _carry_out(root_fd, edits)
    finally:
        os.close(root_fd)
    return parsed.paths


def _plan(root_fd: int, file: FilePatch) -> _Edit:
    paths.check(file.path)
    parts = file.path.split("/")
    for depth, part in enumerate(parts):
        with folder(root_fd, parts[:depth], file.path) as fd:
            if fd is None:
                break
            names = os.listdir(fd) if file.kind == "create" else []  # noqa: PTH208  (a descriptor)
            other = paths.collision(part, names)
            if other is not None:
                raise misfit(file.path, f"{part} differs from {other} only in case")
    with folder(root_fd, parts[:-1], file.path) as fd:
        old, mode = (None, 0o644) if fd is None else read_at(fd, parts[-1], file.path)
    return _Edit(file, old, file.patched(old), mode)


def _carry_out(root_fd: int, edits: Sequence[_Edit]) -> None:
    journal = _Journal()
    try:
        for edit in edits:
            if edit.new is not None:
                _make_folders(root_fd, edit, journal)
                edit.staged = _stage(root_fd, edit, edit.new)
        for edit in edits:
            journal.edits.append(edit)
            _replace(root_fd, edit)
    except BaseException as error:
        _undo(root_fd, edits, journal)
        if isinstance(error, OSError):
            raise PatchError(f"the patch cannot be written: {error}", code="E-PATCH-APPLY") from error
        raise
    for edit in edits:
        if edit.new is None:
            _drop_empty(root_fd, edit.folder)


def _make_folders(root_fd: int, edit: _Edit, journal: _Journal) -> None:
    for depth, part in enumerate(edit.folder):
        above = existing_folder(root_fd, edit.folder[:depth], edit.file.path)
        with above as fd, contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=fd)
            journal.folders.append(edit.folder[: depth + 1])


def _stage(root_fd: int, edit: _Edit, data: bytes) -> str:
    name = f".swarmd-{short_id(16)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with existing_folder(root_fd, edit.folder, edit.file.path) as folder_fd:
        fd = os.open(name, flags, 0o600, dir_fd=folder_fd)
        try:
            write_all(fd, data)
            os.fchmod(fd, edit.mode)
        except BaseException:
            os.unlink(name, dir_fd=folder_fd)
            raise
        finally:
            os.close(fd)
    return name


def _replace(root_fd: int, edit: _Edit) -> None:
    """Put the staged file in place, or remove the file: a rename breaks hard links instead of following."""
    with existing_folder(root_fd, edit.folder, edit.file.path) as fd:
        if edit.new is None:
            os.unlink(edit.name, dir_fd=fd)
        else:
            os.rename(edit.staged, edit.name, src_dir_fd=fd, dst_dir_fd=fd)
            edit.staged = ""


def _undo(root_fd: int, edits: Sequence[_Edit], journal: _Journal) -> None:
    quiet = contextlib.suppress(OSError, PatchError)  # the first error is the one to report
    for edit in reversed(journal.edits):
        with quiet, existing_folder(root_fd, edit.folder, edit.file.path) as fd:
            if edit.old is not None:
                name = _stage(root_fd, edit, edit.old)
                os.rename(name, edit.name, src_dir_fd=fd, dst_dir_fd=fd)
            elif not edit.staged:
                os.unlink(edit.name, dir_fd=fd)
    for edit in edits:
        with quiet, existing_folder(root_fd, edit.folder, edit.file.path) as fd:
            if edit.staged:
                os.unlink(edit.staged, dir_fd=fd)
    for parts in reversed(journal.folders):
        with quiet, existing_folder(root_fd, parts[:-1], "/".join(parts)) as fd:
            os.rmdir(parts[-1], dir_fd=fd)


def _drop_empty(root_fd: int, parts: Sequence[str]) -> None:
    with contextlib.suppress(OSError, PatchError):  # not empty: it stays, and so does all above it
        for depth in range(len(parts), 0, -1):
            with existing_folder(root_fd, parts[: depth - 1], "/".join(parts)) as fd:
                os.rmdir(parts[depth - 1], dir_fd=fd)
