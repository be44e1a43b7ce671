"""100,000 files dropped at once on a running daemon, the critical ones last.

``python benchmarks/flood.py`` prints, with the goals: whether the critical ones were served next, how long
``swarmd status`` took meanwhile, what the files did to the master's memory, and how soon a daemon that is
started on the rest takes the first one. ``--serve N`` stops after N results instead of serving them all.
It exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.faults.invariants import after_the_end
from scripts.faults.runner import Runner, log_lines
from scripts.faults.scenario import make_template

SETTINGS = """
[daemon]
max_active_requests = 64
min_free_disk_mib = 0
keep_requests = 0
"""
REQUEST = json.dumps({"user_request": "Do nothing.", "kind": "research"})

STATUS_GOAL_MS = 200.0
MEMORY_GOAL_MB = 25.0
CLAIM_GOAL_MS = 250.0
WATCH_S = 20.0
"""How long status and memory are watched at least."""
SLACK = 64
"""Requests that were at work already when the critical ones came (``max_active_requests``)."""


class Flood:
    """The daemon on one home, and what was measured of it."""

    def __init__(self, folder: Path, files: int, critical: int) -> None:
        make_template(folder, settings=SETTINGS, agents=4)
        self.runner = Runner(folder)
        self.ordinary = [f"n-{number:06}" for number in range(files)]
        self.critical = [f"c-{number:03}" for number in range(critical)]
        self.status_s: list[float] = []
        self.peak = 0
        self._watching = threading.Event()

    def drop(self, names: list[str], priority: str) -> float:
        """Have all ``names`` appear in the inbox; the seconds that it took. They are written elsewhere on
        the same file system first."""
        staging, target = self.runner.folder / "staging", self.runner.home / "bus/inbox" / priority
        staging.mkdir(exist_ok=True)
        for name in names:
            (staging / f"{name}.json").write_text(REQUEST)
        began = time.monotonic()
        for name in names:
            os.rename(f"{staging}/{name}.json", f"{target}/{name}.json")  # noqa: PTH104 (at once, so fast)
        return time.monotonic() - began

    def memory(self) -> int:
        """The master's resident memory, in bytes."""
        assert self.runner.process is not None
        return int(psutil.Process(self.runner.process.pid).memory_info().rss)

    def watch(self) -> threading.Thread:
        """Time ``swarmd status`` and look at the memory, until ``stop_watching``."""

        def look() -> None:
            while not self._watching.wait(2.0):
                began = time.monotonic()
                subprocess.run(
                    [sys.executable, "-m", "swarmd", "status", "--json"],
                    env=self.runner.env,
                    check=True,
                    capture_output=True,
                )
                self.status_s.append(time.monotonic() - began)
                self.peak = max(self.peak, self.memory())

        thread = threading.Thread(target=look)
        thread.start()
        return thread

    def stop_watching(self, thread: threading.Thread) -> None:
        self._watching.set()
        thread.join()

    def wait_for(self, names: set[str] | int, timeout: float) -> None:
        """Wait for the results of ``names``, or for so many of any."""

        def there() -> bool:
            outbox = self.runner.home / "bus/outbox"
            if isinstance(names, int):
                return self.count() >= names
            return all((outbox / f"{name}.json").exists() for name in names)

        while not there():
            assert self.runner.process is not None
            if self.runner.process.poll() is not None or (timeout := timeout - 0.2) < 0:
                raise SystemExit(f"no results in time; see {self.runner.folder}")
            time.sleep(0.2)

    def count(self) -> int:
        """How many results there are."""
        return sum(1 for _ in (self.runner.home / "bus/outbox").iterdir())

    def received(self) -> int:
        """How many requests were accepted."""
        return sum(line["event"] == "request_received" for line in log_lines(self.runner.home))


def overtaken(lines: Iterator[dict[str, Any]], critical: set[str], dropped: datetime) -> int:
    """How many ordinary requests were accepted after the moment ``dropped`` and ahead of the last critical
    one."""
    found, ordinary = 0, 0
    for line in lines:
        if line["event"] == "request_received" and datetime.fromisoformat(line["ts"]) > dropped:
            if line["request_id"] in critical:
                found = ordinary
            else:
                ordinary += 1
    return found


