"""What a request is to start from: the user's repository, looked at and judged fit or refused."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from swarmd.errors import WorkspaceError
from swarmd.workspace.dirtiness import Uncommitted, uncommitted
from swarmd.workspace.git import Git
from swarmd.workspace.location import Location, locate

__all__ = ["FALLBACK_IDENTITY", "Identity", "Source", "inspect"]


class Identity(NamedTuple):
    """Who a commit is by."""

    name: str
    email: str


FALLBACK_IDENTITY = Identity("swarmd", "swarmd@localhost")
"""The author where the user has configured none."""

_BASE = re.compile(r"[^\s\x00-\x1f\x7f\-:?*\[\]\\{}^~][^\s\x00-\x1f\x7f:?*\[\]\\{}]*")


@dataclass(frozen=True)
class Source:
    """A repository that can be worked on, and the commit to start from."""

    path: Path
    """The top of the working tree (or the bare repository), without symbolic links."""
    base_commit: str
    """Its full id."""
    base_name: str
    """The branch, tag or other name that it was resolved from; "HEAD" when HEAD is detached."""
    dirty: bool
    """There are uncommitted changes to tracked files, which the base does not have."""
    shallow: bool
    identity: Identity
    """The author, from the user's configuration."""
    warnings: tuple[str, ...]
    """What the user should know, as sentences for the result."""
    location: Location
    object_format: str
    """sha1 or sha256."""

    def git(self) -> Git:
        """A runner for plumbing commands on the user's repository."""
        return self.location.git()


def inspect(workspace: Path, base: str | None = None) -> Source:
    """Look at the repository at ``workspace`` without changing or running anything in it.

    ``base`` names a commit, tag or branch (also ``main~2``); None means HEAD. Supported: uncommitted
    changes (warned of), a detached HEAD, linked worktrees, no author identity, shallow clones, bare
    repositories with a HEAD. Raises WorkspaceError: what ``locate`` raises, and E-WORKSPACE-NO-HEAD
    (bare), -UNBORN (no commit yet), -BASE, -BRANCH-SWARM, -GIT, -TIMEOUT.
    """
    location = locate(workspace)
    git = location.git()
    object_format = git.text("rev-parse", "--show-object-format")
    _refuse_branch_swarm(git)
    head = git.attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.code != 0 and base is None:
        raise _headless(location)
    commit, name = _resolve(git, base)
    shallow = git.text("rev-parse", "--is-shallow-repository") == "true"
    found = uncommitted(location, head.output.decode().strip(), object_format) if head.code == 0 else None
    identity, warnings = _identity(git), _warnings(location, git, commit)
    if head.code == 0:
        warnings = [*_dirt_warnings(found), *warnings]
    if identity is None:
        warnings.append("git has no user.name and user.email here: the author is swarmd <swarmd@localhost>.")
    return Source(
        path=location.path,
        base_commit=commit,
        base_name=name,
        dirty=head.code == 0 and (found is None or found.changed > 0),
        shallow=shallow,
        identity=identity or FALLBACK_IDENTITY,
        warnings=tuple(warnings),
        location=location,
        object_format=object_format,
    )


def _headless(location: Location) -> WorkspaceError:
    if location.bare:
        return WorkspaceError(
            f"the bare repository {location.path} has a HEAD that names no commit",
            code="E-WORKSPACE-NO-HEAD",
            hint='Give "base", or point HEAD at a branch: "git symbolic-ref HEAD refs/heads/<branch>".',
        )
    return WorkspaceError(
        f"the repository {location.path} has no commit on its current branch yet",
        code="E-WORKSPACE-UNBORN",
        hint='Commit something first, or give "base".',
    )


def _refuse_branch_swarm(git: Git) -> None:
    names = git.text("for-each-ref", "--format=%(refname)", "refs/heads/swarm").split("\n")
    if "refs/heads/swarm" in names:
        raise WorkspaceError(
            'the repository has a branch called "swarm", so that no branch "swarm/<request id>" can be made',
            code="E-WORKSPACE-BRANCH-SWARM",
            hint="Rename it: git branch -m swarm <another name>",
        )


def _resolve(git: Git, base: str | None) -> tuple[str, str]:
    if base is None:
        branch = git.attempt("symbolic-ref", "--quiet", "--short", "HEAD").output.decode(errors="replace")
        return git.text("rev-parse", "--verify", "HEAD^{commit}"), branch.strip() or "HEAD"
    hint = "Give a branch, a tag or a commit that the repository has."
    if len(base) > 255 or _BASE.fullmatch(base) is None or ".." in base:
        raise WorkspaceError(f"the base {base[:80]!a} is not a name", code="E-WORKSPACE-BASE", hint=hint)
    found = git.attempt("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    if found.code != 0:
        raise WorkspaceError(f"the base {base!r} names no commit", code="E-WORKSPACE-BASE", hint=hint)
    return found.output.decode().strip(), base


def _identity(git: Git) -> Identity | None:
    """author.name and author.email, else user.name and user.email, as git would choose."""
    settings = git.user_config(r"^(user|author)\.(name|email)$")
    name, email = (
        _crudless(settings.get(f"author.{key}") or settings.get(f"user.{key}", ""))
        for key in ("name", "email")
    )
    return Identity(name, email) if name and email else None


def _crudless(text: str) -> str:
    """What git leaves of a name: no angle brackets, no control characters, no punctuation around it."""
    plain = "".join(char for char in text if char.isprintable() and char not in "<>")
    return plain.encode(errors="replace").decode().strip(" .,:;\"'\\")


def _dirt_warnings(found: Uncommitted | None) -> list[str]:
    if found is None:
        return ["Whether there are uncommitted changes could not be told; the base is the commit."]
    warnings = []
    if found.changed:
        warnings.append(
            f"{found.changed} files have uncommitted changes, which the base lacks: it is the commit."
        )
    if found.untracked:
        warnings.append(f"{found.untracked} files or folders are untracked by git: the base lacks them.")
    return warnings


def _warnings(location: Location, git: Git, commit: str) -> list[str]:
    warnings = []
    owner = (location.common_dir / "objects").stat().st_uid
    if owner != os.geteuid():
        warnings.append(f"The repository belongs to user {owner}, what swarmd adds to user {os.geteuid()}.")
    if not os.access(location.common_dir / "refs" / "heads", os.W_OK):
        warnings.append("The repository cannot be written: the result can only be a patch.")
    top = git.attempt("ls-tree", "-z", commit, "--", ".gitmodules", ".gitattributes").output
    if b"\t.gitmodules\0" in top:
        warnings.append("Submodules are empty folders in swarmd's copy.")
    if b"\t.gitattributes\0" in top:
        attributes = git.attempt("cat-file", "blob", f"{commit}:.gitattributes").output
        if re.search(rb"\sfilter=", attributes):
            warnings.append("Filters such as Git LFS are not run: such files are seen as git stores them.")
    return warnings
