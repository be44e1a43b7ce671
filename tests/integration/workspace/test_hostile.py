"""A repository full of programs: none of them may start because swarmd worked on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.errors import WorkspaceError
from swarmd.workspace import FileChange, Git, PrivateRepo, Source, inspect, make, parse

HOOKS = [
    *("applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-checkout", "post-commit"),
    *("post-index-change", "post-merge", "post-rewrite", "post-update", "pre-auto-gc", "pre-commit"),
    *("pre-receive", "prepare-commit-msg", "proc-receive", "push-to-checkout", "reference-transaction"),
]


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a mark when it is started, by anything."""
    program = tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> "{tmp_path}/MARK"\nexec timeout 5 cat\n')
    program.chmod(0o755)
    return program


def arm(repository: Path, trap: Path) -> None:
    """Set every program that git can be told to start, in the repository's configuration and hooks."""
    evil = repository / ".git" / "evil-include"
    evil.write_text(
        f"""
[core]
    fsmonitor = {trap}
    sshCommand = {trap}
    askPass = {trap}
    pager = {trap}
    editor = {trap}
    gitProxy = {trap}
    alternateRefsCommand = {trap}
    hooksPath = {trap.parent}/hooks
    attributesFile = {repository}/.git/info/attributes
[filter "evil"]
    clean = {trap} clean
    smudge = {trap} smudge
    required = true
[filter "a=b"]
    clean = {trap} odd-clean
    process = {trap} odd-process
    required = true
[diff "evil"]
    textconv = {trap}
    command = {trap}
[diff]
    external = {trap}
[merge "evil"]
    driver = {trap}
[gpg]
    program = {trap}
[commit]
    gpgSign = true
[log]
    showSignature = true
[credential]
    helper = !{trap}
[uploadpack]
    packObjectsHook = {trap}
[protocol]
    allow = always
[protocol "ext"]
    allow = always
[remote "origin"]
    url = ext::{trap}
    promisor = true
    partialclonefilter = blob:none
    uploadpack = {trap}
    vcs = trap
[extensions]
    partialClone = origin
[trailer "x"]
    command = {trap}
[maintenance]
    auto = true
[gc]
    auto = 1
[alias]
    status = !{trap}
    rev-parse = !{trap}
[trace2]
    eventTarget = {trap.parent}/MARK
[includeIf "gitdir:/**"]
    path = {repository}/.git/more-evil
"""
    )
    (repository / ".git/more-evil").write_text(f"[core]\n    fsmonitor = {trap}\n")
    with (repository / ".git/config").open("a") as config:
        config.write(f"[include]\n    path = {evil}\n[core]\n    repositoryformatversion = 1\n")
    hooks = [repository / ".git/hooks", trap.parent / "hooks"]
    for folder in hooks:
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(trap.read_bytes())
            (folder / name).chmod(0o755)
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("*.md filter=evil diff=evil merge=evil\n")


ATTRIBUTES = "* filter=evil diff=evil merge=evil\nfirst.txt filter=a=b\n"


@pytest.fixture
def hostile(user, trap: Path) -> Path:
    user.commit({".gitattributes": ATTRIBUTES})
    arm(user.path, trap)
    os.utime(user.path / "app.py", (1, 1))  # stale in the index: comparing it would run its filter
    (user.path / "first.txt").write_text("changed\n")
    return user.path


def marks(trap: Path) -> str:
    mark = trap.parent / "MARK"
    return mark.read_text() if mark.exists() else ""


def test_the_trap_works(hostile: Path, user, trap: Path) -> None:
    """Plain git runs it on the first occasion: the other tests can fail."""
    subprocess.run(["git", "diff"], cwd=user.path, capture_output=True, check=False)
    assert "odd-process" in marks(trap)


def test_the_reference_hook_of_the_trap_works(hostile: Path, user, trap: Path) -> None:
    user.git("update-ref", "refs/heads/x", "HEAD")
    assert "reference-transaction" in marks(trap)


