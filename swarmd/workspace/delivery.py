"""Handing a commit over to the user's repository: its objects, then one branch. Nothing else changes.

Plumbing again instead of ``git fetch``: no FETCH_HEAD, no reflog, no tags, no automatic maintenance,
no transport, and no hook, because ``core.hooksPath`` is overridden. First the objects are there and
checked, then the branch appears in one step; a crash in between leaves loose objects that nobody
refers to, and doing it again is safe.
"""

from __future__ import annotations

import re
import tempfile

from swarmd.errors import WorkspaceError
from swarmd.workspace.git import Git
from swarmd.workspace.source import Source

__all__ = ["deliver"]

_REF = re.compile(r"(?:refs/heads/)?(swarm/[a-z0-9][a-z0-9-]{0,63})")


def deliver(private: Git, source: Source, commit: str, ref: str) -> str:
    """Create the branch ``ref`` (``swarm/<id>``, with or without ``refs/heads/``) in ``source``.

    ``commit`` must have the base as its only parent. Returns the id of the delivered commit: another
    than ``commit`` when the branch is there already with the same files on the same base, as after a
    crash. Raises WorkspaceError: E-WORKSPACE-BRANCH-EXISTS when it holds something else,
    E-WORKSPACE-BASE-GONE when the user's repository has lost the base, E-WORKSPACE-REF, -GIT.
    """
    found = _REF.fullmatch(ref)
    if found is None:
        raise WorkspaceError(f"{ref!r} is no branch that swarmd may make", code="E-WORKSPACE-REF")
    name, user, base = f"refs/heads/{found[1]}", source.git(), source.base_commit
    if _content(private, commit)[1:] != [base]:
        raise WorkspaceError(f"{commit} is not one commit on the base {base}", code="E-WORKSPACE-REF")
    if user.attempt("cat-file", "-e", f"{base}^{{tree}}").code != 0:
        raise WorkspaceError(
            f"the repository {source.path} no longer has the base commit {base}",
            code="E-WORKSPACE-BASE-GONE",
            hint="Drop the request again; it will start from the present HEAD.",
        )
    there = _existing(user, name)
    if there is None:
        _hand_over(private, user, commit, base)
        made = user.attempt("update-ref", name, commit, "0" * len(commit))
        there = _existing(user, name)
        if there is None:
            raise _cannot_make(name, source, made.errors)
    if _content(user, there) != _content(private, commit):
        raise WorkspaceError(
            f"{source.path} has a branch {found[1]} already, with something else on it",
            code="E-WORKSPACE-BRANCH-EXISTS",
            hint=f"Rename it (git branch -m {found[1]} <another name>), or give the request another id.",
        )
    return there


def _existing(user: Git, name: str) -> str | None:
    found = user.attempt("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return found.output.decode().strip() if found.code == 0 else None


def _content(git: Git, commit: str) -> list[str]:
    """The commit's tree and its parents, as the object itself says, whatever is shallow."""
    head = git.run("cat-file", "commit", commit).split(b"\n\n", 1)[0].decode(errors="replace")
    words = [line.split(" ", 1) for line in head.split("\n")]
    return [rest[0] for key, *rest in words if key in ("tree", "parent")]


def _hand_over(private: Git, user: Git, commit: str, base: str) -> None:
    with tempfile.TemporaryFile(dir=private.git_dir) as pack:
        wanted = f"{commit}\n^{base}\n".encode()
        private.run("pack-objects", "--revs", "--thin", "--stdout", "--quiet", input=wanted, stdout=pack)
        pack.seek(0)
        user.run("unpack-objects", "-q", stdin=pack)
    user.run("rev-list", "--objects", "--quiet", commit, f"^{base}")  # fails when something is missing


def _cannot_make(name: str, source: Source, errors: str) -> WorkspaceError:
    if "; cannot create" in errors:
        return WorkspaceError(
            f"{source.path} has branches in the way of {name}: {errors}",
            code="E-WORKSPACE-BRANCH-EXISTS",
            hint="Rename them, or give the request another id.",
        )
    return WorkspaceError(
        f"the branch {name} cannot be made in {source.path}: {errors}",
        code="E-WORKSPACE-GIT",
        hint="See that the repository can be written by the user that runs swarmd.",
    )
