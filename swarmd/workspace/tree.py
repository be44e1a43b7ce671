"""Building trees in the private repository, and checking what changed before it is committed.

Files are read and hashed by us, not by ``git add``: that one would look into a ``.git`` that somebody
planted in the checkout.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmd.errors import PatchError
from swarmd.workspace import beneath, paths
from swarmd.workspace.beneath import misfit
from swarmd.workspace.git import Git
from swarmd.workspace.hunks import FilePatch, ParsedPatch

__all__ = ["Entry", "check_change", "entries", "from_checkout", "from_patch", "temporary_index"]

_FILES = ("100644", "100755")
_NEVER = {
    "120000": ("a symbolic link", "SYMLINK"),
    "160000": ("a submodule", "SUBMODULE"),
}


@dataclass(frozen=True)
class Entry:
    """One file in a tree."""

    mode: str
    oid: str

    @property
    def regular(self) -> bool:
        """Neither a symbolic link nor a submodule."""
        return self.mode in _FILES


def entries(git: Git, commit: str, *only: str) -> dict[str, Entry]:
    """The files of ``commit`` (those named in ``only``, or all) by path."""
    found = {}
    for line in git.run("ls-tree", "-r", "-z", commit, "--", *only).split(b"\0"):
        if line:
            meta, _, name = line.partition(b"\t")
            mode, _, oid = meta.decode().split(" ")
            found[os.fsdecode(name)] = Entry(mode, oid)
    return found


@contextmanager
def temporary_index(git: Git) -> Iterator[Git]:
    """``git`` with an index file of its own that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="index-", dir=git.git_dir) as folder:
        yield git.with_index(Path(folder) / "index")


def from_patch(git: Git, parent: str, patch: ParsedPatch) -> str:
    """The tree of ``parent`` with ``patch`` applied, strictly; no file is touched on the way.

    Raises PatchError: E-PATCH-APPLY, -SYMLINK, -SUBMODULE.
    """
    there = entries(git, parent)
    changes: dict[str, Entry | None] = {}
    for file in patch.files:
        old = _old(there, file)
        new = file.patched(None if old is None else git.run("cat-file", "blob", old.oid))
        changes[file.path] = None if new is None else Entry(old.mode if old else "100644", _store(git, new))
    tree = _write(git, parent, changes)
    check_change(git, parent, tree, patch.paths)
    return tree


def _old(there: Mapping[str, Entry], file: FilePatch) -> Entry | None:
    parts = file.path.split("/")
    for depth in range(1, len(parts) + 1):
        above = "/".join(parts[:depth])
        entry = there.get(above)
        if entry is not None and entry.mode in _NEVER:
            what, code = _NEVER[entry.mode]
            raise PatchError(f"{file.path}: {above} is {what}", code=f"E-PATCH-{code}", field=file.path)
        if entry is not None and depth < len(parts):
            raise misfit(file.path, f"{above} is a file, not a folder")
    if file.kind == "create":
        if any(name.startswith(file.path + "/") for name in there):
            raise misfit(file.path, "it is a folder")
        other = paths.collision(file.path, there)
        if other is not None:
            raise misfit(file.path, f"it differs from {other} only in case")
    return there.get(file.path)


def from_checkout(git: Git, parent: str, checkout: Path, touched: Sequence[str]) -> str:
    """The tree of ``parent`` with the files ``touched`` as they now are under ``checkout``.

    Raises PatchError when one is no regular file, lies beyond a symbolic link, or is git's.
    """
    there = entries(git, parent, *touched) if touched else {}
    changes: dict[str, Entry | None] = {}
    for path in touched:
        data = beneath.read(checkout, paths.check(path))
        mode = there[path].mode if path in there else "100644"
        changes[path] = None if data is None else Entry(mode, _store(git, data))
    tree = _write(git, parent, changes)
    check_change(git, parent, tree, touched)
    return tree


def _store(git: Git, data: bytes) -> str:
    return git.run("hash-object", "-w", "--stdin", input=data).decode().strip()


def _write(git: Git, parent: str, changes: Mapping[str, Entry | None]) -> str:
    lines = []
    for path, entry in changes.items():
        mode, oid = (entry.mode, entry.oid) if entry else ("0", "0" * len(parent))
        lines.append(f"{mode} {oid}\t{path}\0".encode())
    with temporary_index(git) as scratch:
        scratch.run("read-tree", parent)
        scratch.run("update-index", "-z", "--index-info", input=b"".join(lines))
        return scratch.run("write-tree").decode().strip()


def check_change(git: Git, old: str, new: str, allowed: Collection[str] | None = None) -> list[str]:
    """The paths that differ between two trees or commits, once they are found harmless.

    Raises PatchError when the change has a symbolic link, a submodule, a mode or a path that no edit
    may have, or a path outside ``allowed``.
    """
    found = []
    words = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new).split(b"\0")
    for meta, name in zip(words[0::2], words[1::2], strict=False):
        path = paths.check(os.fsdecode(name))
        old_mode, new_mode = meta.decode().removeprefix(":").split(" ")[:2]
        for mode in (old_mode, new_mode):
            if mode in _NEVER:
                what, code = _NEVER[mode]
                raise PatchError(f"{path} is {what}", code=f"E-PATCH-{code}", field=path)
        if new_mode not in ("000000", "100644", old_mode) or (old_mode == "100755" and new_mode == "100644"):
            raise PatchError(f"the mode of {path} changes", code="E-PATCH-MODE", field=path)
        if allowed is not None and path not in allowed:
            raise misfit(path, "it would change too")
        found.append(path)
    return found
