"""Real repositories, made by plain git with an environment of their own."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmd.workspace import FileChange, PrivateRepo, Source, inspect, make, parse


@dataclass(frozen=True)
class UserRepo:
    """A repository as its user sees it."""

    path: Path

    def git(self, *args: str) -> str:
        """Run plain git in it, as the user would."""
        finished = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *args],
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(text.encode())

    def commit(self, files: dict[str, str], message: str = "change") -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> dict[str, tuple[object, ...]]:
        """Everything about every file, .git included: content, mode and time of change."""
        return state(self.path)

    def added_by_delivery(self, before: dict[str, tuple[object, ...]]) -> list[str]:
        """What is new against ``before``; fails when anything else differs."""
        now = self.state()
        assert {name: now.get(name) for name in before} == before
        return sorted(now.keys() - before.keys())


def state(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            content: object = None
            if stat.S_ISREG(kind):
                content = (path.read_bytes(), status.st_mtime_ns)
            elif stat.S_ISLNK(kind):
                content = os.readlink(path)  # noqa: PTH115
            found[str(path.relative_to(root))] = (status.st_mode, content)
    return found


@pytest.fixture(autouse=True)
def _own_git_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own git settings have no say in the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "user-home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada Löve\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def user(tmp_path: Path) -> UserRepo:
    """A repository with two commits, a program, a link, a CRLF file and a name with a blank."""
    repo = UserRepo(tmp_path / "user repo")
    repo.path.mkdir()
    repo.git("init", "-q")
    repo.commit({"app.py": "def one():\n    return 2\n", "first.txt": "1\n"}, "first")
    (repo.path / "run.sh").write_text("#!/bin/sh\n")
    (repo.path / "run.sh").chmod(0o755)
    (repo.path / "link").symlink_to("app.py")
    (repo.path / "outside").symlink_to("/etc")
    repo.commit({"docs/übér file.md": "# Hi\n", "dos.txt": "a\r\nb\r\n", "data.bin": "\0\1\2"}, "second")
    return repo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the private repository goes."""
    return tmp_path / "workspaces" / "req-1"


FIX = (FileChange("app.py", "def one():\n    return 2\n", "def one():\n    return 1\n"),)


@pytest.fixture
def deliver_fix(root: Path) -> Callable[[Source], tuple[PrivateRepo, str]]:
    """Make, commit and deliver a one-line fix of app.py as swarm/req-1."""

    def run(source: Source) -> tuple[PrivateRepo, str]:
        private = PrivateRepo.create(root, source)
        fixed = private.commit_patch(parse(make(FIX), max_lines=10), private.tip(), "fix", source.identity)
        private.move_tip(private.base(), fixed)
        commit = private.squash(private.tip(), "Return one\n\nSwarmd-Request: req-1", source.identity)
        return private, private.deliver(source, commit, "swarm/req-1")

    return run


@pytest.fixture
def inspected(user: UserRepo) -> Source:
    return inspect(user.path)
