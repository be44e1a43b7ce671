"""The files that one log consists of.

A log grows in ``<name>.jsonl``, its active segment. A full one moves to ``archive/`` beside it, as
``<name>.<number of its first line>.jsonl``, and the next begins with a line ``segment_started`` whose
``data`` says at which byte of the log it does (``base``, counted from the log's first line on) and
which file came before (``previous``). Archived segments never change; the oldest may be moved away.

Whoever reads opens the active segment first and the archive afterwards, so that a rotation in
between takes nothing from them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from swarmd import durable

__all__ = [
    "ARCHIVE",
    "GENESIS",
    "MAX_LINE",
    "STARTED",
    "Opening",
    "archived",
    "archived_before",
    "archived_path",
    "fresh_path",
    "move_to_archive",
    "opening",
    "opening_of",
    "settle",
    "take_back",
]

GENESIS = "0" * 64
"""``prev`` of a log's first line."""

MAX_LINE = 64 * 1024
"""Longest line in bytes, newline included; anything larger is an artifact."""

ARCHIVE = "archive"
"""The folder beside a log that its full segments move to."""

STARTED = "segment_started"
"""The event of a line that begins a segment."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Opening:
    """What the first line of a segment says of it."""

    seq: int
    """Number of that line."""
    base: int
    """Where in the log it begins, in bytes."""
    length: int
    """Bytes of that line, if it is a ``segment_started``; 0 otherwise."""


def archived_path(path: Path, seq: int) -> Path:
    """Where the segment of the log ``path`` that begins with line ``seq`` is kept."""
    return path.parent / ARCHIVE / f"{path.stem}.{seq:012d}.jsonl"


def fresh_path(path: Path) -> Path:
    """Where the next segment is made before it takes the log's name."""
    return path.with_name(f".{path.name}.next")


def archived(path: Path) -> list[tuple[int, Path]]:
    """The archived segments of the log ``path``, the oldest first, each behind its first line's number."""
    pattern = re.compile(rf"{re.escape(path.stem)}\.(\d{{12,}})\.jsonl")
    try:
        names = [entry.name for entry in (path.parent / ARCHIVE).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = ((pattern.fullmatch(name), name) for name in names)
    return sorted((int(match[1]), path.parent / ARCHIVE / name) for match, name in found if match)


def archived_before(path: Path, active: Opening | None) -> list[tuple[int, Path]]:
    """The archived segments that come before the active one, which may not have begun (None). A crash
    in the middle of a rotation can leave one that is the active one itself."""
    return [(seq, old) for seq, old in archived(path) if active is None or seq < active.seq]


def opening(file: BinaryIO) -> Opening | None:
    """What the first line of ``file`` says, which is read from its beginning. None when it has no whole
    line. Raises ValueError when that is no log line."""
    file.seek(0)
    raw = file.readline(MAX_LINE + 1)
    if not raw.endswith(b"\n"):
        return None
    line = orjson.loads(raw)
    try:
        if line.get("event") == STARTED:
            return Opening(int(line["seq"]), int(line["data"]["base"]), len(raw))
        return Opening(int(line["seq"]), 0, 0)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"the first line is not a log line: {error}") from error


def opening_of(path: Path) -> Opening | None:
    """As ``opening``, of the file ``path``; None when it is not there."""
    try:
        with path.open("rb") as file:
            return opening(file)
    except FileNotFoundError:
        return None


def settle(path: Path) -> None:
    """Undo a rotation of the log ``path`` that was interrupted. Nobody may have it open to write.

    Raises ValueError when the active segment does not begin with a log line.
    """
    fresh_path(path).unlink(missing_ok=True)
    if not archived(path):
        return
    active = opening_of(path)
    if active is None:
        take_back(path)
        return
    for seq, old in archived(path):
        if seq >= active.seq and _is_part_of(old, path):
            durable.remove(old, durable=True)


def take_back(path: Path) -> None:
    """Make the newest archived segment the active one again, in place of what has that name now."""
    newest = archived(path)[-1][1]
    newest.replace(path)
    durable.sync_dir(path.parent)
    durable.sync_dir(newest.parent)


def move_to_archive(path: Path, target: Path) -> None:
    """Give the active segment its name in the archive, durably; where the file system has hard links,
    it keeps the old name as well until another file takes it. Raises OSError."""
    if not target.parent.is_dir():
        durable.make_dirs(target.parent)
        durable.sync_dir(path.parent)
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links here: until the next segment has the name, nothing has
        if target.exists():
            raise
        path.rename(target)
    durable.sync_dir(target.parent)


def _is_part_of(old: Path, path: Path) -> bool:
    """Whether ``path`` begins with all of ``old``: a copy of a home splits what was one file."""
    if old.samefile(path):
        return True
    with old.open("rb") as left, path.open("rb") as right:
        while block := left.read(_BLOCK):
            if right.read(len(block)) != block:
                return False
    return True
