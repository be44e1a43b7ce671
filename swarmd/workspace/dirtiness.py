"""Whether a working tree has changes that are in no commit, without running anything of its own.

``git status`` runs the filters that the repository configures, whatever else is switched off. So it
is run with a git folder of ours, which has no configuration but a few harmless switches, over the
user's index, objects and files. The index is not refreshed: nothing of the user's is written.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from swarmd.errors import WorkspaceError
from swarmd.workspace.git import Git
from swarmd.workspace.location import Location

__all__ = ["Uncommitted", "uncommitted"]

_SWITCHES = ("filemode", "symlinks", "autocrlf", "eol", "ignorecase", "precomposeunicode", "checkstat")


@dataclass(frozen=True)
class Uncommitted:
    """What is in the working tree or the index, but not in HEAD."""

    changed: int
    """Tracked files that were changed, staged, deleted or are in conflict."""
    untracked: int
    """Files or whole folders that git does not know and does not ignore."""


def uncommitted(location: Location, head: str, object_format: str) -> Uncommitted | None:
    """Compare HEAD, which is the commit ``head``, the index and the files. None: it cannot be told."""
    if location.bare or not (location.git_dir / "index").is_file():
        return Uncommitted(0, 0)
    with tempfile.TemporaryDirectory(prefix=f"swarmd-status-{os.getpid()}-") as folder:
        scratch = Path(folder)
        _furnish(scratch, location, head, object_format)
        git = Git(
            scratch,
            location.path,
            index=location.git_dir / "index",
            objects=location.common_dir / "objects",
        )
        try:
            output = git.run(
                "status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all", timeout=60.0
            )
        except WorkspaceError:
            return None
    lines = [line for line in output.split(b"\0") if line]
    untracked = sum(line.startswith(b"??") for line in lines)
    return Uncommitted(len(lines) - untracked, untracked)


def _furnish(scratch: Path, location: Location, head: str, object_format: str) -> None:
    version = 0 if object_format == "sha1" else 1
    config = [f"[core]\nrepositoryformatversion = {version}\nbare = false\n"]
    found = location.git().run("config", "-z", "--get-regexp", r"^core\.", check=False)
    for entry in found.decode(errors="replace").split("\0"):
        name, _, value = entry.partition("\n")
        if name.removeprefix("core.") in _SWITCHES and value.isalnum():
            config.append(f"{name.removeprefix('core.')} = {value}\n")
    if version:
        config.append(f"[extensions]\nobjectformat = {object_format}\n")
    (scratch / "config").write_text("".join(config))
    (scratch / "HEAD").write_text(f"{head}\n")
    for name in ("objects", "refs", "info"):
        (scratch / name).mkdir()
    exclude = location.common_dir / "info" / "exclude"
    if exclude.is_file():
        (scratch / "info" / "exclude").symlink_to(exclude)
    for shared in location.git_dir.glob("sharedindex.*"):
        (scratch / shared.name).symlink_to(shared)
