"""A new project, for a request that names no workspace."""

from __future__ import annotations

from pathlib import Path

from swarmd import durable
from swarmd.clock import short_id
from swarmd.workspace.git import Git
from swarmd.workspace.removal import remove_tree
from swarmd.workspace.source import FALLBACK_IDENTITY

__all__ = ["new_project"]


def new_project(root: Path) -> Path:
    """An ordinary git repository at ``<root>/project`` with one empty commit on ``main``.

    Doing it again gives the one that is there. It is the user's from then on: swarmd delivers a
    branch into it like into any other, and never removes it.
    """
    final = root / "project"
    if (final / ".git" / "HEAD").is_file():
        return final
    durable.make_dirs(root)
    for rest in root.glob(".project-*"):  # of a run that was killed
        remove_tree(rest, within=root)
    building = root / f".project-{short_id(8)}"
    durable.make_dirs(building)
    git = Git(building / ".git", building)
    git.run("init", "--quiet", "--template=", "--initial-branch=main")
    name, email = FALLBACK_IDENTITY
    env = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", email))
    }
    empty = git.run("write-tree").decode().strip()
    made = git.run("commit-tree", empty, "-F", "-", input=b"Start an empty project\n", env=env)
    git.run("update-ref", "refs/heads/main", made.decode().strip())
    building.rename(final)
    durable.sync_dir(root)
    return final
