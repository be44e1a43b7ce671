"""Faults: which system calls, what happens to them, and what must follow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "FAULTS",
    "MARK",
    "TARGETS",
    "Fault",
    "Point",
    "applies",
    "counting",
    "injected",
    "points_of",
    "syncs_after",
]

WRITES = ("write", "pwrite64")
SYNCS = ("fdatasync", "fsync", "syncfs")
NAMES = ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat")
FOLDERS = ("mkdir", "rmdir")
SIZES = ("ftruncate", "fallocate")
SENDS = ("sendmsg",)


SHORT_WRITE = """
def half(call):
    def write(fd, data, *place):
        global calls
        calls += 1
        data = memoryview(data).cast("B")
        if calls == {number} and len(data) > 1:
            os.close(os.open("short", os.O_CREAT | os.O_WRONLY))
            data = data[: len(data) // 2]
        return call(fd, data, *place)
    return write
calls, os.write, os.pwrite = 0, half(os.write), half(os.pwrite)
"""
"""strace can only have a call not made; this one is made, with half of the bytes."""

MARK = "short"
"""The file beside the home that says that it was."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    calls: tuple[str, ...]
    """System calls at each of which it is injected in turn."""
    inject: str
    """What strace does to the call; empty: done without strace."""
    last: int = 0
    """How many calls of the same kind fail after the first one."""
    survives: bool = False
    """Whether the process must go on; else it must end."""


FAULTS = {
    "kill": Fault("kill", (*WRITES, *SYNCS, *NAMES, *FOLDERS, *SIZES, *SENDS), "signal=KILL"),
    "eio": Fault("eio", SYNCS, "error=EIO"),
    "enospc": Fault(
        "enospc",
        (*WRITES, "openat", "rename", "renameat2", "link", "linkat", "mkdir", "fallocate"),
        "error=ENOSPC",
        last=1,
        survives=True,
    ),
    "short": Fault("short", ("write",), "", survives=True),
    "none-written": Fault("none-written", WRITES, "retval=0", survives=True),
}
"""By name. "short": half of it is written; "none-written": the call says that it wrote nothing."""

TARGETS = {
    "master": ("kill", "eio", "enospc", "short"),
    "recovery": ("kill", "eio", "enospc"),
    "agent": ("kill", "enospc", "none-written"),
    "verifier": ("kill", "enospc", "none-written"),
    "zygote": ("kill",),
    "broker": ("kill",),
}
"""Which faults are walked in which process. recovery: a master that starts after a kill."""


@dataclass(frozen=True)
class Point:
    """One place where one fault is injected: the ``number``-th call of ``call`` in ``target``."""

    target: str
    fault: Fault
    call: str
    number: int

    @property
    def name(self) -> str:
        """As ``--only`` takes it."""
        return f"{self.target}:{self.fault.name}:{self.call}:{self.number}"

    @property
    def prelude(self) -> str:
        """For the daemon's own process: a short write, which strace cannot make."""
        return SHORT_WRITE.format(number=self.number) if self.fault.name == "short" else ""

    @property
    def options(self) -> list[str]:
        """For strace: what it traces and what it injects."""
        if not self.fault.inject:
            return []
        when = f"{self.number}..{self.number + self.fault.last}" if self.fault.last else str(self.number)
        calls = ",".join({self.call, *SYNCS})
        return ["-e", f"trace={calls}", "-e", f"inject={self.call}:{self.fault.inject}:when={when}"]


def counting(faults: list[Fault]) -> list[str]:
    """Options for a run in which calls are only counted."""
    return ["-e", "trace=" + ",".join(sorted({call for fault in faults for call in fault.calls}))]


_CALL = re.compile(r"^(?:(\d+) +)?(\w+)\(")


def calls_of(trace: str) -> Iterator[tuple[str, int, str]]:
    """(system call, its number, its line): strace counts the calls of each kind in each thread anew."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in trace.splitlines():
        if found := _CALL.match(line):
            thread, call = found[1] or "", found[2]
            counts[thread, call] += 1
            yield call, counts[thread, call], line


def points_of(target: str, trace: str, home: str) -> list[Point]:
    """Every point that there is in ``target``, by the calls that a run without faults made."""
    points: dict[Point, None] = {}
    for fault in (FAULTS[name] for name in TARGETS[target]):
        writes = 0
        for call, number, line in calls_of(trace):
            if fault.name == "short" and call in WRITES:  # counted in all of them together
                writes += 1
                points[Point(target, fault, "write", writes)] = None
            elif call in fault.calls and (fault.name != "enospc" or applies(line, home)):
                points[Point(target, fault, call, number)] = None
    order = [(fault, call) for fault in TARGETS[target] for call in FAULTS[fault].calls]
    return sorted(points, key=lambda p: (order.index((p.fault.name, p.call)), p.number))


def injected(trace: str) -> list[str]:
    """The calls that a fault was injected into."""
    return [line for line in trace.splitlines() if "(INJECTED)" in line]


def applies(line: str, home: str) -> bool:
    """Whether a full disk could make the call in ``line`` fail: it must make a file of the home, or make
    one longer. What is written to a pipe needs no disk, nor does what is only opened."""
    return home in line and ("openat(" not in line or "O_CREAT" in line)


def syncs_after(trace: str) -> list[str]:
    """Syncs that were tried after one had failed."""
    lines = trace.splitlines()
    first = next((n for n, line in enumerate(lines) if "(INJECTED)" in line), len(lines))
    return [line for line in lines[first + 1 :] if (found := _CALL.match(line)) and found[2] in SYNCS]
