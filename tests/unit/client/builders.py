"""A home, what a daemon leaves in it, and time that passes by sleeping."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psutil

from swarmd import client
from swarmd.client.pace import Steps
from swarmd.clock import boot_id
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, AuditPoint, DeadLetter, Result, dump

T = TypeVar("T")


def result(request_id: str, **fields: Any) -> Result:
    return Result(
        request_id=request_id,
        status="succeeded",
        summary="done",
        tokens={"local": 1, "cloud": 0},
        cost_micro_usd={"local": 0, "cloud": 0},
        seconds=1.5,
        audit=AuditPoint(log="master", seq=1, hash="0" * 64),
        finished_at="2026-01-01T00:00:00.000Z",
    ).model_copy(update=fields)


def accept(home: Home, request_id: str, folder: Path | None = None, **fields: Any) -> Path:
    folder = folder or home.request_folder(request_id)
    folder.mkdir(parents=True)
    request = AcceptedRequest(
        **{"user_request": "x", **fields},
        request_id=request_id,
        priority="high",
        received_at="t",
        source_name="a",
        content_sha256="0" * 64,
    )
    (folder / "request.json").write_bytes(dump(request))
    return folder


class Ticks:
    """Time that passes by sleeping; ``at`` runs things at moments (t1_5: after 1.5 s), ``each`` at every
    pause."""

    def __init__(self, each: Callable[[], object] = lambda: None, **at: Any) -> None:
        self.now = 0.0
        self.each = each
        self.pauses: list[float] = []
        self.plans = sorted(
            ((float(when[1:].replace("_", ".")), what) for when, what in at.items()), key=lambda plan: plan[0]
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.each()
        while self.plans and self.plans[0][0] <= self.now:
            self.plans.pop(0)[1]()

    def __call__(self) -> float:
        return self.now

    def wait(self, home: Home, request_id: str, timeout: float | None = 10, **more: Any) -> Result:
        return client.wait(home, request_id, timeout, sleep=self.sleep, monotonic=self, **more)


def bury(home: Home, name: str) -> None:
    letter = DeadLetter(name=name, original_name=name, code="E-REQUEST-X", message="bad", hint="h", at="t")
    (home.deadletter / f"{name}.error.json").write_bytes(dump(letter))


def run_daemon(home: Home) -> None:
    """A daemon runs on ``home``: this process."""
    own = {"pid": os.getpid(), "start": psutil.Process().create_time(), "boot_id": boot_id()}
    home.daemon_file.write_bytes(orjson.dumps(own))


def log(home: Home, *lines: dict[str, Any]) -> None:
    """Add lines to the master log."""
    with home.master_log.open("ab") as file:
        number = file.tell()
        file.writelines(orjson.dumps({"seq": number + n, **line}) + b"\n" for n, line in enumerate(lines))


def waiting_file(home: Home, priority: str = "normal") -> Path:
    """The one file in the inbox."""
    (path,) = (home.inbox / priority).iterdir()
    return path


def end(home: Home, ended: Result) -> None:
    """``ended`` has its result."""
    (home.outbox / f"{ended.request_id}.json").write_bytes(dump(ended))


def drive(steps: Steps[T], ticks: Ticks) -> T:
    """Do ``steps`` in the time of ``ticks``."""
    return client._run(steps, ticks.sleep)
