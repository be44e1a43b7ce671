"""What a row of the table has to be able to do."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from benchmarks.peers import ROWS

__all__ = [
    "AT_RECEIPT",
    "ROOT",
    "Durability",
    "EachWorkerAProcess",
    "Peer",
    "asked_for",
    "find",
    "own_folder",
]

ROOT = Path(__file__).resolve().parents[2]

Durability = Literal["power", "interval", "process", "none"]
"""What of an acknowledged message survives: power loss; power loss but for the last moments (a sync
every so often); kill -9 only; nothing is promised."""


def asked_for() -> Durability:
    """The class that swarmd's rows are run in: their setting follows it."""
    found = os.environ.get("BUS_DURABILITY")
    return "process" if found == "process" else "none" if found == "none" else "power"


AT_RECEIPT = (
    "durable at the receipt, not at put; a sync for each group"
    if asked_for() == "power"
    else "acknowledged without a sync, as daemon.durability says"
)
"""How swarmd's rows say it."""


class Peer:
    """One queue in ``folder``. The same class serves the producer, the consumers and the claimer, each
    in its own process; ``start`` and ``stop`` are called by the first one only.
    """

    title: ClassVar[str]
    durability: ClassVar[Durability] = "power"
    note: ClassVar[str] = ""
    """When a message is durable, and what else a reader of the row must know."""
    group: ClassVar[Literal["reference", "peer", "swarmd"]] = "peer"
    modules: ClassVar[tuple[str, ...]] = ()
    programs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[frozenset[str]] = frozenset({"a", "b", "c", "d", "kill"})
    acks: ClassVar[bool] = False
    """Its consumer says when a message is acknowledged; otherwise the handler's end counts, which
    is a little earlier and so in the peer's favour."""
    watchers: ClassVar[int] = 0
    """So many of its commands, the last ones, only look on: their memory is not counted."""
    slow: ClassVar[int] = 1
    """Divide the number of messages by this: it would take minutes otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be measured here; empty when it can."""
        for module in cls.modules:
            if importlib.util.find_spec(module) is None:
                return f"the package {module} is not installed in {sys.prefix}"
        for program in cls.programs:
            if not shutil.which(program):
                return f"the program {program} is not installed"
        return ""

    def start(self) -> list[int]:
        """Start the server and make what the queue needs; the server's process ids."""
        return []

    def stop(self) -> None:
        """End what ``start`` started."""

    def claims(self, count: int) -> list[float]:
        """Seconds that each of ``count`` claims takes."""
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            self.claim()
            seconds.append(time.perf_counter() - began)
        return seconds

    def close(self) -> None:
        """Leave the queue: the claimer's end."""

    def recover(self) -> None:
        """What the queue's documentation says to do before the consumers start again after a crash."""

    def put(self, text: str) -> None:
        """Hand one message over; return when the queue says it has it."""
        raise NotImplementedError

    def fill(self, texts: Iterable[str]) -> None:
        """Put many, as quickly as can be: they are only there to wait."""
        for text in texts:
            self.put(text)

    def commands(self, workers: int) -> list[list[str]]:
        """The command lines of the consumer with that many workers."""
        name = next(name for name, where in ROWS.items() if where.endswith(f":{type(self).__name__}"))
        start = [sys.executable, "-m", "benchmarks.peers", "work", name, str(self.folder)]
        return [[*start, str(workers)]]

    def environment(self) -> dict[str, str]:
        """What the consumers find in their environment besides ours."""
        return {"PYTHONPATH": str(ROOT), "BUS_FOLDER": str(self.folder)}

    def work(self, workers: int) -> None:
        """Be the consumer, until killed."""
        raise NotImplementedError

    def claim(self) -> None:
        """Take the next message, so that nobody else gets it. It need not be handled."""
        raise NotImplementedError

    @classmethod
    def start_up(cls, folder: Path, active: int) -> dict[str, float]:
        """How long a start takes that finds ``active`` messages at work."""
        raise NotImplementedError


class EachWorkerAProcess(Peer):
    """A queue whose consumer has one worker: for four, there are four of them."""

    def commands(self, workers: int) -> list[list[str]]:
        return super().commands(1) * workers


def find(name: str) -> type[Peer]:
    """The class of a row. Raises ImportError when its packages are not installed here."""
    module, _, attribute = ROWS[name].partition(":")
    found: type[Peer] = getattr(importlib.import_module(module), attribute)
    return found


def own_folder() -> Path:
    """The folder of the queue, for modules that a peer's own command imports."""
    return Path(os.environ["BUS_FOLDER"])
