"""Which log lines a person wants to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from swarmd.audit.pretty import LEVELS
from swarmd.errors import UsageError

__all__ = ["LogFilter", "moment"]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> datetime:
    """The moment that ``text`` means: an age such as 90s, 10m, 2h, 1d, or an RFC 3339 time (local,
    if it has no zone). Raises UsageError."""
    age = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if age:
        return now - timedelta(**{UNITS[age[2]]: int(age[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time", hint="Give an age (90s, 10m, 2h, 1d) or a time (2026-11-21T14:00)."
        ) from None


@dataclass(frozen=True)
class LogFilter:
    """What a line must be like; None: anything."""

    task: str | None = None
    """A request id, a task id, or both: ``request/task``."""
    agent: str | None = None
    """An agent (coding.1), or a type (coding)."""
    level: str | None = None
    """The least level."""
    since: datetime | None = None

    def __call__(self, line: dict[str, Any]) -> bool:
        """Whether ``line`` is to be shown. Lines with fields of the wrong type never raise."""
        return self._is_task(line) and self._is_agent(line) and self._is_level(line) and self._is_recent(line)

    def _is_task(self, line: dict[str, Any]) -> bool:
        if self.task is None:
            return True
        request, _, task = self.task.partition("/")
        if not task:
            return request in (line.get("request_id"), line.get("task_id"))
        return line.get("request_id") == request and line.get("task_id") == task

    def _is_agent(self, line: dict[str, Any]) -> bool:
        if self.agent is None:
            return True
        data = line.get("data")
        of_data = (
            [data.get(key) for key in ("agent_type", "agent_id", "client")] if isinstance(data, dict) else []
        )
        names = [str(name) for name in (line.get("actor"), *of_data) if name]
        return any(name == self.agent or name.startswith(f"{self.agent}.") for name in names)

    def _is_level(self, line: dict[str, Any]) -> bool:
        if self.level is None:
            return True
        level = str(line.get("level"))
        return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.level)

    def _is_recent(self, line: dict[str, Any]) -> bool:
        if self.since is None:
            return True
        try:
            return datetime.fromisoformat(str(line.get("ts"))) >= self.since
        except (ValueError, TypeError):
            return True
