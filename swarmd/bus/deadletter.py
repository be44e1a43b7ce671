"""What could not be taken: kept, beside the reason."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.bus.naming import printable, safe_file_name
from swarmd.clock import rfc3339, short_id
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import PRIORITIES, DeadLetter, dump, load

__all__ = ["bury", "listing"]

_RECORD = ".error.json"
_MAX_RECORD = 64 * 1024


def bury(home: Home, path: Path, error: RequestError, now: datetime) -> DeadLetter:
    """Move ``path`` to bus/deadletter/, whatever it is, beside a record that says why; return that.

    A link is moved, not followed; nothing there is overwritten. The record is written first, so that
    no file lies there without one. What cannot be moved stays, and the record's hint says so. Raises
    OSError when not even the record can be written.
    """
    folder = home.deadletter
    durable.make_dirs(folder)
    name = _free_name(folder, path.name)
    letter = DeadLetter(
        name=name,
        original_name=printable(path.name),
        code=error.code,
        field=error.field,
        message=printable(error.message, 2000),
        hint=error.hint,
        at=rfc3339(now),
        priority=next((priority for priority in PRIORITIES if priority == path.parent.name), None),
    )
    record = folder / (name + _RECORD)
    durable.write(record, dump(letter))
    try:
        path.rename(folder / name)
    except FileNotFoundError:
        return letter  # it went away by itself; the reason stays
    except OSError as failure:
        where = printable(str(path), 400)
        hint = f"{letter.hint} It could not be moved from {where} ({failure.strerror}): remove it there."
        letter = letter.model_copy(update={"hint": hint})
        durable.write(record, dump(letter))
    return letter


def _free_name(folder: Path, original: str) -> str:
    wanted = safe_file_name(original)
    if wanted.endswith(_RECORD):
        wanted = wanted.removesuffix(_RECORD) + "-error.json"
    name = wanted
    while not _is_free(folder, name, original):
        stem, dot, suffix = wanted.rpartition(".")
        name = f"{stem or suffix}-{short_id(6)}{dot if stem else ''}{suffix if stem else ''}"
    return name


def _is_free(folder: Path, name: str, original: str) -> bool:
    """Free, or a record of this same file that a crash kept from following."""
    path, record = folder / name, folder / (name + _RECORD)
    if path.is_symlink() or path.exists():
        return False
    if not (record.is_symlink() or record.exists()):
        return True
    letter = _read(record)
    return letter is not None and letter.original_name == printable(original)


def _read(record: Path) -> DeadLetter | None:
    try:
        letter = load(DeadLetter, durable.read_regular(record, _MAX_RECORD))
    except (OSError, ValidationError):
        return None
    return letter if letter.name + _RECORD == record.name else None


def listing(home: Home) -> list[DeadLetter]:
    """Every record, oldest first; a file there that is no record is passed over."""
    if not home.deadletter.is_dir():
        return []
    letters = (_read(path) for path in home.deadletter.iterdir() if path.name.endswith(_RECORD))
    return sorted((letter for letter in letters if letter), key=lambda letter: (letter.at, letter.name))
