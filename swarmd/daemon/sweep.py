"""What a daemon that was killed in the middle of a write left behind."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from swarmd.agents import lastwords
from swarmd.bus.spool import AgentSpool
from swarmd.home import Home

__all__ = ["sweep_stale"]

_TEMPORARY = re.compile(r"\..{1,200}\.[0-9a-f]{12}\.tmp")
"""As ``durable.write_group`` names what is about to be renamed."""
_ASIDE = re.compile(r"\.removed-[a-z][a-z0-9-]{0,31}\.[0-9]{1,9}-[0-9a-f]{8}(-\d+)?")
"""As a spool is named while it is removed."""


def sweep_stale(home: Home) -> list[str]:
    """Remove half-written files wherever the master writes, and spools whose removal was cut short.
    Returns their paths, relative to the home. The inbox is not looked at: what is begun there is others'.

    Only for whoever holds the home's lock, before any worker runs: such a file is nobody's then. What
    cannot be removed stays and is not in the list.
    """
    swept = []
    single = (home.root, home.bus, home.wal, home.outbox, home.deadletter, home.logs, home.keys)
    for folder in (*single, lastwords.folder(home), *_below(home.tasks), *_spools(home), *_soiled(home)):
        for path in _temporary(folder):
            with contextlib.suppress(OSError):
                path.unlink()
                swept.append(str(path.relative_to(home.root)))
    for path in _below(home.spools):
        if _ASIDE.fullmatch(path.name):
            with contextlib.suppress(OSError):
                AgentSpool.finish_removal(path)
                swept.append(str(path.relative_to(home.root)))
    return swept


def _soiled(home: Home) -> Iterator[Path]:
    """The folders of active requests, of which there may be many, that hold anything half-written."""
    waiting = [str(home.active)]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found = list(entries)
            waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
            if any(entry.name.endswith(".tmp") for entry in found):
                yield Path(folder)


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries)
    except OSError:  # it was never made, or is no folder
        return []


def _below(folder: Path) -> Iterator[Path]:
    """The folders right in ``folder``; no link is followed."""
    return (path for path in _entries(folder) if path.is_dir() and not path.is_symlink())


def _spools(home: Home) -> Iterator[Path]:
    for root in _below(home.spools):
        yield root
        yield from _below(root)


def _temporary(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if _TEMPORARY.fullmatch(path.name) and not path.is_dir()]
