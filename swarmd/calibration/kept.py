"""Trials of a calibration that was interrupted: the same command goes on from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from swarmd import durable
from swarmd.calibration.exercises import version
from swarmd.calibration.results import MAX_FILE, file_of
from swarmd.home import Home
from swarmd.messages import Calibration, ChatCall, FormTrial, ModelIdentity

__all__ = ["KeptTrials", "forget"]

_TRIALS = TypeAdapter(dict[str, FormTrial])


class KeptTrials:
    """Those of one model, each by what was asked: asked in another way, or of another model under the same
    name, it is another trial."""

    def __init__(self, home: Home, identity: ModelIdentity) -> None:
        """Reads what is there; what cannot be read is as if it were not."""
        self._path = _file(home, identity.model)
        self._identity = orjson.dumps(identity.model_dump(), option=orjson.OPT_SORT_KEYS)
        self._trials = _read(self._path)

    def find(self, call: ChatCall, trial: FormTrial) -> FormTrial | None:
        """How ``trial``, for which ``call`` would be made, went before; None: it is to be done."""
        return self._trials.get(self._key(call, trial))

    def keep(self, call: ChatCall, trial: FormTrial) -> None:
        """Keep how it went. A disk that is full only costs the trial."""
        self._trials[self._key(call, trial)] = trial
        try:
            durable.make_dirs(self._path.parent)
            durable.write(self._path, _TRIALS.dump_json(self._trials), durable=False)
        except OSError:
            return

    def _key(self, call: ChatCall, trial: FormTrial) -> str:
        what = [version(), call.model_dump(), trial.exercise, trial.form]
        asked = orjson.dumps(what, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self._identity + b"\0" + asked).hexdigest()


def forget(home: Home, measured: Calibration) -> None:
    """There is a result of these trials: they are not needed any more. Those of a longer run that was
    interrupted stay. Raises OSError."""
    path = _file(home, measured.identity.model)
    done = {(trial.exercise, trial.form) for trial in measured.trials}
    left = {key: one for key, one in _read(path).items() if (one.exercise, one.form) not in done}
    if left:
        durable.write(path, _TRIALS.dump_json(left), durable=False)
    else:
        durable.remove(path)


def _file(home: Home, model: str) -> Path:
    """Beside its result."""
    return file_of(home, model).with_suffix(".trials")


def _read(path: Path) -> dict[str, FormTrial]:
    try:
        return _TRIALS.validate_json(durable.read_regular(path, MAX_FILE))
    except (OSError, ValidationError):
        return {}
