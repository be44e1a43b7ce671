"""One line for each problem that was tried, in ``results.jsonl``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from swarmd import durable
from swarmd.errors import SwarmdError

__all__ = ["FILE", "Key", "Row", "append", "read"]

FILE = "results.jsonl"

Key = tuple[str, str, str, int]
"""Suite, label, task and seed: what is there is not run again."""


@dataclass(frozen=True)
class Row:
    """What came of one problem. Seconds are those of a run without any cached reply."""

    suite: str
    label: str
    """The runner's name, or that of the variant."""
    runner: str
    task_id: str
    seed: int
    solved: bool
    """All cases pass: the hidden ones, and those that were shown."""
    hidden: bool
    """All hidden cases pass."""
    visible: bool | None
    """All shown cases pass; None: none were shown."""
    claimed: bool
    """The runner says that it has solved it."""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    cached_calls: int = 0
    """Calls that were answered from the cache; they count in all else as they did when recorded."""
    aborted_calls: int = 0
    seconds: float = 0.0
    """From handing over the request to the answer."""
    model_seconds: float = 0.0
    """Of these, those in which a model was busy."""
    gate_seconds: float = 0.0
    """Of the others, those in which tests or other gates ran."""
    timed_out: bool = False
    error: str = ""
    """Code and message."""
    detail: dict[str, Any] = field(default_factory=dict)
    """What else the runner tells."""
    variant: str = ""
    """Digest of everything that makes results comparable: data, models, options."""
    version: str = ""
    at: str = ""

    @property
    def key(self) -> Key:
        """Which trial it is."""
        return self.suite, self.label, self.task_id, self.seed

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def rest_seconds(self) -> float:
        """Seconds in which neither a model nor a gate was busy."""
        return max(0.0, self.seconds - self.model_seconds - self.gate_seconds)


def append(folder: Path, row: Row) -> None:
    """Add ``row`` to the results in ``folder``; a torn last line is closed first. Raises OSError."""
    line = orjson.dumps(asdict(row)) + b"\n"
    fd = os.open(folder / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        durable.append(fd, [b"\n" + line if torn else line])
    finally:
        os.close(fd)


def read(folder: Path) -> list[Row]:
    """All rows in ``folder``, the last of each trial. Torn lines are passed over.

    Raises SwarmdError E-BENCH-RESULTS when the file cannot be read.
    """
    try:
        data = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SwarmdError(f"{folder / FILE} cannot be read: {error}", code="E-BENCH-RESULTS") from error
    known = {one.name for one in fields(Row)}
    found: dict[Key, Row] = {}
    for line in data.splitlines():
        try:
            values = orjson.loads(line)
            row = Row(**{name: value for name, value in values.items() if name in known})
        except (ValueError, TypeError, AttributeError):
            continue
        found[row.key] = row
    return list(found.values())
