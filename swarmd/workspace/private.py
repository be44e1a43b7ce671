"""The private repository of one request: where its commits are made, out of the user's sight.

**How it is made.** The user's objects of one commit, the base, are packed by ``git pack-objects`` and
unpacked here; history is cut off below the base, as in a shallow clone. Cost grows with the files of
one commit, not with the history, and a shallow clone of the user's is no special case. The base keeps
its id, so that a commit made on it here fits into the user's repository as it is.

Two usual ways were weighed and left. *Alternates* (borrowing the user's objects) cost nothing, but a
``git gc`` of theirs can pull objects from under a running request, and every command here would read
a folder that we do not control. ``git fetch --depth=1`` over a file path starts ``upload-pack`` on the
user's repository, reads more of its configuration (``core.alternateRefsCommand``,
``uploadpack.packObjectsHook``) and needs a transport switched on. Plumbing with a pipe needs neither.

**Attributes.** ``info/attributes`` here takes every file's ``filter``, ``text``, ``eol``, ``ident``,
``diff`` and ``merge`` attributes away, and wins over any ``.gitattributes``. So files appear in
checkouts byte for byte as git stores them, and no driver is ever looked for.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from swarmd import durable
from swarmd.clock import short_id
from swarmd.errors import PatchError, WorkspaceError
from swarmd.workspace import delivery, tree
from swarmd.workspace.git import Git
from swarmd.workspace.hunks import ParsedPatch
from swarmd.workspace.removal import remove_tree
from swarmd.workspace.source import FALLBACK_IDENTITY, Identity, Source

__all__ = ["PrivateRepo"]

_TIP = "refs/heads/integration"
_BASE = "refs/swarmd/base"
_ATTRIBUTES = (
    "* !text !eol !crlf !ident !filter !working-tree-encoding !diff !merge !whitespace "
    "!conflict-marker-size !export-ignore !export-subst !delta !encoding\n"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class PrivateRepo:
    """``<root>/repo.git``, and clean checkouts of its commits in ``<root>/checkouts/<name>``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root / "repo.git")

    @classmethod
    def open(cls, root: Path) -> PrivateRepo:
        """The private repository that ``create`` made at ``root``. Raises WorkspaceError."""
        repo = cls(root)
        if not (root / "repo.git" / "HEAD").is_file():
            raise WorkspaceError(f"there is no private repository in {root}", code="E-WORKSPACE-MISSING")
        return repo

    @classmethod
    def create(cls, root: Path, source: Source) -> PrivateRepo:
        """Make it from ``source``; doing it again gives the one that is there.

        If the base has moved since, it is made anew while nothing was integrated. Raises
        WorkspaceError: E-WORKSPACE-OBJECTS when the user's repository lacks some of the base's
        objects (a partial clone, or damage), E-WORKSPACE-BASE-MOVED.
        """
        durable.make_dirs(root)
        final = root / "repo.git"
        if final.is_dir():
            there = cls.open(root)
            if there.base() == source.base_commit:
                return there
            if there.tip() != there.base():
                raise WorkspaceError(
                    f"{final} holds work on another base, {there.base()}", code="E-WORKSPACE-BASE-MOVED"
                )
            remove_tree(final, within=root)
        for rest in root.glob(".repo-*"):  # of a run that was killed
            remove_tree(rest, within=root)
        building = root / f".repo-{short_id(8)}"
        _build(building, source)
        building.rename(final)
        durable.sync_dir(root)
        return cls(root)

    def base(self) -> str:
        """The commit that the request started from."""
        return self.git.text("rev-parse", "--verify", _BASE)

    def tip(self) -> str:
        """The commit with all that was integrated so far; at first the base."""
        return self.git.text("rev-parse", "--verify", _TIP)

    def move_tip(self, old: str, new: str) -> None:
        """Make ``new`` the tip if it still is ``old``. Raises WorkspaceError E-WORKSPACE-TIP-MOVED."""
        moved = self.git.attempt("update-ref", _TIP, new, old)
        if moved.code != 0:
            raise WorkspaceError(
                f"the tip cannot move from {old[:12]} to {new[:12]}: {moved.errors}",
                code="E-WORKSPACE-TIP-MOVED",
                hint="Rebase the commit onto the present tip and judge it again.",
            )

    def checkout(self, commit: str, name: str) -> Path:
        """A fresh folder with the files of ``commit``, without any ``.git``; an old one of that name goes.

        Symbolic links of the project stay links; submodules are empty folders.
        """
        final = self._checkout_path(name)
        building = final.with_name(f".{name}-{short_id(8)}")
        durable.make_dirs(building)
        try:
            with tree.temporary_index(Git(self.git.git_dir, building)) as scratch:
                scratch.run("read-tree", commit)
                scratch.run("checkout-index", "--all", "--force", "--quiet", timeout=600.0)
            self.remove_checkout(name)
            building.rename(final)
        except BaseException:
            remove_tree(building, within=self.root)
            raise
        return final

    def remove_checkout(self, name: str) -> None:
        """Remove one checkout; one that is gone is fine."""
        remove_tree(self._checkout_path(name), within=self.root)

    def remove_checkouts(self) -> None:
        """Remove all checkouts, also those of a run that was killed."""
        remove_tree(self.root / "checkouts", within=self.root)

    def _checkout_path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise WorkspaceError(f"{name!r} cannot name a checkout", code="E-WORKSPACE-NAME")
        return self.root / "checkouts" / name

    def commit_patch(
        self, patch: ParsedPatch, parent: str, message: str, author: Identity, *, date: datetime | None = None
    ) -> str:
        """Commit ``parent`` with ``patch`` applied. Nothing that a gate did to a checkout gets into it.

        ``date`` is the author's and the committer's; None means now. Raises PatchError when the patch
        does not fit ``parent`` exactly.
        """
        return self._commit(tree.from_patch(self.git, parent, patch), [parent], message, author, date)

    def commit_tree(
        self,
        checkout: Path,
        parent: str,
        message: str,
        author: Identity,
        *,
        paths: Sequence[str],
        date: datetime | None = None,
    ) -> str:
        """Commit ``parent`` with the files ``paths`` as they now are in ``checkout``.

        There is no "all files": what gates leave in a checkout must not get into a commit unseen.
        Raises PatchError for a path that is no regular file or that no edit may name.
        """
        written = tree.from_checkout(self.git, parent, checkout, paths)
        return self._commit(written, [parent], message, author, date)

    def rebase(self, commit: str, onto: str) -> str:
        """The change of ``commit``, which has one parent, as a new commit on ``onto``, merged three-way.

        ``onto`` must descend from that parent. Raises PatchError E-PATCH-CONFLICT naming the files.
        """
        parent, name, email, moment, message = self._describe(commit)
        if parent == onto:
            return commit
        merged = self.git.attempt("merge-tree", "--write-tree", "--name-only", "--no-messages", onto, commit)
        lines = merged.output.decode(errors="replace").splitlines()
        if merged.code not in (0, 1):
            raise WorkspaceError(f"git merge-tree failed: {merged.errors}", code="E-WORKSPACE-GIT")
        if merged.code == 1:
            raise _conflict(lines[1:])
        # git follows renames: an edit of a file that is gone would turn up in another one.
        asked = tree.check_change(self.git, parent, commit)
        followed = set(tree.check_change(self.git, onto, lines[0])) - set(asked)
        if followed:
            raise _conflict(sorted(followed))
        return self._commit(lines[0], [onto], message, Identity(name, email), datetime.fromisoformat(moment))

    def _describe(self, commit: str) -> list[str]:
        """Parent, author's name and address, date, message."""
        text = self.git.text("log", "-1", "--format=%P%x00%an%x00%ae%x00%aI%x00%B", commit)
        return text.split("\0", 4)

    def squash(self, commit: str, message: str, author: Identity, *, date: datetime | None = None) -> str:
        """One commit on the base with the files of ``commit``: what is delivered."""
        return self._commit(self.tree(commit), [self.base()], message, author, date)

    def tree(self, commit: str) -> str:
        """The id of the files of ``commit``: equal for commits with equal files."""
        return self.git.text("rev-parse", "--verify", f"{commit}^{{tree}}")

    def _commit(
        self, written: str, parents: Sequence[str], message: str, author: Identity, date: datetime | None
    ) -> str:
        env = _names("AUTHOR", author) | _names("COMMITTER", FALLBACK_IDENTITY)
        if date is not None:
            moment = date.astimezone().isoformat(timespec="seconds")
            env |= {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        text = (message.replace("\0", "").rstrip() + "\n").encode(errors="replace")
        args = [word for parent in parents for word in ("-p", parent)]
        made = self.git.run("commit-tree", written, *args, "-F", "-", input=text, env=env)
        return made.decode().strip()

    def diff(self, old: str, new: str, *, context: int = 3) -> str:
        """What changed between two commits, to be read; bytes that are no UTF-8 are shown as U+FFFD."""
        return self.raw_diff(old, new, context=context).decode(errors="replace")

    def raw_diff(self, old: str, new: str, *, context: int = 3) -> bytes:
        """What changed between two commits, byte for byte, as ``git apply`` takes it."""
        options = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--binary", "--full-index")
        return self.git.run("diff-tree", "-r", "-p", f"-U{context}", *options, old, new)

    def files(self, commit: str) -> list[str]:
        """The regular files of ``commit``, sorted, less those whose names cannot be printed."""
        found = tree.entries(self.git, commit)
        return sorted(path for path, entry in found.items() if entry.regular and path.isprintable())

    def read(self, commit: str, path: str) -> bytes | None:
        """The regular file ``path`` in ``commit``; None when there is none, also for a symbolic link."""
        if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            return None
        entry = tree.entries(self.git, commit, path).get(path)
        return self.git.run("cat-file", "blob", entry.oid) if entry and entry.regular else None

    def deliver(self, source: Source, commit: str, ref: str) -> str:
        """Put ``commit`` into the user's repository as the branch ``ref``; see ``delivery.deliver``."""
        return delivery.deliver(self.git, source, commit, ref)


def _conflict(paths: Sequence[str]) -> PatchError:
    return PatchError(
        f"it conflicts with what was integrated meanwhile in: {', '.join(paths)}",
        code="E-PATCH-CONFLICT",
        hint="Make the edit again on the present state of these files.",
    )


def _names(role: str, identity: Identity) -> dict[str, str]:
    return {f"GIT_{role}_NAME": identity.name, f"GIT_{role}_EMAIL": identity.email}


def _build(folder: Path, source: Source) -> None:
    durable.make_dirs(folder)
    git = Git(folder)
    kind = f"--object-format={source.object_format}"
    git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=integration", kind)
    durable.make_dirs(folder / "info")
    durable.write(folder / "info" / "attributes", _ATTRIBUTES.encode(), durable=False)
    base = source.base_commit
    with tempfile.TemporaryFile(dir=folder) as pack:
        packed = source.git().attempt(
            *("pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset", "--window=0"),
            input=f"--shallow {base}\n{base}\n".encode(),
            stdout=pack,
            timeout=600.0,
        )
        if packed.code != 0:
            raise WorkspaceError(
                f"the objects of {base[:12]} cannot be read in {source.path}: {packed.errors}",
                code="E-WORKSPACE-OBJECTS",
                hint='In a partial clone, fetch what is missing: "git fetch --refetch --no-filter".',
            )
        pack.seek(0)
        git.run("index-pack", "--stdin", stdin=pack, timeout=600.0)
    durable.write(folder / "shallow", f"{base}\n".encode())
    git.run("rev-list", "--objects", "--quiet", base, timeout=600.0)  # fails when something is missing
    git.run("update-ref", _BASE, base)
    git.run("update-ref", _TIP, base)
