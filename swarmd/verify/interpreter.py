"""Which Python a project's gates run with."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmd.errors import ConfigError
from swarmd.sandbox.paths import interpreter_mounts

__all__ = ["ENVIRONMENTS", "Interpreter", "choose_interpreter"]

ENVIRONMENTS = (".venv", "venv")
"""Where a project keeps its own Python environment."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, at the path that it has outside and inside the sandbox."""

    python: Path
    origin: Literal["project", "settings", "swarmd"]
    read_only: tuple[tuple[Path, Path], ...] = ()
    """(on this machine, in the sandbox): its environment and the installation that it rests on."""


def choose_interpreter(workspace: Path, tracked: Collection[str], setting: str | None) -> Interpreter:
    """The workspace's .venv or venv, else ``setting`` (settings.python), else swarmd's own.

    An environment that is tracked in the repository is not used: whoever wrote the repository
    could make it show any folder of this machine. Raises ConfigError when ``setting`` is no file.
    """
    for name in ENVIRONMENTS:
        python = workspace / name / "bin" / "python"
        foreign = any(path == name or path.startswith(f"{name}/") for path in tracked)
        if python.is_file() and not foreign and not (workspace / name).is_symlink():
            return _interpreter(python, "project")
    if setting is None:
        return _interpreter(Path(sys.executable), "swarmd")
    python = Path(setting).expanduser()
    if not (python.is_absolute() and python.is_file()):
        raise ConfigError(
            f"the setting python is {setting!r}, which is not a file",
            hint='Give "python" in swarmd.toml the absolute path of an interpreter.',
            field="python",
        )
    return _interpreter(python, "settings")


def _interpreter(python: Path, origin: Literal["project", "settings", "swarmd"]) -> Interpreter:
    return Interpreter(python, origin, tuple((path, path) for path in interpreter_mounts(python)))
