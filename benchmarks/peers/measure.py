"""The measures, the same for every row."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import processes
from benchmarks.peers.peer import ROOT, Peer
from benchmarks.peers.slots import Slots, payload

__all__ = ["Sizes", "Trial", "claims", "measure"]

_WARM_UP = 20
_START_S = 60.0


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    messages: int = 5000
    idle: int = 500
    idle_gap_s: float = 0.02
    waiting: tuple[int, ...] = (1000, 10_000, 100_000)
    claims: int = 50
    active: int = 10_000
    """Requests at work when a daemon is started."""
    killed: int = 100
    killed_work_s: float = 0.02
    limit_s: float = 60.0
    """Longest time for one throughput; what was handled until then counts."""
    redo_s: float = 40.0
    """How long a restarted consumer may take to finish what was left."""


class Trial:
    """One queue with its server and consumers, in a folder of its own."""

    def __init__(self, kind: type[Peer], folder: Path, size: int, work_s: float = 0.0) -> None:
        folder.mkdir(parents=True)
        self._notes = tempfile.TemporaryDirectory(dir=os.environ.get("BUS_MEMORY"), prefix="notes-")
        self.slots = Slots.create(Path(self._notes.name) / "slots", size)
        os.environ.update(BUS_SLOTS=str(self.slots.path), BUS_WORK_S=str(work_s))
        self.peer = kind(folder)
        self.servers: list[int] = []
        self.consumers: list[processes.Process] = []

    def __enter__(self) -> Trial:
        try:
            self.servers = self.peer.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as ends:
            ends.callback(self._notes.cleanup)
            ends.callback(self.slots.close)
            ends.callback(self.peer.stop)
            ends.callback(processes.kill_tree, self.consumers)

    def consume(self, workers: int) -> None:
        """Start the consumer."""
        environment = self.peer.environment()
        for command in self.peer.commands(workers):
            self.consumers.append(
                processes.start(command, self.peer.folder / "consumer.log", environment, cwd=str(ROOT))
            )

    def memory(self) -> float:
        """What the consumer holds, in MB."""
        counted = self.consumers[: len(self.consumers) - self.peer.watchers]
        return processes.resident([consumer.pid for consumer in counted])

    def put(self, index: int) -> None:
        self.slots.put(index)
        self.peer.put(payload(index))

    def done(self, index: int) -> bool:
        """Whether that message has been handled, and acknowledged where that can be seen."""
        return self.slots.read(index)[5 if self.peer.acks else 4] > 0

    def wait(self, first: int, count: int, seconds: float) -> int:
        """Wait for these messages; how many are done in the end."""
        index, end = first, first + count
        deadline = time.monotonic() + seconds
        while index < end and time.monotonic() < deadline:
            if self.done(index):
                index += 1
            else:
                time.sleep(0.01)
                self._check()
        return index - first + sum(self.done(one) for one in range(index, end))

    def _check(self) -> None:
        for consumer in self.consumers:
            if consumer.poll() is not None:
                log = (self.peer.folder / "consumer.log").read_text(errors="replace")
                raise RuntimeError(f"the consumer ended with {consumer.returncode}: {log[-2000:]}")

    def warm_up(self, first: int) -> None:
        """Until the consumer has imported, connected and handled some."""
        for index in range(first, first + _WARM_UP):
            self.put(index)
        done = self.wait(first, _WARM_UP, _START_S)
        if done < _WARM_UP:
            log = (self.peer.folder / "consumer.log").read_text(errors="replace")
            raise RuntimeError(f"only {done} of {_WARM_UP} messages were handled: {log[-2000:]}")


@contextmanager
def trial(kind: type[Peer], folder: Path, size: int, work_s: float = 0.0) -> Iterator[Trial]:
    """A trial that is ended again, whatever happens."""
    with Trial(kind, folder, size, work_s) as one:
        yield one


def throughput(one: Trial, count: int, limit_s: float) -> float:
    """Messages a second, from the first put until the last is acknowledged, put and handled at once."""
    deadline, last = time.monotonic() + limit_s, 0
    for index in range(count):
        one.put(index)
        last = index
        if index % 64 == 0 and time.monotonic() > deadline:
            break
    one.wait(0, last + 1, max(deadline - time.monotonic(), 0.0))
    ends = [one.slots.read(index)[2] for index in range(last + 1) if one.done(index)]
    if not ends:
        raise RuntimeError("nothing was handled")
    return len(ends) / ((max(ends) - one.slots.read(0)[0]) / 1e9)


def idle(one: Trial, first: int, count: int, gap_s: float) -> dict[str, float]:
    """Milliseconds from before the put until the handler is called, when there is nothing else to do."""
    for index in range(first, first + count):
        one.put(index)
        time.sleep(gap_s)
    one.wait(first, count, 20.0)
    records = [one.slots.read(index) for index in range(first, first + count)]
    waits = sorted((begun - put) / 1e6 for put, begun, *_ in records if begun)
    return {
        "p50": statistics.median(waits),
        "p99": waits[min(int(len(waits) * 0.99), len(waits) - 1)],
        "seen": len(waits),
    }


def one_and_four(kind: type[Peer], folder: Path, sizes: Sizes, wanted: set[str]) -> dict[str, Any]:
    """Throughput with one worker and with four, idle latency, memory."""
    found: dict[str, Any] = {}
    count = sizes.messages // kind.slow
    room = count + sizes.idle + 2 * _WARM_UP
    if wanted & {"a", "b"}:
        with trial(kind, folder / "one", room) as one:
            one.consume(1)
            one.warm_up(count + sizes.idle)
            if "a" in wanted:
                found["a"] = throughput(one, count, sizes.limit_s)
            found["rss"] = one.memory()
            found["rss_server"] = processes.resident(one.servers)
            if "b" in wanted:
                one.wait(0, count if "a" in wanted else 0, sizes.limit_s)
                time.sleep(0.5)
                found["b"] = idle(one, count, sizes.idle, sizes.idle_gap_s)
    if "c" in wanted:
        with trial(kind, folder / "four", room) as one:
            one.consume(4)
            one.warm_up(count)
            found["c"] = throughput(one, count, sizes.limit_s)
            found["rss_four"] = one.memory()
    return found


def claims(kind: type[Peer], folder: Path, count: int) -> dict[str, float]:
    """In a fresh process: the first claim with all that it takes, and the median of the others (ms);
    what the process grew by meanwhile (MB)."""
    before, began = processes.resident([os.getpid()]), time.perf_counter()
    peer = kind(folder)
    peer.claim()
    first = time.perf_counter() - began
    seconds = peer.claims(count)
    grown = processes.resident([os.getpid()]) - before
    peer.close()
    return {"first": first * 1e3, "next": statistics.median(seconds) * 1e3, "grown": grown}


def waiting(name: str, kind: type[Peer], folder: Path, sizes: Sizes) -> dict[str, Any]:
    """What a claim costs while many wait."""
    found, there = {}, 0
    with trial(kind, folder, 1) as one:
        for size in sizes.waiting:
            one.peer.fill(payload(index) for index in range(there, size))
            there = size
            found[str(size)] = _claims_apart(name, one, sizes.claims)
    return found


def _claims_apart(name: str, one: Trial, count: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.peers", "claim", name, str(one.peer.folder), str(count)]
    environment = {**os.environ, **one.peer.environment()}
    with (one.peer.folder / "claims.log").open("ab") as errors:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, timeout=120, check=True
        )
    return json.loads(done.stdout)


def killed(kind: type[Peer], folder: Path, sizes: Sizes) -> dict[str, Any]:
    """kill -9 of the whole consumer in the middle of a task, then start it again."""
    with trial(kind, folder, sizes.killed + _WARM_UP, sizes.killed_work_s) as one:
        one.consume(1)
        one.warm_up(sizes.killed)
        for index in range(sizes.killed):
            one.put(index)
        middle = sizes.killed // 3
        if not processes.wait_for(lambda: _in_the_middle(one, middle), 60, every=0.001):
            raise RuntimeError("the consumer did not come to the middle")
        processes.kill_tree(one.consumers)
        one.consumers.clear()
        left = sum(one.slots.read(index)[4] == 0 for index in range(sizes.killed))
        one.peer.recover()
        began = time.monotonic_ns()
        one.consume(1)
        one.wait(0, sizes.killed, sizes.redo_s)
        time.sleep(0.5)  # for those that would come twice
        records = [one.slots.read(index) for index in range(sizes.killed)]
    seconds = max((record[2] - began) / 1e9 for record in records)
    return {
        "lost": sum(record[4] == 0 for record in records),
        "twice": sum(record[4] > 1 for record in records),
        "seconds": max(seconds, 0.0),
        "own_work_s": left * sizes.killed_work_s,
    }


def _in_the_middle(one: Trial, index: int) -> bool:
    """A third of the way, and a task has begun that has not ended."""
    records = [one.slots.read(number) for number in range(index * 3)]
    return sum(record[4] for record in records) >= index and any(
        record[3] > record[4] and time.monotonic_ns() - record[1] > 2_000_000 for record in records
    )


def measure(name: str, kind: type[Peer], folder: Path, sizes: Sizes, wanted: set[str]) -> dict[str, Any]:
    """All measures of one row; what failed is said in ``failed``."""
    wanted = wanted & kind.measures
    found: dict[str, Any] = {"sizes": asdict(sizes), "messages": sizes.messages // kind.slow, "failed": {}}
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "throughput": lambda: one_and_four(kind, folder, sizes, wanted),
        "d": lambda: {"d": waiting(name, kind, folder / "waiting", sizes)} if "d" in wanted else {},
        "start": lambda: (
            {"start": kind.start_up(folder / "start", sizes.active)} if "start" in wanted else {}
        ),
        "kill": lambda: {"kill": killed(kind, folder / "kill", sizes)} if "kill" in wanted else {},
    }
    for step, run in steps.items():
        try:
            found |= run()
        except Exception as error:  # another row, or another measure of this one, may still succeed
            found["failed"][step] = f"{type(error).__name__}: {error}"[:2000]
    return found
