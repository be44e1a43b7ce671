"""The exercises that models are calibrated with. They come with swarmd, and are the same for everyone."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from swarmd.errors import ConfigError
from swarmd.home import seed_folder

__all__ = ["Exercise", "load_exercises", "version"]

Text = Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]


class Exercise(BaseModel):
    """One edit that is asked for. calibration/README.md says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    path: Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.py$")]
    action: Text
    source: Text
    solution: Text
    check: Text
    symbols: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()


def _folder() -> Path:
    return seed_folder() / "calibration" / "exercises"


@cache
def load_exercises(folder: Path | None = None) -> tuple[Exercise, ...]:
    """All exercises, in the order of their names. Raises ConfigError when the installation lacks them."""
    found = []
    for path in sorted((folder or _folder()).glob("*.toml")):
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            found.append(Exercise.model_validate({**data, "name": path.stem}))
        except (OSError, ValueError, ValidationError) as error:
            raise ConfigError(f"{path} is no exercise: {error}", hint="Install swarmd again.") from error
    if not found:
        raise ConfigError(f"there are no exercises in {folder or _folder()}", hint="Install swarmd again.")
    return tuple(found)


@cache
def version(folder: Path | None = None) -> str:
    """A hash over everything that the exercises say: what was measured with others cannot be compared."""
    digest = hashlib.sha256()
    for exercise in load_exercises(folder):
        digest.update(exercise.model_dump_json().encode() + b"\0")
    return digest.hexdigest()[:16]
