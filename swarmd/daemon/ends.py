"""How a worker ended, as evidence for whoever has to find out why."""

from __future__ import annotations

import os
import signal
from typing import Any

from swarmd.agents import lastwords
from swarmd.agents.handle import Worker
from swarmd.agents.zygote import EXIT_BOOT_FAILURE
from swarmd.clock import Clock
from swarmd.home import Home

__all__ = ["dump", "evidence"]


def dump(worker: Worker, home: Home, clock: Clock) -> dict[str, str]:
    """Save the stacks that a crashed or hung worker left, and say where; empty when it left none."""
    if not worker.last_words:
        return {}
    try:
        path = lastwords.save(home, worker.name, worker.last_words, clock.now())
    except OSError as error:
        return {"dump": f"could not be written: {error}"}
    return {"dump": str(path.relative_to(home.root))}


def evidence(worker: Worker, status: int | None, *, expected: bool) -> dict[str, Any]:
    """How it ended (``status``: its wait status; None: with its zygote) and, unless that was ``expected``,
    what it was doing."""
    code = os.waitstatus_to_exitcode(status) if status is not None else None
    data: dict[str, Any] = {
        "exit_code": code if code is not None else "with its zygote",
        "reason": _why(worker, code),
    }
    if code is not None and code < 0:
        data["signal"] = _signal_name(-code)
    if not expected:
        data |= {"work": worker.work, "progress": worker.progress, "doing": worker.doing}
    return data


def _why(worker: Worker, exit_code: int | None) -> str:
    if exit_code is None:
        return "its zygote ended"
    if worker.fault:
        return worker.fault
    if worker.stopping:
        return "asked to stop" if worker.work is None else "its work was cancelled"
    if exit_code == EXIT_BOOT_FAILURE and not worker.ready:
        return "it could not start; logs/daemon.out has the reason"
    if exit_code < 0:
        return f"ended by signal {_signal_name(-exit_code)}"
    return "it failed; logs/daemon.out has the traceback" if exit_code else "it left"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return str(number)
