"""What has been spent on paid models: one small file, changed before a call is made and after it."""

from __future__ import annotations

import datetime
from pathlib import Path

import orjson
from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from swarmd import durable
from swarmd.errors import ModelError

__all__ = ["Purse", "Spent"]

KEPT_DAYS = 32
"""Older days are only part of the home's sum; requests that paid for nothing in that time are forgotten."""
MAX_BYTES = 16 * 1024 * 1024
MAX_REQUESTS = 10_000
"""Most requests that are remembered, those that paid last."""
LOCK_S = 10.0


class Spent(BaseModel):
    """In micro-USD, reservations of calls in flight included."""

    home: int = 0
    days: dict[datetime.date, int] = Field(default_factory=dict)
    requests: dict[str, int] = Field(default_factory=dict)
    last: dict[str, datetime.date] = Field(default_factory=dict)
    """The day on which each request last paid."""


class Purse:
    """The file, which the broker and commands that ask models share. A call that was killed with its broker
    stays reserved: rather too little is spent than too much."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Spent:
        """What is spent. Raises ModelError when the file cannot be read: then nothing may be spent."""
        try:
            return Spent.model_validate_json(durable.read_regular(self._path, MAX_BYTES))
        except FileNotFoundError:
            return Spent()
        except (OSError, ValidationError) as error:
            raise ModelError(
                f"what was spent on paid models cannot be read from {self._path}: {error}",
                code="E-BUDGET-FILE",
                hint="Mend the file, or remove it: then counting begins at 0.",
            ) from error

    def add(self, request_id: str, day: datetime.date, micro_usd: int) -> None:
        """Count ``micro_usd``, which may be negative. Raises ModelError when it cannot be written."""
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=LOCK_S):
                self._add(request_id, day, micro_usd)
        except (OSError, Timeout) as error:
            problem = f"what is spent on paid models cannot be written to {self._path}: {error}"
            raise ModelError(problem, code="E-BUDGET-FILE", hint="Is the disk full?") from error

    def _add(self, request_id: str, day: datetime.date, micro_usd: int) -> None:
        spent = self.read()
        spent.home += micro_usd
        spent.days[day] = spent.days.get(day, 0) + micro_usd
        spent.requests[request_id] = spent.requests.get(request_id, 0) + micro_usd
        spent.last[request_id] = day
        _forget(spent, day - datetime.timedelta(days=KEPT_DAYS))
        durable.write(self._path, orjson.dumps(spent.model_dump(mode="json")))


def _forget(spent: Spent, before: datetime.date) -> None:
    spent.days = {day: cost for day, cost in spent.days.items() if day >= before}
    spent.last = {name: day for name, day in spent.last.items() if day >= before}
    if len(spent.last) > MAX_REQUESTS:
        newest = sorted(spent.last, key=lambda name: spent.last[name])[-MAX_REQUESTS:]
        spent.last = {name: spent.last[name] for name in newest}
    spent.requests = {name: cost for name, cost in spent.requests.items() if name in spent.last}
