"""A problem as a small git repository, and the answer read back from it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from swarmd import durable
from swarmd.bench.suite import TEST_PATH, Problem, path_of
from swarmd.errors import SwarmdError

__all__ = ["check_out", "make", "solution"]

MAX_SOLUTION = 1 << 20
"""Bytes; nobody needs more for one function."""
GIT_S = 60
SETTINGS = '[tool.pytest.ini_options]\ntestpaths = ["tests"]\npythonpath = ["."]\n'
_ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    # The same commit each time: what a model is told of it is the same, too.
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.com" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
}


def make(problem: Problem, folder: Path) -> None:
    """Make ``folder`` the repository of ``problem``, with one commit on ``main``. What was there goes.

    Raises SwarmdError E-BENCH-GIT when git cannot.
    """
    shutil.rmtree(folder, ignore_errors=True)
    durable.make_dirs(folder)
    files = {path_of(): problem.source, "pyproject.toml": SETTINGS}
    if problem.test:
        files[TEST_PATH] = problem.test
    for name, text in files.items():
        durable.make_dirs((folder / name).parent)
        (folder / name).write_text(text, encoding="utf-8")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "Begin")


def check_out(folder: Path, branch: str) -> None:
    """Have ``branch`` in the working tree. Raises SwarmdError E-BENCH-GIT."""
    _git(folder, "checkout", "-q", "--force", branch)


def solution(folder: Path) -> str | None:
    """The file that was to be changed, as it is now; None when it is no such file any more."""
    try:
        return durable.read_regular(folder / path_of(), MAX_SOLUTION).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _git(folder: Path, *words: str) -> None:
    argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            argv, env=_ENVIRONMENT, capture_output=True, text=True, timeout=GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SwarmdError(f"git cannot be run: {error}", code="E-BENCH-GIT", hint="Install git.") from error
    if done.returncode != 0:
        raise SwarmdError(f"git {words[0]} failed: {done.stderr.strip()[-300:]}", code="E-BENCH-GIT")