def first_claim(lines: Iterator[dict[str, Any]]) -> float | None:
    """Seconds from the last daemon_ready to the first request_received after it; None: none yet."""
    ready, claim = None, None
    for line in lines:
        if line["event"] == "daemon_ready":
            ready, claim = datetime.fromisoformat(line["ts"]), None
        elif line["event"] == "request_received" and ready and claim is None:
            claim = datetime.fromisoformat(line["ts"])
    return (claim - ready).total_seconds() if ready and claim else None


def on_a_running_daemon(flood: Flood) -> list[bool]:
    """Drop everything, wait for the critical ones, look at status and memory; which goals were met."""
    flood.runner.start()
    flood.runner.ready()
    flood.drop(["warm"], "normal")
    flood.wait_for({"warm"}, 30)
    time.sleep(1)
    before = flood.memory()
    thread = flood.watch()
    took = flood.drop(flood.ordinary, "normal")
    flood.drop(flood.critical, "critical")
    dropped = datetime.now(UTC)
    flood.wait_for(set(flood.critical), 120)
    critical_s = (datetime.now(UTC) - dropped).total_seconds()
    time.sleep(max(0.0, WATCH_S - critical_s))
    flood.stop_watching(thread)
    passed = overtaken(log_lines(flood.runner.home), set(flood.critical), dropped)
    print(f"{len(flood.ordinary)} files dropped in {took:.1f} s, then {len(flood.critical)} critical ones")
    print(f"critical ones: all done after {critical_s:.2f} s")
    print(f"swarmd status: median {statistics.median(flood.status_s) * 1000:.0f} ms of {len(flood.status_s)}")
    return [
        _show("ordinary ones taken before the last critical one", passed, SLACK),
        _show("swarmd status, the slowest", max(flood.status_s) * 1000, STATUS_GOAL_MS, "ms"),
        _show("the master's memory grew by", (flood.peak - before) / 1e6, MEMORY_GOAL_MB, "MB"),
    ]


def after_a_restart(flood: Flood) -> list[bool]:
    """kill -9 and start again on the rest; how soon the first one is taken."""
    runner = flood.runner
    runner.kill()
    if flood.received() > len(flood.ordinary) + len(flood.critical):
        print("nothing was left for a restart: give more --files")
        return []
    runner.start()
    runner.ready()
    claim = runner.wait(lambda: first_claim(log_lines(runner.home)), "the first claim", 60)
    return [_show("first claim after a start on the rest", claim * 1000, CLAIM_GOAL_MS, "ms")]


def measure(flood: Flood, serve: int | None) -> bool:
    """All of it; whether all goals were met."""
    checks = on_a_running_daemon(flood) + after_a_restart(flood)
    names = [*flood.ordinary, *flood.critical, "warm"]
    began, there = time.monotonic(), flood.count()
    flood.wait_for(min(serve or len(names), len(names)), 3600)
    if (more := flood.count() - there) > 0:
        print(f"served {more} more at {more / (time.monotonic() - began):.0f}/s")
    status = flood.runner.terminate(60)
    checks.append(_show("exit status", status, 0))
    if serve is None:
        problems = after_the_end(flood.runner.home, dict.fromkeys(names, ("succeeded",)), ())
        print("\n".join(f"PROBLEM: {problem}" for problem in problems[:20]) or "all served, each once")
        checks.append(not problems)
    return all(checks)


def _show(what: str, value: float, goal: float, unit: str = "") -> bool:
    good = value <= goal
    print(f"{'ok  ' if good else 'MISS'} {what}: {value:.0f} {unit}".rstrip() + f" (goal: at most {goal:g})")
    return good


def main() -> int:
    """Run it. Exit status 0 when every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000, help="ordinary ones (%(default)s)")
    parser.add_argument("--critical", type=int, default=20, help="critical ones (%(default)s)")
    parser.add_argument("--serve", type=int, metavar="N", help="stop after so many results (default: all)")
    parser.add_argument("--folder", type=Path, help="where the home is made; its path must be short")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flood-", dir=options.folder))
    flood = Flood(folder, options.files, options.critical)
    try:
        good = measure(flood, options.serve)
    finally:
        flood.runner.close()
    shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
