"""Which repositories are taken, which are refused and why; looking changes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.errors import WorkspaceError
from swarmd.workspace import FALLBACK_IDENTITY, PrivateRepo, Source, inspect

Delivering = Callable[[Source], tuple[PrivateRepo, str]]


def refused(path: Path, base: str | None = None) -> str:
    with pytest.raises(WorkspaceError) as caught:
        inspect(path, base)
    assert caught.value.hint
    return caught.value.code.removeprefix("E-WORKSPACE-")


def check_delivery(user, source: Source, deliver_fix: Delivering) -> str:
    """Deliver, and check that only objects and the one branch were added to the repository."""
    before = user.state()
    _, commit = deliver_fix(source)
    prefix = str(source.location.common_dir.relative_to(user.path)) + "/"
    prefix = "" if prefix == "./" else prefix
    for name in user.added_by_delivery(before):
        allowed = (f"{prefix}objects/", f"{prefix}refs/heads/swarm")
        assert name.startswith(allowed), name
    assert user.git("rev-parse", "swarm/req-1") == commit
    assert user.git("rev-parse", "swarm/req-1^") == source.base_commit
    assert user.git("show", "swarm/req-1:app.py") == "def one():\n    return 1"
    assert user.git("diff", "--name-only", source.base_commit, "swarm/req-1") == "app.py"
    user.git("fsck", "--strict")
    return commit


def test_an_ordinary_repository(user, inspected: Source, deliver_fix: Delivering) -> None:
    head = user.git("rev-parse", "HEAD")
    assert (inspected.base_commit, inspected.base_name) == (head, "main")
    assert (inspected.dirty, inspected.shallow, inspected.warnings) == (False, False, ())
    assert inspected.identity == ("Ada Löve", "ada@example.org")
    commit = check_delivery(user, inspected, deliver_fix)
    shown = user.git("show", "-s", "--format=%an <%ae> %cn <%ce>%n%B", commit)
    assert shown == (
        "Ada Löve <ada@example.org> swarmd <swarmd@localhost>\nReturn one\n\nSwarmd-Request: req-1"
    )


def test_looking_changes_nothing_even_when_the_index_is_stale(user) -> None:
    os.utime(user.path / "app.py", (1, 1))  # git status would refresh the index here
    before = user.state()
    assert inspect(user.path).dirty is False
    assert user.state() == before


def test_uncommitted_changes_stay_and_are_warned_of(user, deliver_fix: Delivering) -> None:
    user.write({"first.txt": "staged\n", "new.txt": "new"})
    user.git("add", "first.txt")
    user.write({"app.py": "unsaved\n"})
    source = inspect(user.path)
    assert source.dirty
    assert source.base_commit == user.git("rev-parse", "HEAD")
    assert any(warning.startswith("2 files have uncommitted changes") for warning in source.warnings)
    assert any(warning.startswith("1 files or folders are untracked") for warning in source.warnings)
    check_delivery(user, source, deliver_fix)


def test_untracked_files_alone_warn_but_are_not_dirty(user) -> None:
    user.write({"new.txt": "new", ".gitignore": "ignored\n", "ignored": "x"})
    source = inspect(user.path)
    assert not source.dirty
    assert [warning[:26] for warning in source.warnings] == ["2 files or folders are unt"]


def test_a_stash_and_a_merge_in_progress_are_left_alone(user, deliver_fix: Delivering) -> None:
    user.write({"first.txt": "stashed\n"})
    user.git("stash", "-q")
    user.git("checkout", "-qb", "other", "HEAD~1")
    user.commit({"dos.txt": "conflict\n"})
    with pytest.raises(AssertionError):
        user.git("merge", "main")
    assert (user.path / ".git/MERGE_HEAD").exists()
    source = inspect(user.path, "main")
    assert source.dirty
    check_delivery(user, source, deliver_fix)


def test_a_detached_head(user, deliver_fix: Delivering) -> None:
    user.git("checkout", "-q", "--detach", "HEAD~1")
    source = inspect(user.path)
    assert (source.base_name, source.base_commit) == ("HEAD", user.git("rev-parse", "HEAD"))
    check_delivery(user, source, deliver_fix)


def test_a_branch_checked_out_elsewhere_and_a_linked_worktree(user, deliver_fix: Delivering) -> None:
    user.git("worktree", "add", "-q", "-b", "feature", "../linked")
    source = inspect(user.path.parent / "linked")
    assert source.base_name == "feature"
    assert source.path.name == "linked"
    check_delivery(user, source, deliver_fix)
    assert inspect(user.path, "feature").base_name == "feature"


def test_no_author_identity(user, deliver_fix: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    source = inspect(user.path)
    assert source.identity == FALLBACK_IDENTITY
    assert any("swarmd@localhost" in warning for warning in source.warnings)
    check_delivery(user, source, deliver_fix)


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        ({"user.name": "Local", "user.email": "l@example.org"}, ("Local", "l@example.org")),
        ({"author.name": "Author"}, ("Author", "ada@example.org")),
        ({"user.name": " <Evil>\t.; "}, ("Evil", "ada@example.org")),
        ({"user.name": ".,;"}, FALLBACK_IDENTITY),
    ],
)
def test_the_author_is_whom_git_would_take(user, settings: dict[str, str], identity: object) -> None:
    for name, value in settings.items():
        user.git("config", name, value)
    assert inspect(user.path).identity == identity


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_clone(user, tmp_path: Path, deliver_fix: Delivering, depth: int) -> None:
    user.commit({"more.txt": "1"})
    user.git("clone", "-q", f"--depth={depth}", f"file://{user.path}", str(tmp_path / "shallow"))
    clone = type(user)(tmp_path / "shallow")
    source = inspect(clone.path)
    assert source.shallow
    check_delivery(clone, source, deliver_fix)


def test_a_bare_repository_with_a_head(user, tmp_path: Path, deliver_fix: Delivering) -> None:
    user.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare = type(user)(tmp_path / "bare.git")
    source = inspect(bare.path)
    assert (source.base_name, source.dirty, source.location.bare) == ("main", False, True)
    check_delivery(bare, source, deliver_fix)


def test_packed_refs_packed_objects_and_alternates(user, tmp_path: Path, deliver_fix: Delivering) -> None:
    user.git("gc", "-q")
    user.git("clone", "-q", "--shared", ".", str(tmp_path / "shared"))
    check_delivery(user, inspect(user.path), deliver_fix)
    shared = type(user)(tmp_path / "shared")
    assert PrivateRepo.create(tmp_path / "w2", inspect(shared.path)).read("HEAD", "first.txt") == b"1\n"


def test_sha256_and_a_split_index(tmp_path: Path, user, deliver_fix: Delivering) -> None:
    other = type(user)(tmp_path / "sha256")
    other.path.mkdir()
    other.git("init", "-q", "--object-format=sha256")
    other.git("config", "core.splitIndex", "true")
    other.commit({"app.py": "def one():\n    return 2\n"})
    other.git("update-index", "--split-index")
    source = inspect(other.path)
    assert (source.dirty, source.object_format, len(source.base_commit)) == (False, "sha256", 64)
    check_delivery(other, source, deliver_fix)


@pytest.mark.parametrize(
    "base", ["HEAD~1", "v1", "v1-signed", "first-branch", "refs/heads/first-branch", "origin/x"]
)
def test_a_base_may_be_any_name_of_a_commit(user, base: str) -> None:
    first = user.git("rev-parse", "HEAD~1")
    user.git("tag", "v1", first)
    user.git("tag", "-am", "annotated", "v1-signed", first)
    user.git("branch", "first-branch", first)
    user.git("update-ref", "refs/remotes/origin/x", first)
    source = inspect(user.path, base)
    assert (source.base_commit, source.base_name) == (first, base)
    assert inspect(user.path, first[:10]).base_commit == first


@pytest.mark.parametrize(
    "base",
    ["", "absent", "-h", "--all", "--output=/tmp/x", "a..b", "HEAD:app.py", "@{u}", "HEAD@{1}", "a b", "a\nb",
     "HEAD^{tree}", ":/first", "*", "0" * 40, "x" * 300, "HEAD\0"],
)  # fmt: skip
def test_a_base_that_is_no_plain_name_of_a_commit_is_refused(user, base: str) -> None:
    assert refused(user.path, base) == "BASE"


def test_a_repository_without_commits(tmp_path: Path, user) -> None:
    (tmp_path / "empty").mkdir()
    empty = type(user)(tmp_path / "empty")
    empty.git("init", "-q")
    assert refused(empty.path) == "UNBORN"
    assert refused(empty.path, "main") == "BASE"


def test_an_unborn_branch_can_be_given_another_base(user) -> None:
    user.git("checkout", "-q", "--orphan", "fresh")
    assert refused(user.path) == "UNBORN"
    assert inspect(user.path, "main").base_name == "main"


def test_a_bare_repository_without_head(user, tmp_path: Path) -> None:
    user.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    (tmp_path / "bare.git/HEAD").write_text("ref: refs/heads/absent\n")
    assert refused(tmp_path / "bare.git") == "NO-HEAD"
    (tmp_path / "bare.git/HEAD").unlink()
    assert refused(tmp_path / "bare.git") == "NO-HEAD"


def test_folders_that_are_no_repository(tmp_path: Path, user, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "fake/.git").mkdir(parents=True)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/.git").write_text("hello\n")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost/.git").write_text("gitdir: ../absent\n")
    assert refused(tmp_path / "plain") == "NOT-REPO"
    assert refused(tmp_path / "fake") == "NOT-REPO"
    assert refused(tmp_path / "odd") == "NOT-REPO"
    assert refused(tmp_path / "lost") == "NOT-REPO"
    assert refused(user.path / ".git") == "NOT-REPO"
    assert refused(user.path / ".git/objects") == "NOT-REPO"
    assert refused(tmp_path / "file") == "MISSING"
    assert refused(tmp_path / "absent") == "MISSING"
    monkeypatch.chdir(user.path.parent)
    assert refused(Path(user.path.name)) == "RELATIVE"
    assert refused(Path()) == "RELATIVE"


def test_a_subfolder_is_refused_and_the_top_is_named(user) -> None:
    with pytest.raises(WorkspaceError) as caught:
        inspect(user.path / "docs")
    assert caught.value.code == "E-WORKSPACE-SUBFOLDER"
    assert f'"workspace": "{user.path}"' in caught.value.hint


@pytest.mark.parametrize("old_style", [False, True])
def test_a_submodule_and_the_paths_inside_it(user, tmp_path: Path, old_style: bool) -> None:
    other = type(user)(tmp_path / "other")
    user.git("clone", "-q", ".", str(other.path))
    user.git("submodule", "--quiet", "add", str(other.path), "libs/other")
    user.git("commit", "-qm", "submodule")
    module = user.path / "libs/other"
    if old_style:  # its .git is a folder in it, as git made it before 2012
        (module / ".git").unlink()
        (user.path / ".git/modules/libs/other").rename(module / ".git")
        user.git("config", "-f", str(module / ".git/config"), "--unset", "core.worktree")
    assert refused(module) == "SUBMODULE"
    assert refused(module / "docs") == "SUBMODULE"
    source = inspect(user.path)
    assert "Submodules are empty folders in swarmd's copy." in source.warnings


def test_a_repository_with_a_submodule_can_be_worked_on(
    user, tmp_path: Path, deliver_fix: Delivering
) -> None:
    user.git("clone", "-q", ".", str(tmp_path / "other"))
    user.git("submodule", "--quiet", "add", str(tmp_path / "other"), "libs/other")
    user.git("commit", "-qm", "submodule")
    source = inspect(user.path)
    check_delivery(user, source, deliver_fix)
    assert user.git("ls-tree", "swarm/req-1", "libs/other").startswith("160000 commit ")


def test_a_branch_called_swarm(user) -> None:
    user.git("branch", "swarm/other")
    assert inspect(user.path).base_name == "main"
    user.git("branch", "-D", "swarm/other")
    user.git("branch", "swarm")
    assert refused(user.path) == "BRANCH-SWARM"
    user.git("pack-refs", "--all")
    assert refused(user.path) == "BRANCH-SWARM"


def test_links_to_the_workspace_are_resolved_but_links_in_its_git_folder_refused(
    user, tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(user.path)
    assert inspect(tmp_path / "alias").path == user.path
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop") == "MISSING"
    (tmp_path / "second").mkdir()
    (tmp_path / "second/.git").symlink_to(user.path / ".git")
    assert refused(tmp_path / "second") == "SYMLINK"
    (tmp_path / "elsewhere").mkdir()
    (user.path / ".git/refs/heads/swarm").symlink_to(tmp_path / "elsewhere")
    assert refused(user.path) == "SYMLINK"


def test_a_partial_clone_with_missing_objects_says_so(user, tmp_path: Path, root: Path) -> None:
    user.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{user.path}"
    user.git("clone", "-q", "--filter=blob:none", "--no-checkout", url, str(tmp_path / "partial"))
    source = inspect(tmp_path / "partial")
    with pytest.raises(WorkspaceError) as caught:
        PrivateRepo.create(root, source)
    assert caught.value.code == "E-WORKSPACE-OBJECTS"
    assert not (root / "repo.git").exists()
    type(user)(tmp_path / "partial").git("checkout", "-q", "main")  # fetches the base's objects
    assert PrivateRepo.create(root, inspect(tmp_path / "partial")).read("HEAD", "first.txt") == b"1\n"


def test_a_damaged_repository_is_an_error_with_gits_own_words(user) -> None:
    (user.path / ".git/config").write_text("[core\n")
    with pytest.raises(WorkspaceError, match="bad config line 1"):
        inspect(user.path)


def test_a_repository_of_another_user_is_warned_of(user) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    subprocess.run(["chown", "-R", "12345", str(user.path)], check=True)
    assert any("belongs to user 12345" in warning for warning in inspect(user.path).warnings)