def test_nothing_starts_from_looking_to_delivering(
    hostile: Path, user, trap: Path, deliver_fix: Callable[[Source], tuple[PrivateRepo, str]]
) -> None:
    before = user.state()
    source = inspect(hostile)
    assert user.state() == before
    assert source.dirty
    private, commit = deliver_fix(source)
    private.deliver(source, commit, "swarm/req-1")
    folder = private.checkout(private.tip(), "judge")
    arm_checkout(folder, trap)
    text = (folder / "first.txt").read_text()
    patch = parse(make([FileChange("first.txt", text, "2\n")]), max_lines=9)
    made = private.commit_patch(patch, private.base(), "m", source.identity)
    rebased = private.rebase(made, private.tip())
    (folder / "app.py").write_text("x\n")
    private.commit_tree(folder, rebased, "m", source.identity, paths=["app.py"])
    private.diff(private.base(), rebased)
    private.files(rebased)
    private.read(rebased, "first.txt")
    private.checkout(rebased, "judge")
    private.remove_checkouts()
    assert marks(trap) == ""
    for name in user.added_by_delivery(before):
        assert name.startswith((".git/objects/", ".git/refs/heads/swarm")), name


def arm_checkout(folder: Path, trap: Path) -> None:
    """What a gate could leave behind: its own .git at the top and in a subfolder."""
    for repository in (folder, folder / "docs"):
        inner = repository / ".git"
        for name in ("objects", "refs/heads"):
            (inner / name).mkdir(parents=True)
        (inner / "HEAD").write_text("ref: refs/heads/main\n")
        (inner / "config").write_text("[core]\n    repositoryformatversion = 0\n    bare = false\n")
        arm(repository, trap)


def test_a_hostile_submodule_is_not_looked_into(user, tmp_path: Path, trap: Path) -> None:
    user.git("clone", "-q", ".", str(tmp_path / "other"))
    user.git("submodule", "--quiet", "add", str(tmp_path / "other"), "sub")
    user.git("commit", "-qm", "submodule")
    (user.path / "sub/.git").unlink()
    (user.path / ".git/modules/sub").rename(user.path / "sub/.git")
    user.git("config", "-f", str(user.path / "sub/.git/config"), "--unset", "core.worktree")
    arm(user.path / "sub", trap)
    (user.path / "sub/app.py").write_text("changed\n")
    source = inspect(user.path)
    assert not source.dirty
    PrivateRepo.create(tmp_path / "ws", source)
    assert marks(trap) == ""


@pytest.mark.parametrize(
    "url", ["ext::{trap}", "{trap}", "ssh://host/{trap}", "git://127.0.0.1:9/x", "http://127.0.0.1:9/x"]
)
def test_missing_objects_are_not_fetched_from_anywhere(user, trap: Path, root: Path, url: str) -> None:
    source = inspect(user.path)
    arm(user.path, trap)
    user.git("config", "--add", "remote.origin.url", url.format(trap=trap))
    blob = user.git("rev-parse", "HEAD:app.py")
    (user.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorkspaceError) as caught:
        PrivateRepo.create(root, source)
    assert caught.value.code == "E-WORKSPACE-OBJECTS"
    assert marks(trap) == ""


def test_the_environment_of_the_daemon_reaches_no_git(
    user, trap: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "absent"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(trap))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "MARK"))
    assert inspect(user.path).base_name == "main"
    assert marks(trap) == ""


def test_a_git_that_hangs_is_ended(user) -> None:
    os.mkfifo(user.path / "pipe")
    with pytest.raises(WorkspaceError) as caught:
        Git(user.path / ".git", user.path).run("hash-object", "--no-filters", "pipe", timeout=0.3)
    assert caught.value.code == "E-WORKSPACE-TIMEOUT"


def test_a_planted_index_cannot_make_status_hang_or_run_anything(user, trap: Path) -> None:
    (user.path / ".git/index").write_bytes(b"DIRC garbage")
    source = inspect(user.path)
    assert source.dirty
    assert any("could not be told" in warning for warning in source.warnings)
