"""The private repository: how it is made, its checkouts, commits, rebases and the hand-over."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swarmd.errors import PatchError, SwarmdError, WorkspaceError
from swarmd.workspace import FALLBACK_IDENTITY, FileChange, PrivateRepo, Source, apply, inspect, make, parse

ME = FALLBACK_IDENTITY
Delivering = Callable[[Source], tuple[PrivateRepo, str]]


@pytest.fixture
def private(root: Path, inspected: Source) -> PrivateRepo:
    return PrivateRepo.create(root, inspected)


def commit(private: PrivateRepo, parent: str, *changes: FileChange) -> str:
    return private.commit_patch(parse(make(changes), max_lines=100), parent, "change", ME)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(SwarmdError) as caught:
        action()
    return caught.value.code


ONE = "def one():\n    return 2\n"


def test_it_holds_the_base_commit_alone_under_its_own_id(
    private: PrivateRepo, inspected: Source, user
) -> None:
    assert private.base() == private.tip() == inspected.base_commit
    assert private.git.text("rev-list", "--all") == inspected.base_commit
    assert private.git.attempt("cat-file", "-e", f"{user.git('rev-parse', 'HEAD~1')}").code != 0
    assert private.git.run("fsck", "--strict") == b""


def test_making_it_again_keeps_it_and_a_moved_base_replaces_it_only_while_it_is_unused(
    private: PrivateRepo, root: Path, user, inspected: Source
) -> None:
    kept = commit(private, private.base(), FileChange("n.py", None, "x\n"))
    assert PrivateRepo.create(root, inspected).read(kept, "n.py") == b"x\n"
    user.commit({"later.txt": "1\n"})
    moved = inspect(user.path)
    (root / ".repo-rest-of-a-killed-run").mkdir()
    again = PrivateRepo.create(root, moved)
    assert again.base() == moved.base_commit
    assert sorted(path.name for path in root.iterdir()) == ["repo.git"]
    again.move_tip(again.base(), commit(again, again.base(), FileChange("n.py", None, "x\n")))
    assert code(lambda: PrivateRepo.create(root, inspected)) == "E-WORKSPACE-BASE-MOVED"
    assert code(lambda: PrivateRepo.open(root / "absent")) == "E-WORKSPACE-MISSING"


def test_a_checkout_has_the_stored_bytes_modes_and_links_and_nothing_of_gits(private: PrivateRepo) -> None:
    folder = private.checkout(private.tip(), "judge.1")
    assert folder == private.root / "checkouts" / "judge.1"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        *("app.py", "data.bin", "docs", "docs/übér file.md", "dos.txt"),
        *("first.txt", "link", "outside", "run.sh"),
    }
    assert (folder / "dos.txt").read_bytes() == b"a\r\nb\r\n"
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert os.readlink(folder / "outside") == "/etc"  # noqa: PTH115
    (folder / "app.py").write_text("spoilt")
    (folder / "junk").touch()
    assert private.checkout(private.tip(), "judge.1") == folder
    assert (folder / "app.py").read_text() == ONE
    assert not (folder / "junk").exists()
    private.remove_checkouts()
    assert not folder.parent.exists()
    assert code(lambda: private.checkout(private.tip(), "../x")) == "E-WORKSPACE-NAME"
    assert code(lambda: private.checkout("absent", "x")) == "E-WORKSPACE-GIT"
    assert list(folder.parent.iterdir()) == []


def test_attributes_change_no_byte_on_the_way_in_or_out(user, root: Path) -> None:
    attributes = "* text=auto eol=crlf ident diff=x merge=ours -diff\nb.txt working-tree-encoding=UTF-16\n"
    user.write({".gitattributes": attributes})
    user.commit({"a.txt": "$Id$\nline\n"})
    private = PrivateRepo.create(root, inspect(user.path))
    folder = private.checkout(private.tip(), "x")
    assert (folder / "a.txt").read_bytes() == b"$Id$\nline\n"
    (folder / "a.txt").write_bytes(b"$Id$\r\nnew\n")
    made = private.commit_tree(folder, private.tip(), "m", ME, paths=["a.txt"])
    assert private.read(made, "a.txt") == b"$Id$\r\nnew\n"
    assert "+new\n" in private.diff(private.tip(), made)


def test_files_and_read_show_regular_files_only(private: PrivateRepo) -> None:
    tip = private.tip()
    assert private.files(tip) == ["app.py", "data.bin", "docs/übér file.md", "dos.txt", "first.txt", "run.sh"]
    assert private.read(tip, "docs/übér file.md") == b"# Hi\n"
    assert [
        private.read(tip, path)
        for path in ("link", "docs", "absent", "*.py", ":/app.py", "../x", "/x", "", "a\0")
    ] == [None] * 9


def test_a_patch_is_committed_without_a_checkout_and_keeps_the_executable_bit(private: PrivateRepo) -> None:
    base = private.base()
    made = private.commit_patch(
        parse(
            make([
                FileChange("run.sh", "#!/bin/sh\n", "#!/bin/sh\ntrue\n"),
                FileChange("first.txt", "1\n", None),
                FileChange("pkg/new file.py", None, "x\n"),
            ]),
            max_lines=10,
        ),
        base,
        "Meldung mit ü\0\n\n",
        ME,
        date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip
    assert private.git.text("log", "-1", "--format=%P|%an|%cn|%at|%B", made) == (
        f"{base}|swarmd|swarmd|1767323045|Meldung mit ü\n"
    )
    raw = private.git.text("diff-tree", "-r", "--no-renames", "--format=", base, made)
    assert [line.split()[:2] + line.split()[4:5] for line in raw.split("\n")] == [
        [":100644", "000000", "D"],
        [":000000", "100644", "A"],
        [":100755", "100755", "M"],
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (FileChange("app.py", "other\n", "x\n"), "APPLY"),
        (FileChange("app.py", None, "x\n"), "APPLY"),
        (FileChange("app.py/x", None, "x\n"), "APPLY"),
        (FileChange("docs", None, "x\n"), "APPLY"),
        (FileChange("APP.py", None, "x\n"), "APPLY"),
        (FileChange("Docs/new.md", None, "x\n"), "APPLY"),
        (FileChange("link", "app.py", "other"), "SYMLINK"),
        (FileChange("link", "app.py", None), "SYMLINK"),
        (FileChange("outside/passwd", None, "x\n"), "SYMLINK"),
    ],
)
def test_patches_that_do_not_fit_the_tree_leave_no_commit(
    private: PrivateRepo, change: FileChange, expected: str
) -> None:
    assert code(lambda: commit(private, private.base(), change)) == f"E-PATCH-{expected}"
    folder = private.checkout(private.base(), "x")
    assert code(lambda: apply(parse(make([change]), max_lines=9), folder)) == f"E-PATCH-{expected}"


def test_only_the_named_files_of_a_checkout_are_committed(private: PrivateRepo, user) -> None:
    folder = private.checkout(private.tip(), "x")
    (folder / "app.py").write_text("new\n")
    (folder / "app.py").chmod(0o777)
    (folder / "left-by-a-gate.pyc").touch()
    (folder / "first.txt").unlink()
    made = private.commit_tree(folder, private.tip(), "m", ME, paths=["app.py", "first.txt"])
    assert (
        private.git.text("diff-tree", "-r", "--name-status", private.tip(), made) == "M\tapp.py\nD\tfirst.txt"
    )
    assert private.git.text("ls-tree", made, "app.py").startswith("100644 ")


def test_a_checkout_that_a_gate_has_filled_with_links_commits_nothing_of_them(
    private: PrivateRepo, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("key")
    folder = private.checkout(private.tip(), "x")
    (folder / "app.py").unlink()
    (folder / "app.py").symlink_to(tmp_path / "secret")
    (folder / "docs/übér file.md").unlink()
    (folder / "docs").rmdir()
    (folder / "docs").symlink_to(tmp_path)
    for path in ("app.py", "docs/secret"):
        attempt = [path]
        assert (
            code(lambda paths=attempt: private.commit_tree(folder, private.tip(), "m", ME, paths=paths))
            == "E-PATCH-SYMLINK"
        )


def test_the_tip_moves_only_from_where_one_thinks_it_is(private: PrivateRepo) -> None:
    base = private.base()
    first = commit(private, base, FileChange("a.py", None, "a\n"))
    second = commit(private, base, FileChange("b.py", None, "b\n"))
    private.move_tip(base, first)
    assert code(lambda: private.move_tip(base, second)) == "E-WORKSPACE-TIP-MOVED"
    assert private.tip() == first


def test_a_commit_is_rebased_onto_the_moved_tip_three_way(private: PrivateRepo) -> None:
    base = private.base()
    first = commit(
        private, base, FileChange("app.py", ONE, "# head\n" * 20 + ONE), FileChange("first.txt", "1\n", None)
    )
    second = commit(private, base, FileChange("docs/übér file.md", "# Hi\n", "# Ho\n"))
    assert private.rebase(second, base) == second
    merged = private.rebase(second, first)
    assert private.git.text("rev-parse", f"{merged}^") == first
    assert private.files(merged) == ["app.py", "data.bin", "docs/übér file.md", "dos.txt", "run.sh"]
    assert private.read(merged, "docs/übér file.md") == b"# Ho\n"
    assert private.git.text("log", "-1", "--format=%an %s", merged) == "swarmd change"


def test_a_rename_on_the_tip_is_a_conflict_not_a_guess(private: PrivateRepo) -> None:
    text = "".join(f"{number}\n" for number in range(30))
    base = commit(private, private.base(), FileChange("old.py", None, text))
    tip = commit(private, base, FileChange("old.py", text, None), FileChange("new.py", None, text))
    mine = commit(private, base, FileChange("old.py", text, text.replace("15\n", "fifteen\n")))
    assert code(lambda: private.rebase(mine, tip)) == "E-PATCH-CONFLICT"


@pytest.mark.parametrize(
    "theirs",
    [FileChange("app.py", ONE, ONE.replace("2", "3")), FileChange("app.py", ONE, None)],
)
def test_a_conflict_names_the_file_and_moves_nothing(private: PrivateRepo, theirs: FileChange) -> None:
    base = private.base()
    tip = commit(private, base, theirs)
    mine = commit(private, base, FileChange("app.py", ONE, ONE.replace("2", "1")))
    with pytest.raises(PatchError, match=r"in: app\.py") as caught:
        private.rebase(mine, tip)
    assert caught.value.code == "E-PATCH-CONFLICT"


def test_the_whole_patch_applies_with_plain_git(private: PrivateRepo, user) -> None:
    made = commit(
        private,
        private.base(),
        FileChange("dos.txt", "a\r\nb\r\n", "a\r\nB\r\nc"),
        FileChange("docs/übér file.md", "# Hi\n", None),
        FileChange('new "one".py', None, ""),
        FileChange("no newline", None, "x"),
    )
    (user.path.parent / "whole.patch").write_bytes(private.raw_diff(private.base(), made))
    user.git("apply", "--index", "../whole.patch")
    assert user.git("write-tree") == private.tree(made)


def test_what_make_writes_git_applies_to_the_same_result(user) -> None:
    changes = [
        FileChange("dos.txt", "a\r\nb\r\n", "a\r\nx"),
        FileChange("docs/übér file.md", "# Hi\n", "# Hi\n\n\n+++ b/x\n"),
        FileChange("first.txt", "1\n", None),
        FileChange("sub/é ü.py", None, "\n"),
        FileChange('q"uote.py', None, ""),
    ]
    text = make(changes)
    before = {change.path: change.old for change in changes}
    (user.path / "../p").write_bytes(text.encode())
    user.git("apply", "../p")
    assert {path: (user.path / path).read_bytes() for path in before if (user.path / path).exists()} == {
        change.path: change.new.encode() for change in changes if change.new is not None
    }


def test_delivering_twice_is_one_branch(user, inspected: Source, deliver_fix: Delivering) -> None:
    private, first = deliver_fix(inspected)
    before = user.state()
    assert private.deliver(inspected, first, "refs/heads/swarm/req-1") == first
    later = datetime(2030, 1, 1, tzinfo=UTC)
    redone = private.squash(private.tip(), "made again after a crash", ME, date=later)
    assert redone != first
    assert private.deliver(inspected, redone, "swarm/req-1") == first
    assert user.state() == before


def test_another_branch_of_that_name_is_never_overwritten(
    user, inspected: Source, deliver_fix: Delivering
) -> None:
    user.git("branch", "swarm/req-1", "HEAD~1")
    before = user.state()
    assert code(lambda: deliver_fix(inspected)) == "E-WORKSPACE-BRANCH-EXISTS"
    assert user.state() == before


def test_branches_below_that_name_are_in_the_way(user, inspected: Source, private: PrivateRepo) -> None:
    user.git("branch", "swarm/req-1/sub")
    made = private.squash(private.tip(), "m", ME)
    with pytest.raises(WorkspaceError, match="in the way") as caught:
        private.deliver(inspected, made, "swarm/req-1")
    assert caught.value.code == "E-WORKSPACE-BRANCH-EXISTS"


@pytest.mark.parametrize(
    "ref",
    [
        "main",
        "refs/heads/main",
        "swarm/a/b",
        "swarm/../main",
        "swarm/",
        "refs/tags/swarm/x",
        "HEAD",
        "swarm/A\n",
    ],
)
def test_no_other_ref_can_be_made(inspected: Source, private: PrivateRepo, ref: str) -> None:
    made = private.squash(private.tip(), "m", ME)
    assert code(lambda: private.deliver(inspected, made, ref)) == "E-WORKSPACE-REF"


def test_only_one_commit_on_the_base_is_delivered(user, inspected: Source, private: PrivateRepo) -> None:
    first = commit(private, private.base(), FileChange("a.py", None, "a\n"))
    second = commit(private, first, FileChange("b.py", None, "b\n"))
    assert code(lambda: private.deliver(inspected, second, "swarm/x")) == "E-WORKSPACE-REF"
    assert code(lambda: private.deliver(inspected, private.base(), "swarm/x")) == "E-WORKSPACE-REF"


def test_a_base_that_the_user_has_thrown_away(user, inspected: Source, deliver_fix: Delivering) -> None:
    user.git("reset", "-q", "--hard", "HEAD~1")
    user.git("reflog", "expire", "--expire=now", "--all")
    user.git("gc", "-q", "--prune=now")
    with pytest.raises(WorkspaceError) as caught:
        deliver_fix(inspected)
    # Whether it is noticed when copying or when handing over, nothing is made up.
    assert caught.value.code in {"E-WORKSPACE-BASE-GONE", "E-WORKSPACE-OBJECTS"}
    assert user.git("for-each-ref", "refs/heads/swarm") == ""


def test_the_base_may_vanish_between_copy_and_delivery(user, inspected: Source, private: PrivateRepo) -> None:
    made = private.squash(commit(private, private.base(), FileChange("a.py", None, "a\n")), "m", ME)
    user.git("reset", "-q", "--hard", "HEAD~1")
    user.git("reflog", "expire", "--expire=now", "--all")
    user.git("gc", "-q", "--prune=now")
    assert code(lambda: private.deliver(inspected, made, "swarm/x")) == "E-WORKSPACE-BASE-GONE"
