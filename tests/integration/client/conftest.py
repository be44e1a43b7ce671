"""A home that is served: the part of the daemon that a client can see, in a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from swarmd.audit import Chain
from swarmd.bus import deadletter, outbox
from swarmd.bus.intake import parse_request
from swarmd.clock import SystemClock, boot_id, rfc3339
from swarmd.errors import RequestError
from swarmd.home import Home, init
from swarmd.messages import PRIORITIES, AcceptedRequest, AuditPoint, Command, Result, dump, load

POLL_S = 0.002


class Served:
    """Takes what is dropped, ends it at once unless it is to ``hold``, and carries out commands."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.hold = False
        """Requests stay active."""
        self.paused = False
        """Requests stay in the inbox."""
        self._log = Chain(home.master_log, "1/2")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Served:
        own = {"pid": os.getpid(), "start": psutil.Process().create_time(), "boot_id": boot_id()}
        self.home.daemon_file.write_bytes(orjson.dumps(own))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._log.close()
        self.home.daemon_file.unlink()

    def log(self, event: str, request_id: str | None = None, **data: Any) -> None:
        self._log.append([{"event": event, "level": "info", "request_id": request_id, "data": data}])

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            for path in _visible(self.home.control):
                self._carry_out(load(Command, path.read_bytes()))
                path.unlink()
            for priority in PRIORITIES if not self.paused else ():
                for path in _visible(self.home.inbox / priority):
                    self._take(path)

    def _take(self, path: Path) -> None:
        try:
            request = parse_request(path.read_bytes())
        except RequestError as error:
            deadletter.bury(self.home, path, error, SystemClock().now())
            return
        request_id = request.request_id or path.name.partition(".")[0]
        fields = request.model_dump() | {"request_id": request_id, "limits": request.limits}
        now = rfc3339(SystemClock().now())
        taken = AcceptedRequest(**fields, received_at=now, source_name=path.name, content_sha256="0" * 64)
        known = outbox.find_done(self.home, request_id)
        if known is None and not self.home.request_folder(request_id).is_dir():
            self.home.request_folder(request_id).mkdir()
            (self.home.request_folder(request_id) / "request.json").write_bytes(dump(taken))
            self.log("request_received", request_id)
            self._work(request_id)
        path.unlink()

    def _work(self, request_id: str) -> None:
        if not self.hold:
            self.end(request_id, "succeeded")

    def end(self, request_id: str, status: Any) -> None:
        """``request_id`` ends now."""
        now = rfc3339(SystemClock().now())
        result = Result(
            request_id=request_id,
            status=status,
            summary="done",
            tokens={"local": 0, "cloud": 0},
            cost_micro_usd={"local": 0, "cloud": 0},
            seconds=0.1,
            audit=AuditPoint(log="master.jsonl", seq=self._log.head.seq, hash=self._log.head.hash),
            finished_at=now,
        )
        self.log("request_complete", request_id)
        outbox.write(self.home, result, durable_write=False)
        outbox.archive(self.home, request_id, date(2026, 1, 1))

    def _carry_out(self, order: Command) -> None:
        request_id = order.request_id or ""
        match order.command:
            case "cancel":
                self.log("request_cancelling", request_id)
                self.end(request_id, "cancelled")
            case "retry":
                self.log("request_reopened", request_id)
                outbox.take_back(self.home, request_id)
                self._work(request_id)
            case "pause" | "resume":
                self.paused = order.command == "pause"
                self.log(f"daemon_{order.command}d")
            case "reload":
                self.log("settings_loaded", changed=["limits"], types=["coding"], broken=[], after_restart=[])


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    init(made, {"XDG_STATE_HOME": str(tmp_path / "state")})
    return made


@pytest.fixture
def served(home: Home) -> Iterator[Served]:
    with Served(home) as running:
        yield running
