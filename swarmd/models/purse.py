"""What has been spent on paid models: one small file, changed before a call is made and after it."""

from __future__ import annotations

import datetime
from pathlib import Path

import orjson
from pydantic import BaseModel, Field, ValidationError

from swarmd import durable
from swarmd.errors import ModelError

__all__ = ["Purse", "Spent"]

KEPT_DAYS = 32
"""Older days are only part of the home's sum; requests that paid for nothing in that time are forgotten."""
MAX_BYTES = 16 * 1024 * 1024


class Spent(BaseModel):
    """In micro-USD, reservations of calls in flight included."""

    home: int = 0
    days: dict[datetime.date, int] = Field(default_factory=dict)
    requests: dict[str, int] = Field(default_factory=dict)
    last: dict[str, datetime.date] = Field(default_factory=dict)
    """The day on which each request last paid."""


class Purse:
    """The file. A call that was killed with its broker stays reserved: rather too little is spent than too
    much."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spent: Spent | None = None

    def read(self) -> Spent:
        """What is spent. Raises ModelError when the file cannot be read: then nothing may be spent."""
        if self._spent is None:
            try:
                self._spent = Spent.model_validate_json(durable.read_regular(self._path, MAX_BYTES))
            except FileNotFoundError:
                self._spent = Spent()
            except (OSError, ValidationError) as error:
                raise ModelError(
                    f"what was spent on paid models cannot be read from {self._path}: {error}",
                    code="E-BUDGET-FILE",
                    hint="Mend the file, or remove it: then counting begins at 0.",
                ) from error
        return self._spent

    def add(self, request_id: str, day: datetime.date, micro_usd: int) -> None:
        """Count ``micro_usd``, which may be negative. Raises ModelError when it cannot be written."""
        spent = self.read().model_copy(deep=True)
        spent.home += micro_usd
        spent.days[day] = spent.days.get(day, 0) + micro_usd
        spent.requests[request_id] = spent.requests.get(request_id, 0) + micro_usd
        spent.last[request_id] = day
        _forget(spent, day - datetime.timedelta(days=KEPT_DAYS))
        try:
            durable.write(self._path, orjson.dumps(spent.model_dump(mode="json")))
        except OSError as error:
            problem = f"what is spent on paid models cannot be written to {self._path}: {error}"
            raise ModelError(problem, code="E-BUDGET-FILE", hint="Is the disk full?") from error
        self._spent = spent


def _forget(spent: Spent, before: datetime.date) -> None:
    spent.days = {day: cost for day, cost in spent.days.items() if day >= before}
    spent.last = {name: day for name, day in spent.last.items() if day >= before}
    spent.requests = {name: cost for name, cost in spent.requests.items() if name in spent.last}
