"""What the folders show of the running daemon: packets that wait, the registry, and its own status.

Views are for people and programs to read. They are written now and then, never waited for, and can be
lost without harm.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import orjson

from swarmd import durable
from swarmd.clock import rfc3339
from swarmd.council.registry import Registry
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.intake import Intake
from swarmd.daemon.schedule import Scheduler
from swarmd.messages import Packet, dump

__all__ = ["Views"]

MAX_SHOWN = 1000
"""Most packets that are shown as waiting at one time."""
SHOWN_AFTER = 2
"""Calls of ``write`` that a packet must have waited for: what is handed on at once is not worth a file."""


class Views:
    """Writes them, once for each call of ``write``."""

    def __init__(self, context: Context, crew: Crew, scheduler: Scheduler, intake: Intake) -> None:
        self._context = context
        self._crew = crew
        self._scheduler = scheduler
        self._intake = intake
        self._shown: set[Path] = set(context.home.tasks.glob("*/*.json"))
        self._seen: dict[tuple[str, str | None], int] = {}
        """How often a packet was found waiting, by its request and task."""

    def write(self) -> None:
        """Bring everything up to date."""
        self._crew.publish()
        with contextlib.suppress(OSError):  # the next pass shows it
            self._show_waiting()
            self._write_status("open")

    def write_last(self, registry: Registry) -> None:
        """The daemon ends: nobody runs, and nothing is taken."""
        with contextlib.suppress(OSError):
            registry.write()
            self._show_waiting()
            self._write_status("stopped")

    def _show_waiting(self) -> None:
        """Packets that wait for an agent, as files in bus/tasks/<type>/."""
        wanted = self._long_waiting()
        for path in self._shown - wanted.keys():
            durable.remove(path)
        for path in wanted.keys() - self._shown:
            durable.make_dirs(path.parent)
            durable.write(path, dump(wanted[path].model_copy(update={"status": "ready"})), durable=False)
        self._shown = set(wanted)

    def _long_waiting(self) -> dict[Path, Packet]:
        waiting: dict[Path, Packet] = {}
        orders = [work for work in self._scheduler.queue.shown() if work.kind == "order"]
        self._seen = {work.key: self._seen.get(work.key, 0) + 1 for work in orders}
        for work in orders:
            found = self._context.task(work.request_id, work.task_id)
            if self._seen[work.key] > SHOWN_AFTER and found and len(waiting) < MAX_SHOWN:
                packet = found[1].packet
                waiting[self._context.home.tasks / packet.agent_type / f"{packet.packet_id}.json"] = packet
        return waiting

    def _write_status(self, running: str) -> None:
        context = self._context
        facts = {
            "at": rfc3339(context.clock.now()),
            "pid": os.getpid(),
            "durability": context.settings.daemon.durability,
            "paused": context.state.paused,
            "intake": self._intake.state if running == "open" else running,
            "active": len(context.state.requests),
            "waiting": self._intake.depths(),
            "waiting_for_space": context.journal.waiting_for_space,
        }
        raw = orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        durable.write(context.home.status_file, raw, durable=False)
