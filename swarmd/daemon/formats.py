"""Which edit formats the models of orders handle best, as far as they are calibrated."""

from __future__ import annotations

from swarmd.agents.spec import AgentType
from swarmd.calibration.results import CalibrationError, applies, file_of, read
from swarmd.daemon.context import Context
from swarmd.daemon.journal import event
from swarmd.errors import ConfigError
from swarmd.messages import Calibration, EditForm, Tier

__all__ = ["Formats"]

Stamp = tuple[int, int, int]
"""Inode, size and time of change of a file: another one means that it may say something else."""


class Formats:
    """Reads calibrations, each again when its file has changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, tuple[Stamp, Calibration | None]] = {}

    async def of(self, agent_type: AgentType, tier: Tier) -> list[EditForm]:
        """The formats to ask the model of ``tier`` for, the best first; empty: as if it were not calibrated.

        A file that cannot be read is a warning in the log, once for each change of it.
        """
        settings = self._context.settings
        model = agent_type.model or str(getattr(settings.tiers, tier))
        if model not in settings.models:
            return []
        try:
            calibration = self._read(model)
            current = calibration is not None and applies(calibration, settings)
        except (CalibrationError, ConfigError) as error:
            data = {"model": model, "code": error.code, "reason": error.message[:400]}
            await self._context.journal.commit(event("calibration_unreadable", level="warning", data=data))
            return []
        return list(calibration.order) if calibration is not None and current else []

    def _read(self, model: str) -> Calibration | None:
        """The result of ``model``. Raises CalibrationError when it is first found to be unreadable."""
        path = file_of(self._context.home, model)
        try:
            status = path.lstat()
        except OSError:
            self._known.pop(model, None)
            return None
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(model)
        if known is None or known[0] != stamp:
            self._known[model] = (stamp, None)  # before it is read: a file that is no good is told of once
            self._known[model] = known = (stamp, read(path))
        return known[1]
