"""Finding a repository's git folder by looking, without asking git to discover anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarmd.errors import WorkspaceError
from swarmd.workspace.git import Git

__all__ = ["Location", "locate"]


@dataclass(frozen=True)
class Location:
    """Where a repository's parts lie."""

    path: Path
    """The top of the working tree, or the bare repository; without symbolic links."""
    git_dir: Path
    """HEAD and index lie here."""
    common_dir: Path
    """Objects, branches and configuration lie here; the same folder but for linked worktrees."""
    bare: bool

    def git(self) -> Git:
        """A runner for plumbing commands on it. Not for commands that read its files: see dirtiness."""
        return Git(self.git_dir, None if self.bare else self.path)


def locate(workspace: Path) -> Location:
    """The repository whose top is ``workspace``.

    Only the top is accepted, not a subfolder: paths in requests and patches are relative to it, and
    widening the scope silently would surprise. Raises WorkspaceError with E-WORKSPACE-RELATIVE,
    -MISSING, -NOT-REPO, -SUBFOLDER, -SUBMODULE, -SYMLINK or -GIT.
    """
    path = _real(workspace)
    entry = path / ".git"
    if entry.is_symlink():
        raise _refuse("SYMLINK", f"{entry} is a symbolic link", "Give the repository that it points to.")
    if entry.is_dir():
        git_dir, bare = entry, False
    elif entry.is_file():
        git_dir, bare = _pointed_to(entry), False
    elif (path / "objects").is_dir() and (path / "refs").is_dir():
        git_dir, bare = path, True
    else:
        raise _not_a_top(path)
    if not (git_dir / "HEAD").exists() and not (git_dir / "HEAD").is_symlink():
        if bare:
            raise _refuse("NO-HEAD", f"{path} is a bare repository without HEAD", "Restore its HEAD file.")
        raise _refuse("NOT-REPO", f"{git_dir} has no HEAD: it is not a git repository")
    common = git_dir / Git(git_dir, path).text("rev-parse", "--git-common-dir")
    location = Location(path, git_dir, common.resolve(), bare)
    _refuse_submodule(location)
    _refuse_links(location)
    return location


def _real(workspace: Path) -> Path:
    if not workspace.is_absolute():
        raise _refuse("RELATIVE", f"the workspace {str(workspace)!r} is not an absolute path")
    try:
        path = workspace.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _refuse("MISSING", f"the workspace {str(workspace)!r} cannot be opened: {error}") from error
    if not path.is_dir():
        raise _refuse("MISSING", f"the workspace {path} is not a folder")
    if ".git" in path.parts:
        raise _refuse("NOT-REPO", f"{path} is inside a .git folder", "Give the folder that holds .git.")
    return path


def _pointed_to(entry: Path) -> Path:
    """What a ``.git`` file (of a linked worktree or a submodule) points to."""
    with entry.open("rb") as file:
        text = file.read(4096).decode(errors="surrogateescape").strip()
    if not text.startswith("gitdir: "):
        raise _refuse("NOT-REPO", f"{entry} is not a file that git wrote")
    target = entry.parent / text.removeprefix("gitdir: ")
    if not (target / "HEAD").exists():
        message = f"{entry} points to {target}, where there is no repository"
        raise _refuse("NOT-REPO", message, 'Try "git worktree repair".')
    return target.resolve()


def _not_a_top(path: Path) -> WorkspaceError:
    top = next((parent for parent in path.parents if (parent / ".git").exists()), None)
    if top is None:
        return _refuse("NOT-REPO", f"{path} is not a git repository", 'Make it one: "git init", then commit.')
    if _is_submodule(top):
        return _refuse("SUBMODULE", f"{path} is inside the submodule {top}", _OWN_CLONE)
    return _refuse(
        "SUBFOLDER",
        f"{path} is a folder inside the repository {top}",
        f'Give "workspace": "{top}", and name the folder\'s files in "files".',
    )


_OWN_CLONE = "Clone the submodule's repository on its own and give that clone."


def _is_submodule(top: Path) -> bool:
    try:
        locate(top)
    except WorkspaceError as error:
        return error.code == "E-WORKSPACE-SUBMODULE"
    return False


def _refuse_submodule(location: Location) -> None:
    """A submodule's git folder is ``<its parent's .git>/modules/<name>``, or its parent records it."""
    refusal = _refuse("SUBMODULE", f"{location.path} is a submodule", _OWN_CLONE)
    for folder in location.common_dir.parents:
        if folder.name == "modules" and (folder.parent / "objects").is_dir():
            raise refusal
    parent = next((parent for parent in location.path.parents if (parent / ".git").is_dir()), None)
    if parent is not None:
        name = str(location.path.relative_to(parent))
        recorded = Git(parent / ".git", parent).attempt("ls-files", "-s", "-z", "--", name).output
        if recorded.startswith(b"160000 "):
            raise refusal


def _refuse_links(location: Location) -> None:
    """git would follow these and write the new branch somewhere else."""
    for name in ("objects", "refs", "refs/heads", "refs/heads/swarm"):
        if (location.common_dir / name).is_symlink():
            raise _refuse(
                "SYMLINK",
                f"{name} in {location.common_dir} is a symbolic link",
                "Give the repository that it points to.",
            )


def _refuse(kind: str, message: str, hint: str | None = None) -> WorkspaceError:
    return WorkspaceError(message, code=f"E-WORKSPACE-{kind}", hint=hint)
