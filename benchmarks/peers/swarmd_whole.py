"""swarmd as it is installed: the real daemon, from the file in the inbox to the file in the outbox.

Each request is checked, accepted, planned (without a model), given to a confined no-op agent under a
lease, and ended, with all its log lines, views and the registry.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cached_property
from pathlib import Path

import orjson

from benchmarks.peers import processes
from benchmarks.peers.folder import Arrivals, replace
from benchmarks.peers.peer import AT_RECEIPT, ROOT, Peer, asked_for
from benchmarks.peers.slots import PAYLOAD_BYTES, current
from swarmd import home as homes
from swarmd.audit import Follower
from swarmd.home import Home
from swarmd.testing import add_noop_type

__all__ = ["Whole"]

_BODY = '{{"user_request":"{}","kind":"research"}}'
_SETTINGS = """
[daemon]
max_active_requests = {active}
min_free_disk_mib = 0
durability = "{durability}"
"""
_SETTING = {"power": "power", "process": "process", "none": "off"}
_READY_S = 120.0


class Whole(Peer):
    title = "swarmd, whole"
    durability = asked_for()
    note = f"{AT_RECEIPT}; plan, lease, registry and chained log included"
    group = "swarmd"
    acks = True
    watchers = 1
    measures = frozenset({"a", "b", "c", "kill", "start"})

    @cached_property
    def _home(self) -> Home:
        return Home(self.folder / "home")

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "SWARMD_HOME": str(self._home.root),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": str(self.folder),
        }

    def start(self, active: int = 64) -> list[int]:
        homes.init(self._home, {**os.environ, **self.environment()})
        self._home.settings_file.write_text(
            _SETTINGS.format(active=active, durability=_SETTING[self.durability])
        )
        (self.folder / "tmp").mkdir()
        return []

    def put(self, text: str) -> None:
        name, body = text[:8], text[: PAYLOAD_BYTES - len(_BODY.format(""))]
        target = f"{self._home.inbox}/normal/{name}.json"
        replace(f"{self.folder}/tmp/{name}", target, _BODY.format(body).encode())

    def commands(self, workers: int) -> list[list[str]]:
        add_noop_type(self._home.agents, max_instances=workers)
        file = self._home.agents / "noop/agent.toml"
        file.write_text(file.read_text().replace('"swarmd.testing"', '"benchmarks.peers.swarmd_role"'))
        return [[sys.executable, "-m", "swarmd", "up"], *super().commands(workers)]

    def work(self, workers: int) -> None:
        """Not a worker: it looks on, and notes each result that appears."""
        slots, arrivals = current(), Arrivals(self._home.outbox, linked=True)
        seen = {index for index in range(slots.size) if slots.read(index)[4]}
        while True:
            for name in arrivals.take(64):
                index = int(name.removesuffix(".json")) if name[0] != "." else -1
                if index >= 0 and index not in seen:
                    slots.finish(index)
                    slots.acked(index)
                seen.discard(index)  # a second result of the same request would count

    @classmethod
    def start_up(cls, folder: Path, active: int) -> dict[str, float]:
        """Seconds until a daemon is ready that was killed with ``active`` requests at work."""
        folder.mkdir()
        os.environ.update(BUS_WORK_S="3600")
        os.environ.pop("BUS_SLOTS", None)
        peer = cls(folder)
        peer.start(active=active)
        (command, *_), log = peer.commands(1), folder / "consumer.log"
        for index in range(active):
            peer.put(f"{index:08d}".ljust(PAYLOAD_BYTES, "x"))
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            daemon = processes.start(command, log, peer.environment(), cwd=str(ROOT))
            try:
                peer._until(daemon, "daemon_ready", 1)
                seconds.append(time.monotonic() - began)
                peer._until(daemon, "request_received", active if len(seconds) == 1 else 0)
            finally:
                processes.kill_tree([daemon])
        return {"active": active, "empty_s": seconds[0], "seconds": seconds[1]}

    def _until(self, daemon: processes.Process, event: str, count: int) -> None:
        """Until so many more lines of ``event`` are in the log."""
        if not hasattr(self, "_follower"):
            self._follower, self._counts = Follower(self._home.master_log), dict[str, int]()

        def there() -> bool:
            for line in self._follower.new():
                self._counts[line["event"]] = self._counts.get(line["event"], 0) + 1
            if daemon.poll() is not None:
                raise RuntimeError(f"the daemon ended with {daemon.returncode}")
            return self._counts.get(event, 0) >= count

        if not processes.wait_for(there, _READY_S):
            raise RuntimeError(f"no {count} × {event}; there are {orjson.dumps(self._counts).decode()}")
        self._counts[event] = 0
