"""How long ended requests are kept: by age, number and size, the oldest go first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from swarmd import durable
from swarmd.bus.outbox import result_file
from swarmd.home import Home

__all__ = ["Keep", "sweep"]


@dataclass(frozen=True)
class Keep:
    """What is kept; 0 anywhere: no limit."""

    days: int = 0
    requests: int = 0
    size: int = 0
    """In bytes, over all folders in bus/done/."""


@dataclass(frozen=True)
class _Ended:
    day: date
    folder: Path


def sweep(home: Home, today: date, keep: Keep, spare: Collection[str]) -> list[str]:
    """Remove ended requests beyond ``keep``, with their results, and return their ids.

    Those in ``spare`` (active again, or not published yet) are never touched, and neither is what is in
    bus/done/ without being a day's folder. May be called in a thread, and repeated after a crash.
    """
    ended = [found for found in _newest_first(home) if found.folder.name not in spare]
    removed = []
    size = 0
    for number, found in enumerate(ended):
        size += _size(found.folder) if keep.size else 0
        old = keep.days and found.day < today - timedelta(days=keep.days)
        many = keep.requests and number >= keep.requests
        if old or many or (keep.size and size > keep.size):
            durable.remove(result_file(home, found.folder.name))
            shutil.rmtree(found.folder, ignore_errors=True)
            shutil.rmtree(home.workspace(found.folder.name) / "repo.git", ignore_errors=True)
            removed.append(found.folder.name)
    _remove_empty_days(home, today)
    return removed


def _newest_first(home: Home) -> Iterator[_Ended]:
    for day, folder in sorted(_days(home), reverse=True):
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        entries.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_ctime_ns, reverse=True)
        for entry in entries:
            yield _Ended(day, Path(entry.path))


def _days(home: Home) -> Iterator[tuple[date, Path]]:
    for path in home.done.iterdir() if home.done.is_dir() else ():
        try:
            day = date.fromisoformat(path.name)
        except ValueError:
            continue
        if path.is_dir() and not path.is_symlink():
            yield day, path


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total


def _remove_empty_days(home: Home, today: date) -> None:
    for day, folder in list(_days(home)):
        if day < today and not any(folder.iterdir()):
            folder.rmdir()
