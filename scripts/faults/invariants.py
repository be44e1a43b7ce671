"""What must hold after any fault: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from scripts.faults.runner import log_lines, processes_of
from swarmd.audit.verify import verify
from swarmd.council.registry import read_active, read_registry
from swarmd.home import Home

__all__ = ["after_the_end", "at_the_crash", "once_each"]

_PROBE = re.compile(r"[a-z0-9_]{8}")
"""The name of the file by which Python's tempfile finds out whether a folder can be written. Killed between
its making and its removal, Python leaves it behind; it holds "blat" or nothing."""


def at_the_crash(home: Path, dropped: Collection[str]) -> list[str]:
    """What is wrong with the home as the fault left it: a dropped file must still lie in the inbox, or
    stand in the log, or be a dead letter; registry files must parse."""
    problems = list(_registry(home))
    received = {line["request_id"] for line in log_lines(home) if line["event"] == "request_received"}
    buried = {path.name for path in (home / "bus/deadletter").iterdir()}
    for path in map(home.joinpath, dropped):
        dead = any(name.startswith(path.stem) for name in buried)
        if not path.exists() and path.stem not in received and not dead:
            problems.append(f"{path.name} is lost: neither in the inbox, nor acknowledged, nor a dead letter")
    return problems


def once_each(home: Path, expected: Mapping[str, Collection[str]], *, strict: bool = True) -> Iterator[str]:
    """What is wrong with the results: ``expected`` maps each id to the statuses that it may have.
    ``strict``: there may be no others."""
    lines: dict[str, Counter[str]] = {"request_received": Counter(), "request_complete": Counter()}
    reopened: Counter[str] = Counter()
    for line in log_lines(home):
        if line["event"] in lines:
            lines[line["event"]][line["request_id"]] += 1
        elif line["event"] == "request_reopened":
            reopened[line["request_id"]] += 1
    outbox = {path.stem: path for path in (home / "bus/outbox").iterdir()}
    for name, statuses in expected.items():
        for event, counts in lines.items():
            wanted = 1 + (reopened[name] if event == "request_complete" else 0)
            if counts[name] != wanted:
                yield f"{name} has {counts[name]} lines {event} instead of {wanted}"
        if name not in outbox:
            yield f"{name} has no result"
            continue
        status = json.loads(outbox[name].read_bytes())["status"]
        if status not in statuses:
            yield f"{name} has {status}, not {' or '.join(sorted(statuses))}"
    if strict:
        others = (outbox.keys() | lines["request_received"].keys()) - expected.keys()
        yield from (f"{name} is a request that nobody made" for name in sorted(others))


def after_the_end(home: Path, expected: Mapping[str, Collection[str]], dead: Collection[str]) -> list[str]:
    """What is wrong with a home whose daemon has done everything and has ended. ``dead``: the names of
    the files that must have become dead letters."""
    problems = [*once_each(home, expected), *_dead_letters(home, dead), *_left(home), *_registry(home)]
    problems += [f"process {process.pid} is left: {process}" for process in processes_of(home)]
    report = verify(home, settle_s=0)
    problems += [
        f"logs/{log.log} does not hold: {log.status} {log.detail}"
        for log in report.logs
        if log.status != "ok"
    ]
    problems += [f"audit verify warns: {warning}" for warning in report.warnings]
    return problems


def _dead_letters(home: Path, dead: Collection[str]) -> Iterator[str]:
    names = sorted(path.name for path in (home / "bus/deadletter").iterdir())
    letters = [name for name in names if not name.endswith(".error.json")]
    if letters != sorted(dead):
        yield f"the dead letters are {letters}, not {sorted(dead)}"
    for name in letters:
        if f"{name}.error.json" not in names:
            yield f"the dead letter {name} has no reason"


def _registry(home: Path) -> Iterator[str]:
    places = Home(home)
    for path, read in ((places.registry_file, read_registry), (places.active_agents_file, read_active)):
        if path.exists() and read(places) is None:
            yield f"{path.name} cannot be read"


def _left(home: Path) -> Iterator[str]:
    """Files that should be gone, and what lies where sockets and temporary files are made."""
    places = Home(home)
    for folder in (places.inbox, places.control, places.active, places.tasks, places.spools):
        yield from (f"{_name(path, home)} is left" for path in folder.rglob("*") if not path.is_dir())
    for folder in (places.active, places.spools, *places.workspaces.glob("*/checkouts")):
        yield from (f"{_name(path, home)} is left" for path in folder.iterdir())
    for folder in places.workspaces.iterdir():
        result = json.loads((places.outbox / f"{folder.name}.json").read_bytes())
        if result["status"] not in ("failed", "cancelled"):  # those may be taken up again
            yield f"{_name(folder, home)} is left"
    for path in home.rglob("*"):
        if path.name.endswith(".tmp") or stat.S_ISSOCK(path.lstat().st_mode):
            yield f"{_name(path, home)} is left"
    for name in ("run", "tmp"):
        for path in (home.parent / name).rglob("*"):
            if _PROBE.fullmatch(path.name) and path.is_file() and path.read_bytes() in (b"", b"blat"):
                continue
            if not path.is_dir() or name == "tmp":
                yield f"{name}/{path.relative_to(home.parent / name)} is left outside of the home"
    if places.daemon_file.exists():
        yield f"{places.daemon_file.name} is left"
    lock = FileLock(places.lock_file)
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        yield "the lock is still held"


def _name(path: Path, home: Path) -> str:
    return path.relative_to(home).as_posix()
