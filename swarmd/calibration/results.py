"""What was measured, as a file for each model in the home's calibration/ folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.calibration.exercises import version
from swarmd.config import Settings
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import Calibration, ModelIdentity, dump, load
from swarmd.models.catalogue import CATALOGUE

__all__ = ["CalibrationError", "applies", "file_of", "identity", "read", "save"]

MAX_FILE = 4 * 1024 * 1024
"""Longest file that is read, in bytes."""


class CalibrationError(SwarmdError):
    """Measure again with "swarmd model calibrate", or remove the file."""

    code = "E-CALIBRATION"


def identity(settings: Settings, model: str) -> ModelIdentity:
    """Which model the settings mean by ``model`` now, without asking a server or reading weights."""
    values = settings.models[model]
    embedded = values.provider in ("auto", "embedded")
    return ModelIdentity(
        model=model,
        provider=values.provider,
        weights=values.weights if embedded else None,
        digest=_digest(values.weights) if embedded and values.weights else None,
        name=values.name if values.provider != "embedded" else None,
        base_url=values.base_url if values.provider == "openai" else None,
    )


def _digest(weights: str) -> str | None:
    if weights in CATALOGUE:
        return f"sha256:{CATALOGUE[weights].sha256}"
    try:
        status = Path(weights).stat()
    except (OSError, ValueError):
        return None
    return f"file:{status.st_size}-{status.st_mtime_ns}"


def file_of(home: Home, model: str) -> Path:
    """Where the result of ``model`` lies; a model's name may be anything, a file's may not."""
    readable = re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-.")[:48]
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return home.calibration / f"{readable}-{digest}.json"


def save(home: Home, calibration: Calibration) -> Path:
    """Keep ``calibration`` in place of an older one of its model. Raises OSError."""
    path = file_of(home, calibration.identity.model)
    durable.make_dirs(path.parent)
    durable.write(path, dump(calibration))
    return path


def read(path: Path) -> Calibration | None:
    """The result in ``path``; None when there is none. Raises CalibrationError when it cannot be read."""
    try:
        return load(Calibration, durable.read_regular(path, MAX_FILE))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CalibrationError(f"{path} is no calibration: {where} {first['msg']}"[:400]) from error
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}") from error


def applies(calibration: Calibration, settings: Settings) -> bool:
    """Whether it was measured on the model that the settings mean now, with the exercises of now."""
    model = calibration.identity.model
    known = model in settings.models and calibration.identity == identity(settings, model)
    return known and calibration.exercises == version()
