"""Checks of how dropped files are noticed: the home's file system, its locks, and inotify."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from swarmd.bus.filesystem import FileSystem, identify, lock_trouble
from swarmd.cli.checks.check import Check
from swarmd.config import DaemonSettings
from swarmd.home import Home

__all__ = ["check_file_system", "check_inotify"]

LIMITS = Path("/proc/sys/fs/inotify")
PROCESSES = Path("/proc")
LEAST_WATCHES = 8192
LEAST_INSTANCES = 64
NEEDED = {"max_user_instances": 2, "max_user_watches": 6}
"""What one daemon takes: a reader for requests and one for commands, and a watch for each folder."""
SWEPT = "folders are listed twice a second instead"


def check_file_system(home: Home, daemon: DaemonSettings, system: FileSystem | None = None) -> Check:
    """Whether the home's file system locks files, without which two daemons could run on one home, and
    whether it tells of every dropped file."""
    root = home.root
    found = system or identify(root)
    kind = found.kind or "an unknown file system"
    if root.is_dir() and (trouble := lock_trouble(root)):
        fix = "Put the home on a local disk: --home, or SWARMD_HOME."
        return Check("file system", "fail", f"{root} is on {kind}, where locks fail: {trouble}", fix)
    if not found.events:
        detail = f"{kind} does not tell of files dropped from elsewhere: {SWEPT}"
        return Check(
            "file system", "warn", detail, "Put the home on a local disk, or live with half a second."
        )
    if daemon.watch == "sweep":
        return Check("file system", "ok", f'{kind}; {SWEPT}, as daemon.watch = "sweep" says')
    if found.layered:
        detail = f"{kind}: what is dropped from outside of the container is found within"
        detail += f" {daemon.sweep_interval_s:g} s, and the home goes away with the container"
        return Check("file system", "warn", detail, "Mount a volume for the home.")
    locks = "locks hold, " if root.is_dir() else ""
    return Check("file system", "ok", f"{kind}: {locks}dropped files are told of")


def check_inotify(limits: Path = LIMITS, processes: Path = PROCESSES) -> Check:
    """How many folders may be watched, and how many this user's programs watch by now. Beyond the limit
    the sweep still finds what is dropped, only later."""
    if not limits.is_dir():
        return Check("inotify", "warn", "not known on this system", f"Nothing is needed: {SWEPT}.")
    used = _used(processes)
    facts = []
    for name, least in (("max_user_watches", LEAST_WATCHES), ("max_user_instances", LEAST_INSTANCES)):
        limit = int((limits / name).read_text())
        fix = f"sudo sysctl fs.inotify.{name}={max(least * 8, limit * 2)}"
        what = name.removeprefix("max_user_")
        if used[name] + NEEDED[name] > limit:
            return Check("inotify", "warn", f"{used[name]:,} of {limit:,} {what} are used up: {SWEPT}", fix)
        if limit < least or used[name] > limit * 0.8:
            return Check(
                "inotify", "warn", f"only {limit:,} {what} are allowed, {used[name]:,} are used", fix
            )
        facts.append(f"{used[name]:,} of {limit:,} {what}")
    return Check("inotify", "ok", f"{' and '.join(facts)} are used")


def _used(processes: Path) -> dict[str, int]:
    """What this user's processes hold, as far as they can be read."""
    used = dict.fromkeys(NEEDED, 0)
    for process in processes.glob("[0-9]*"):
        for watches in _readers(process):
            used["max_user_instances"] += 1
            used["max_user_watches"] += watches
    return used


def _readers(process: Path) -> Iterator[int]:
    """For each of a process's inotify instances, how many watches it has."""
    try:
        if process.stat().st_uid != os.getuid():
            return
        for link in (process / "fd").iterdir():
            if str(link.readlink()) == "anon_inode:inotify":
                lines = (process / "fdinfo" / link.name).read_text().splitlines()
                yield sum(line.startswith("inotify ") for line in lines)
    except OSError:
        return  # it has ended, or is not ours to look into
