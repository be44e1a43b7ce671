"""A home, the daemon's core on it, the people who use it, and what may befall them."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from swarmd import durable
from swarmd.agents.spec import Types, load_types
from swarmd.audit import Line, read_lines
from swarmd.audit.verify import verify
from swarmd.bus import outbox, sweep, wal
from swarmd.bus.watching import FolderWatch
from swarmd.config import Settings
from swarmd.daemon import recover
from swarmd.daemon.state import RequestState, State
from swarmd.home import Home
from swarmd.messages import Priority
from swarmd.testing import FakeClock, add_noop_type
from tests.unit.daemon.machine.disk import Crash, Disk, intercepted
from tests.unit.daemon.machine.ledger import Ledger
from tests.unit.daemon.machine.process import Process
from tests.unit.daemon.machine.still import StillLoop

__all__ = ["Drop", "World"]

WAL = 24 * 1024
"""Bytes of a write-ahead file here: it fills, and grows."""
_EPOCH = 10**18
"""When the first file is dropped, in nanoseconds."""
_ROUNDS = 120
"""Seconds after which everything must have come to its end when nothing goes wrong any more."""

SETTINGS = {
    "daemon": {
        "watch": "sweep",
        "max_active_requests": 5,
        "max_agents": 2,
        "max_verifiers": 1,
        "hung_after_s": 50.0,
        "restart_failures": 6,
        "drain_s": 1.0,
    },
    "limits": {"seconds": 10**9},
}


@dataclass
class Drop:
    """One file that somebody dropped."""

    marker: int
    path: Path
    data: bytes
    request_id: str | None = None
    is_junk: bool = False
    rest: bytes = b""
    """What its writer has not written yet."""
    may_be_gone: bool = False
    """The power failed before the daemon had acknowledged it."""


@functools.cache
def _types(folder: str) -> Types:
    return load_types(Path(folder))


class World:
    """Everything, in one process and on one still clock. ``close`` it."""

    def __init__(self, folder: Path, durability: str = "power") -> None:
        self._stack = ExitStack()
        self.power = durability == "power"
        self._types = self._make_types(folder)
        root = folder / "home"
        root.mkdir(mode=0o700)
        self.disk = self._stack.enter_context(intercepted(Disk(root)))
        self.clock = FakeClock()
        for target, name, new in (
            (FolderWatch, "start", lambda watch: None),
            (sweep, "time", SimpleNamespace(perf_counter=self.clock.boot)),
            (wal, "SIZE", WAL),
        ):
            self._stack.enter_context(mock.patch.object(target, name, new))
        self.home = Home(root)
        durable.make_dirs(*self.home.folders())
        self.disk.settle()
        daemon = SETTINGS["daemon"] | {"durability": durability}
        self.settings = Settings.model_validate(SETTINGS | {"daemon": daemon})
        self.boots = 1
        self.process: Process | None = None
        self.loop: StillLoop
        self.task: asyncio.Task[None]
        self.drops: list[Drop] = []
        self.ledger = Ledger()
        self.heard: dict[int, Line] = {}
        self._greeted = False
        self.ends: list[str] = []
        """How each process ended, for whoever reads a failure."""

    @staticmethod
    def _make_types(folder: Path) -> Types:
        agents = folder.parent / "machine-agents"
        if not agents.is_dir():
            agents.mkdir()
            add_noop_type(agents, max_instances=2)
        return _types(str(agents))

    def close(self) -> None:
        """Take everything away."""
        if self.process is not None:
            self._bury("closed")
        self._stack.close()

    # --- the process -------------------------------------------------------------------------------

    def start(self) -> bool:
        """Start the daemon if it does not run. False when it does not come up, for a cause that was
        made here."""
        if self.process is not None:
            return True
        self.loop = StillLoop(self.clock)
        self.loop.mark = lambda: self.disk.now
        self.loop.begin = self._begin_job
        self.loop.set_exception_handler(self._on_loop_error)
        self.process = Process(
            self.home, self.settings, self._types, self.clock, f"boot-{self.boots}", self._hear
        )
        self.task = self.loop.create_task(self.process.run())
        self._greeted = False
        self.settle()
        if self.process is not None and not self.is_up and self.disk.room is None and not self.loop.held:
            self.wait(1.0)  # what was full a moment ago is tried again
            assert self.process is None or self.is_up, "it does not come up"
        return self.process is not None

    @property
    def is_up(self) -> bool:
        """Whether it runs and has recovered."""
        return self.process is not None and self.process.started

    def _greet(self) -> None:
        """It has just recovered: what it believes now must hold what it acknowledged in earlier lives."""
        self._greeted = True
        self._compare_log()
        self._check_recovered()
        self.check()

    def _begin_job(self, mark: int | None) -> None:
        self.disk.synced_until = mark
        self.disk.busy = True

    def _on_loop_error(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, (Crash, OSError, asyncio.CancelledError)):
            self.ends.append(f"loop: {context['message']}: {error!r}")
            if not self.disk.dead:
                self._loop_error = error

    def _hear(self, line: Line) -> None:
        """A line was committed: from now on it may never be lost."""
        self.heard[line["seq"]] = line
        if self._greeted:
            self.ledger.take(line)
        if self.process is not None and hasattr(self.process, "crew"):
            self.process.crew.count(line)

    def _compare_log(self) -> None:
        """The log holds every line that was acknowledged; what it holds is what is believed now."""
        found = {line["seq"]: line for line, _ in read_lines(self.home.master_log)}
        for number, line in self.heard.items():
            assert found.get(number) == line, f"line {number} was acknowledged and lost: {line}"
        self.heard, self.ledger = found, Ledger()
        for line in found.values():
            self.ledger.take(line)

    def settle(self) -> None:
        """Let everything happen that is due."""
        if self.process is None:
            return
        self.disk.busy = True
        try:
            self.loop.settle(lambda: self.disk.dead or self.task.done())
        finally:
            self.disk.busy = False
        if self.disk.dead:
            self._bury("killed")
        elif self.task.done():
            error = self.task.exception()
            started, failed_sync = self.process.started, self.disk.sync_failed
            self._bury(f"ended: {error!r}")
            for found in [] if error is None else _leaves(error):
                if not self._is_excused(found, started, failed_sync):
                    raise found
        elif self.disk.sync_failed:
            raise AssertionError("it lives on after a failed sync")
        elif self.is_up and not self._greeted:
            self._greet()

    def _is_excused(self, error: BaseException, started: bool, failed_sync: bool) -> bool:
        """Whether the process had to end like this."""
        if isinstance(error, durable.FsyncFailedError):
            return failed_sync
        return isinstance(error, OSError) and error.errno == 28 and self.disk.room is not None and not started

    def _bury(self, how: str) -> None:
        self.ends.append(how)
        self.disk.dead, self.disk.busy = True, True
        self.loop.held = False
        for _ in range(20):
            for task in (tasks := asyncio.all_tasks(self.loop)):
                task.cancel()
            if not tasks:
                break
            for _ in range(10):
                self.loop.call_soon(self.loop.stop)
                self.loop.run_forever()
        assert not tasks, "a task resists its end"
        self.loop.close()
        self.disk.kill()
        self.process = None

    def kill(self) -> None:
        """SIGKILL, now."""
        if self.process is not None:
            self._bury("killed from outside")

    def stop(self) -> None:
        """SIGTERM: it drains and ends."""
        if self.process is None:
            return
        if not self.is_up:  # it waits for room to say that it begins
            self.kill()
            return
        self.process.stop_asked.set()
        self.loop.held = False
        self.settle()
        for _ in range(8):
            if self.process is not None:
                self.wait(1.0)
        assert self.process is None, "it does not end"

    def lose_power(self, random: Random) -> None:
        """The machine stops, forgets what no sync made safe, and boots again."""
        self.kill()
        for drop in self.drops:
            taken = drop.marker in self.ledger.markers and not drop.rest
            if not taken and not self.disk.survives(drop.path):
                drop.may_be_gone = True
        self.disk.lose_power(random)
        self.boots += 1
        self.clock._boot = 5.0
        self.ends.append("power")

    # --- people ------------------------------------------------------------------------------------

    def drop(
        self,
        priority: Priority = "normal",
        name: str = "",
        request_id: str | None = None,
        junk: str = "",
        *,
        same_as: Drop | None = None,
        cut: bool = False,
        told: bool = True,
    ) -> Drop:
        """Drop a file, in one step; ``cut``: only its first half, in place. ``told``: events come."""
        marker = same_as.marker if same_as else len(self.drops) + 1
        fields: dict[str, Any] = {"user_request": f"do it #{marker}#", "kind": "research"}
        if request_id:
            fields["request_id"] = request_id
        data = same_as.data + same_as.rest if same_as else json.dumps(fields).encode()
        if junk:
            data = {"text": b"hello", "field": b'{"user_request": "x", "colour": 1}', "list": b"[]"}[junk]
        name = name or f"drop-{len(self.drops) + 1}.json"
        path = self.home.inbox / priority / name
        if path.exists():
            path = path.with_name(f"{len(self.drops) + 1}-{name}")
        half = len(data) // 2 if cut else len(data)
        drop = Drop(
            marker, path, data[:half], same_as.request_id if same_as else request_id, bool(junk), data[half:]
        )
        self.drops.append(drop)
        self._put(path, drop.data)
        if told:
            self._tell(path)
        return drop

    def _put(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.part")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        durable.write_all(fd, data)
        os.close(fd)
        moment = _EPOCH + len(self.drops) * 10**7
        os.utime(temporary, ns=(moment, moment))
        temporary.rename(path)

    def _tell(self, path: Path) -> None:
        if self.process is not None and self.is_up:
            inbox = self.process.intake._inbox
            index = next(i for i, place in enumerate(inbox._places) if place.folder == path.parent)
            inbox.hint(index, path.name)

    def complete(self, drop: Drop) -> None:
        """Write the rest of a file that was cut, if it still lies there."""
        if not drop.rest or not drop.path.exists() or drop.path.stat().st_size != len(drop.data):
            return
        fd = os.open(drop.path, os.O_WRONLY | os.O_APPEND)
        durable.write_all(fd, drop.rest)
        os.close(fd)
        drop.data, drop.rest = drop.data + drop.rest, b""
        self._tell(drop.path)

    def command(self, name: str, request_id: str | None = None) -> None:
        """Write a command file."""
        fields = {"command": name} | ({"request_id": request_id} if request_id else {})
        path = self.home.control / f"c{self.disk.now}.json"
        self._put(path, json.dumps(fields).encode())
        if self.process is not None and self.is_up:
            self.process.commands._control.inbox.hint(0, path.name)

    def known_ids(self) -> list[str]:
        """All requests there have been."""
        return sorted({*self.ledger.active, *self.ledger.ended})

    # --- time and faults ---------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.settle()

    # --- what must hold ----------------------------------------------------------------------------

    def check(self) -> None:
        """What holds whenever nothing is under way."""
        if self.process is None or not self.is_up or self.loop.held:
            return
        context = self.process.context
        if context.journal.waiting_for_space:
            return
        assert set(context.state.requests) == set(self.ledger.active)
        assert context.state.paused == self.ledger.paused
        for request_id, request in context.state.requests.items():
            assert (request.error or {}).get("code") != "E-PAYLOAD-LOST", request.error
            folder = self.home.request_folder(request_id)
            assert folder.is_dir(), f"{request_id} is active and has no folder"
        self._check_results()
        self._check_drops()

    def _check_results(self) -> None:
        assert self.process is not None
        waiting = self.process.context.unpublished
        found = {path.stem: path for path in self.home.outbox.iterdir()}
        assert found.keys() <= self.ledger.ended.keys(), (
            f"results of {found.keys() - self.ledger.ended.keys()}"
        )
        for request_id, (_, digest) in self.ledger.ended.items():
            if request_id in waiting:
                continue
            assert request_id in found, f"{request_id} has no result"
            assert hashlib.sha256(found[request_id].read_bytes()).hexdigest() == digest
            assert outbox.find_done(self.home, request_id) is not None, f"{request_id} is not in done/"
            assert not self.home.request_folder(request_id).exists(), f"{request_id} is active and done"

    def _check_drops(self) -> None:
        letters = [
            p.read_bytes() for p in self.home.deadletter.iterdir() if not p.name.endswith(".error.json")
        ]
        for drop in self.drops:
            if drop.path.exists() or drop.may_be_gone:
                continue
            is_buried, owner = drop.data in letters, self.ledger.texts.get(drop.request_id or "")
            if drop.is_junk:
                assert is_buried, f"{drop.path.name} is junk, and nowhere"
            elif drop.request_id:
                taken = owner == drop.marker
                assert taken or is_buried, f"{drop.path.name} for {drop.request_id} is nowhere"
                assert taken or owner is not None or drop.rest, (
                    f"{drop.path.name} was refused without a cause"
                )
            elif drop.rest:
                assert is_buried
            else:
                assert drop.marker in self.ledger.markers, f"{drop.path.name} was not taken and is gone"

    def check_fold(self) -> None:
        """A fold of the log gives the state that is live."""
        if self.process is None or not self.is_up or self.loop.held:
            return
        context = self.process.context
        if context.journal.waiting_for_space:
            return
        cold = State(lambda request_id, name: recover.payload(self.home, request_id, name))
        recover.fold(self.home.master_log, cold)
        _compare(cold.requests, context.state.requests)
        assert cold.paused == context.state.paused
        assert context.state.ending.keys() <= cold.ending.keys()
        assert cold.sources == context.state.sources

    def check_log(self) -> None:
        """The log holds, for a stranger too."""
        if self.process is None or not self.is_up:
            return  # a torn line, as a crash leaves it, is the next start's to mend
        report = verify(self.home.root, settle_s=0)
        assert report.exit_code == 0, report
        assert not report.warnings, report.warnings

    def _check_recovered(self) -> None:
        self.check_log()
        left = [path for path in self.home.root.rglob(".*") if not path.name.endswith(".part")]
        assert not left, left

    def finish(self) -> None:
        """Nothing goes wrong any more, and everybody does what they should: all there is must end well."""
        self.disk.room = self.disk.crash_in = None
        self.disk.short, self.disk.failing_sync = 0, None
        if self.process is not None:
            self.loop.held = False
            self.settle()
        assert self.start()
        if not self.is_up:
            self.wait(1.0)  # it waited for room
        assert self.is_up
        self.command("resume")
        for _ in range(_ROUNDS):
            self._work_well()
            if self._is_over():
                break
        assert self._is_over(), self._what_is_left()
        self.check()
        self.check_fold()
        self.check_log()
        for drop in self.drops:
            assert not drop.path.exists(), f"{drop.path.name} was never taken"

    def _work_well(self) -> None:
        assert self.process is not None, self.ends
        for step in range(6):
            hands = self.process.hands
            hands.factory.reap()  # type: ignore[attr-defined]
            for worker in hands.workers():
                hands.ready(worker)
                hands.answer(worker, "good")
            self.settle()
            assert self.process is not None, self.ends
            if step == 0:
                self.wait(1.0)

    def _is_over(self) -> bool:
        assert self.process is not None
        context = self.process.context
        files = [*self.home.inbox.rglob("*"), *self.home.control.iterdir()]
        waiting = [p for p in files if p.is_file() and not p.name.endswith(".part")]
        return not (context.state.requests or context.unpublished or waiting)

    def _what_is_left(self) -> str:
        assert self.process is not None
        context = self.process.context
        tasks = {
            request_id: (r.stage, [(t.status, t.agent_id, t.order_id) for t in r.tasks.values()])
            for request_id, r in context.state.requests.items()
        }
        workers = [(w.name, w.ready, w.work, w.stopping) for w in self.process.hands.workers()]
        files = [str(p) for p in [*self.home.inbox.rglob("*"), *self.home.control.iterdir()] if p.is_file()]
        return f"{tasks} {workers} {context.unpublished.keys()} {files} {self.process.intake.state}"


def _compare(cold: dict[str, RequestState], live: dict[str, RequestState]) -> None:
    """They are the same, but for where a line was known to begin at the least: where its group did."""
    assert cold.keys() == live.keys()
    for request_id, request in cold.items():
        assert request.first_offset >= live[request_id].first_offset
        assert replace(request, first_offset=0) == replace(live[request_id], first_offset=0)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
