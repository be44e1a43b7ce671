"""Running git on repositories that nobody has vouched for.

A repository can carry programs: hooks, filters, fsmonitor, textconv, signing and credential helpers,
ssh commands, remote helpers. None of them may start because swarmd looked at it. Therefore:

- the environment is empty but for what is set here, and the user's global and system configuration
  are not read (``user_config`` is the one exception: it only reads values);
- ``GIT_DIR`` and ``GIT_WORK_TREE`` are always given, so that a ``.git`` that somebody planted is
  never discovered;
- every setting that names a program is overridden on the command line, which wins over the
  repository's own configuration; every transport is switched off;
- ``filter.<name>`` cannot be overridden without knowing the names: commands that would apply filters
  run only with a git folder of ours (see ``dirtiness`` and ``private``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from swarmd.errors import WorkspaceError

__all__ = ["MINIMUM_VERSION", "Finished", "Git", "version"]

MINIMUM_VERSION = (2, 38)
"""The first git with ``merge-tree --write-tree``."""

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.sshCommand=/bin/false",
    "core.askPass=/bin/false",
    "core.alternateRefsCommand=/bin/false",
    "core.editor=/bin/false",
    "core.pager=cat",
    # A commit graph or a bitmap can lie about history; the objects themselves cannot.
    "core.commitGraph=false",
    "pack.useBitmaps=false",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    # git does not sync loose objects by default: a delivered branch must survive power loss.
    "core.fsync=committed,reference",
    "credential.helper=",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "diff.ignoreSubmodules=all",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "log.showSignature=false",
    "gc.auto=0",
    "maintenance.auto=false",
)

_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    # Empty: no transport at all. It wins over protocol.<name>.allow in the repository.
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "/bin/false",
}

_USER_VARIABLES = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")


@dataclass(frozen=True)
class Finished:
    """How a run of git ended."""

    code: int
    output: bytes
    errors: str
    """Standard error, trimmed and without control characters."""


class Git:
    """git on one repository: its git folder, and a working tree where there is one."""

    def __init__(
        self,
        git_dir: Path,
        work_tree: Path | None = None,
        *,
        index: Path | None = None,
        objects: Path | None = None,
    ) -> None:
        """``index`` and ``objects`` stand in for those of ``git_dir``."""
        self.git_dir = git_dir
        self.work_tree = work_tree
        self._environment = dict(_ENVIRONMENT, GIT_DIR=str(git_dir), PATH=os.defpath)
        for name, path in (
            ("GIT_WORK_TREE", work_tree),
            ("GIT_INDEX_FILE", index),
            ("GIT_OBJECT_DIRECTORY", objects),
        ):
            if path is not None:
                self._environment[name] = str(path)

    def with_index(self, index: Path) -> Git:
        """The same repository with another index file."""
        return Git(self.git_dir, self.work_tree, index=index)

    def run(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002  (the name that subprocess uses)
        check: bool = True,
        timeout: float = 120.0,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> bytes:
        """Run ``git args`` and return what it printed.

        ``timeout`` is in seconds. Raises WorkspaceError: E-WORKSPACE-GIT when git fails and ``check``
        is set, E-WORKSPACE-TIMEOUT when it takes too long.
        """
        finished = self.attempt(*args, input=input, timeout=timeout, env=env, stdin=stdin, stdout=stdout)
        if check and finished.code != 0:
            raise WorkspaceError(
                f"git {args[0]} failed in {self.git_dir}: {finished.errors or f'exit {finished.code}'}",
                code="E-WORKSPACE-GIT",
                hint=f'See whether "git -C {self.git_dir} fsck" reports damage, then try again.',
            )
        return finished.output

    def text(self, *args: str) -> str:
        """What ``git args`` printed, without the final newline."""
        return os.fsdecode(self.run(*args)).removesuffix("\n")

    def attempt(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002
        timeout: float = 120.0,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> Finished:
        """Like ``run``, for runs whose failure means something."""
        argv = [_binary(), "--no-pager"]
        for setting in _SETTINGS:
            argv += ["-c", setting]
        return _finish(
            [*argv, *args],
            environment={**self._environment, **(env or {})},
            folder=self.work_tree or self.git_dir,
            data=input,
            timeout=timeout,
            stdin=stdin,
            stdout=stdout,
        )

    def user_config(self, pattern: str) -> dict[str, str]:
        """The settings whose names match ``pattern``, the user's global and system files included.

        Nothing is run on the way: git only reads files. Empty when git cannot read them; raises
        WorkspaceError E-WORKSPACE-TIMEOUT when that takes too long.
        """
        argv = [_binary(), "config", "--includes", "-z", "--get-regexp", pattern]
        own = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")
        environment = {key: value for key, value in self._environment.items() if key not in own}
        environment |= {key: os.environ[key] for key in _USER_VARIABLES if key in os.environ}
        finished = _finish(argv, environment=environment, folder=self.git_dir, timeout=30.0)
        pairs = (entry.partition("\n") for entry in os.fsdecode(finished.output).split("\0") if entry)
        return {name.lower(): value for name, _, value in pairs} if finished.code == 0 else {}


def _finish(
    argv: list[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    timeout: float,
    data: bytes | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> Finished:
    source = subprocess.PIPE if data is not None else stdin or subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=source,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise WorkspaceError(f"git cannot be run in {folder}: {error}", code="E-WORKSPACE-GIT") from error
    with process:
        try:
            output, errors = process.communicate(data, timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):  # its whole session, or a child keeps the pipe
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            command = next((word for word in argv[1:] if word.isalpha()), "")
            raise WorkspaceError(
                f"git {command} in {folder} took more than {timeout:.0f} s",
                code="E-WORKSPACE-TIMEOUT",
                hint="Try again when the machine is less busy; look for pipes or a slow disk in the folder.",
            ) from error
    return Finished(process.returncode, output or b"", _trim(errors))


def _trim(errors: bytes) -> str:
    text = "".join(char if char.isprintable() else " " for char in errors.decode(errors="replace"))
    return re.sub(r"\s+", " ", text).strip()[:500]


@cache
def _binary() -> str:
    path = shutil.which("git")
    if path is None:
        raise WorkspaceError("git is not installed", hint='Install git ("apt-get install git").')
    # A relative entry of PATH would let the current folder choose the program.
    return path if os.path.isabs(path) else str(Path(path).absolute())  # noqa: PTH117


def version() -> tuple[int, ...]:
    """The version of the git that is used, such as (2, 39, 5). Raises WorkspaceError without git."""
    finished = _finish(
        [_binary(), "--version"], environment=dict(_ENVIRONMENT), folder=Path("/"), timeout=10.0
    )
    found = re.search(rb"(\d+)\.(\d+)(?:\.(\d+))?", finished.output)
    return tuple(int(part) for part in found.groups() if part) if found else ()
