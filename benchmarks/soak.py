"""A soak: thousands of requests in bursts while everything that can die is killed, the disk fills up twice
and the clock is moved. Then: all results, each once, and nothing left.

``python benchmarks/soak.py`` takes an hour for 20,000 requests; ``--seconds 60 --requests 400`` is a short
one. It prints what it did and what it found, and exits with 1 when something does not hold.

The home lies on a small file system of its own (a loop device with ext4 as root, else a tmpfs in a
namespace), which a ballast file fills. The wall clock is moved for the master alone: its process starts with
``SystemClock.now`` and ``time.time`` replaced by ones that add what stands in a file. (Time namespaces do
not cover the wall clock, and setting the machine's would be rude.) The master is killed in the first part
only, so that its memory can be watched in the last one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.faults.invariants import after_the_end
from scripts.faults.runner import Runner, log_lines
from scripts.faults.scenario import make_template

PRIORITIES = ("critical", "high", "normal", "low")
NOOP = {"user_request": "Do nothing.", "kind": "research"}
REFUSED = {"user_request": "Fix what is not there.", "workspace": "/nonexistent"}
"""What a verifier finds out: it keeps verifiers in the game."""
REFUSED_SHARE = 0.01

SETTINGS = """
[daemon]
max_active_requests = 64
heartbeat_s = 1.0
min_free_disk_mib = 0
"""

MASTER_UNTIL = 0.55
"""Part of the time in which the master is killed too."""
DISK_FULL_AT = (0.3, 0.75)
CLOCK_AT = (0.2, 0.5, 0.8)
CLOCK_JUMPS_S = (86_400.0, -172_800.0, 93_600.0)
SAMPLE_EVERY = 0.005
"""Of the time: how often memory and descriptors are looked at."""
PATIENCE_S = 300.0
"""How long the rest may take once the faults have ended."""
MAX_GROWTH = 0.05
FD_SLACK = 12
"""Workers come and go: five of them, with two sockets each."""

MOVED_CLOCK = """
import mmap, struct, time
from datetime import datetime, timedelta, UTC
import swarmd.clock
offset = mmap.mmap(os.open({path!r}, os.O_RDONLY), 8, prot=mmap.PROT_READ)
real_time = time.time
def moved():
    return struct.unpack("d", offset[:8])[0]
time.time = lambda: real_time() + moved()
swarmd.clock.SystemClock.now = lambda self: datetime.now(UTC) + timedelta(seconds=moved())
"""


class Soak:
    """One run. ``folder`` is where the home and everything else of it lies."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.folder = folder
        make_template(folder, settings=SETTINGS, agents=4)
        self.runner = Runner(folder)
        self.expected: dict[str, tuple[str, ...]] = {}
        self.kills: Counter[str] = Counter()
        self.ends: list[str] = []
        """Ends of the daemon that nobody asked for."""
        self.samples: list[tuple[float, int, int]] = []
        """(seconds since the begin, RSS, descriptors) of the master, since its last start."""
        self.memory: tuple[float, float, float, float] | None = None
        self.span_h = 0.0
        self.refused_drops = 0
        self.began = time.monotonic()
        self._backlog: list[tuple[str, str, str]] = []
        self._killed_master = False
        self._clock = folder / "clock"
        self._move_clock(0.0)

    # --- the course of it ----------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Do it all; what does not hold."""
        self._start()
        plan = self._plan()
        while plan:
            at, action = plan.pop(0)
            while (left := self.began + at - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
                self._restart_if_dead()
            action()
            self._restart_if_dead()
        problems = self._finish()
        return problems + self.ends + self._growth()

    def _plan(self) -> list[tuple[float, Callable[[], None]]]:
        """Everything that is going to happen, by its second."""
        seconds = self.options.seconds
        plan: list[tuple[float, Callable[[], None]]] = []
        plan += [(at, partial(self._drop_burst, size)) for at, size in self._bursts()]
        at = 0.0
        while (at := at + self.rng.expovariate(1 / self.options.kill_every)) < seconds:
            plan.append((at, self._kill_one))
        if self.options.disk != "none":
            lasts = min(20.0, seconds * 0.05)
            for part in DISK_FULL_AT:
                plan += [(part * seconds, self._fill_disk), (part * seconds + lasts, self._free_disk)]
        jumps = zip(CLOCK_AT, CLOCK_JUMPS_S, strict=True)
        plan += [(part * seconds, partial(self._move_clock, jump)) for part, jump in jumps]
        every = max(0.5, SAMPLE_EVERY * seconds)
        plan += [(n * every, self._sample) for n in range(1, int(seconds / every) + 1)]
        return sorted(plan, key=lambda step: step[0])

    def _bursts(self) -> Iterator[tuple[float, int]]:
        """(second, how many requests): many small ones, some large ones, the last one before the end."""
        left = self.options.requests
        while left:
            size = min(left, self.rng.choice((1, 1, 2, 5, 20, max(1, self.options.requests // 100))))
            yield self.rng.uniform(0, self.options.seconds * 0.95), size
            left -= size

    def _finish(self) -> list[str]:
        """No more faults: wait for the rest, end the daemon, look at everything."""
        self._drop_backlog()
        deadline = time.monotonic() + PATIENCE_S
        while self.runner.results() < self.expected.keys() and time.monotonic() < deadline:
            self._restart_if_dead()
            time.sleep(0.5)
        self.seconds = time.monotonic() - self.began
        problems = []
        if status := self.runner.terminate():
            problems.append(f"the daemon ended with {status} when it was asked to stop")
        stamps = sorted(datetime.fromisoformat(line["ts"]) for line in self._own_lines())
        self.span_h = (stamps[-1] - stamps[0]).total_seconds() / 3600
        if self.span_h < (max(CLOCK_JUMPS_S) - min(CLOCK_JUMPS_S)) / 3600:
            problems.append(f"the clock was not moved: the log spans {self.span_h:.1f} h only")
        problems += after_the_end(self.runner.home, self.expected, ())
        return problems

    def _own_lines(self) -> Iterator[dict[str, Any]]:
        return (line for line in log_lines(self.runner.home) if line["writer"] != "template")

    # --- the daemon ----------------------------------------------------------------------------------

    def _start(self) -> None:
        self.runner.start(prelude=MOVED_CLOCK.format(path=str(self._clock)))
        self.samples.clear()
        self._killed_master = False

    def _restart_if_dead(self) -> None:
        """As a service manager would, after a moment."""
        process = self.runner.process
        if process is None or process.poll() is None:
            return
        if not self._killed_master:
            said = (self.folder / "daemon.out").read_bytes()[-300:].decode(errors="replace").splitlines()
            self.ends.append(f"the daemon ended by itself with {process.returncode}: {' | '.join(said[-2:])}")
        time.sleep(0.2)
        self._start()

    # --- what is done to it --------------------------------------------------------------------------

    def _drop_burst(self, size: int) -> None:
        for _ in range(size):
            name, priority = f"s-{len(self.expected):05}", self.rng.choice(PRIORITIES)
            refused = self.rng.random() < REFUSED_SHARE
            # a verifier that is killed three times over one request makes that request fail
            self.expected[name] = ("rejected", "failed") if refused else ("succeeded",)
            self._backlog.append((priority, name, json.dumps(REFUSED if refused else NOOP)))
        self._drop_backlog()

    def _drop_backlog(self) -> None:
        """Write what is to be dropped; on a full disk it stays for later, as with any careful client."""
        while self._backlog:
            priority, name, text = self._backlog[0]
            path = self.runner.home / "bus/inbox" / priority / f"{name}.json"
            part = path.with_suffix(".part")
            try:
                part.write_text(text)
                part.rename(path)
            except OSError:
                part.unlink(missing_ok=True)
                self.refused_drops += 1
                return
            self._backlog.pop(0)

    def _kill_one(self) -> None:
        """kill -9 of one process of a random kind."""
        kinds = ["agent", "agent", "verifier", "zygote", "broker"]
        if time.monotonic() - self.began < MASTER_UNTIL * self.options.seconds:
            kinds.append("master")
        kind = self.rng.choice(kinds)
        if kind == "master":
            self._killed_master = True
            self.runner.kill()
        elif pids := self._pids(kind):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(pids), 9)
        else:
            return
        self.kills[kind] += 1

    def _pids(self, kind: str) -> list[int]:
        """Processes of a kind that the daemon has now."""
        assert self.runner.process is not None
        try:
            children = psutil.Process(self.runner.process.pid).children()
            module = {"broker": "swarmd.models.broker"}.get(kind, "swarmd.agents.zygote")
            found = [child for child in children if module in child.cmdline()]
            if kind in ("zygote", "broker") or not found:
                return [child.pid for child in found]
            workers = {child.pid for child in found[0].children()}
        except psutil.Error:
            return []
        verifiers = {pid for pid in (self.runner.pid_of("verifier"),) if pid in workers}
        return sorted(verifiers if kind == "verifier" else workers - verifiers)

    def _fill_disk(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 20))
        self.kills["(disk full)"] += 1

    def _free_disk(self) -> None:
        (self.folder / "ballast").unlink()

    def _move_clock(self, seconds: float) -> None:
        fd = os.open(self._clock, os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, struct.pack("d", seconds), 0)
        os.close(fd)

    # --- what is seen of it --------------------------------------------------------------------------

    def _sample(self) -> None:
        assert self.runner.process is not None
        self._drop_backlog()
        with contextlib.suppress(psutil.Error):
            master = psutil.Process(self.runner.process.pid)
            at = time.monotonic() - self.began
            self.samples.append((at, master.memory_info().rss, master.num_fds()))

    def _growth(self) -> list[str]:
        """Whether the master's memory and descriptors stayed as they were since its last start."""
        settled = self.samples[len(self.samples) // 5 :]
        quarter = max(1, len(settled) // 4)
        if len(settled) < 8:
            return ["too few samples to say anything about memory"]
        (rss, fds), (rss_end, fds_end) = (
            [statistics.median(sample[column] for sample in part) for column in (1, 2)]
            for part in (settled[:quarter], settled[-quarter:])
        )
        self.memory = (rss, rss_end, fds, fds_end)
        problems = []
        if rss_end > rss * (1 + MAX_GROWTH):
            problems.append(f"the master's memory grew by {rss_end / rss - 1:.1%}")
        if fds_end > fds + FD_SLACK:
            problems.append(f"the master's descriptors grew from {fds:.0f} to {fds_end:.0f}")
        return problems

    def report(self, problems: Sequence[str]) -> None:
        """Say what was done and found."""
        results = len(self.runner.results())
        print(f"{results} results of {len(self.expected)} requests in {self.seconds:.0f} s", end="")
        print(f" (seed {self.options.seed}, disk {self.options.disk})")
        print("killed: " + ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items())))
        print(f"clock moved {len(CLOCK_JUMPS_S)} times: the log's lines span {self.span_h:.0f} h; ", end="")
        print(f"drops that a full disk refused, and that were tried again: {self.refused_drops}")
        if self.memory is not None:
            rss, rss_end, fds, fds_end = self.memory
            print(f"master since its last start: RSS {rss / 1e6:.1f} -> {rss_end / 1e6:.1f} MB ", end="")
            print(f"({rss_end / rss - 1:+.1%}; goal: under 5 %), descriptors {fds:.0f} -> {fds_end:.0f}")
        for problem in problems[:50]:
            print(f"PROBLEM: {problem}")
        print("all holds" if not problems else f"{len(problems)} problems")


@contextlib.contextmanager
def small_disk(folder: Path, kind: str, mib: int) -> Iterator[None]:
    """A file system of its own at ``folder``."""
    if kind == "none":
        yield
        return
    image = folder.with_suffix(".img")
    if kind == "loop":
        with image.open("wb") as file:
            file.truncate(mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-i", "4096", str(image)], check=True)
        mount = ["mount", "-o", "loop", str(image), str(folder)]
    else:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
        image.unlink(missing_ok=True)


def main() -> int:
    """Run it. Exit status 0 when everything holds, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long faults go on (%(default)g)")
    parser.add_argument("--requests", type=int, default=20_000, help="how many (%(default)s)")
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="S", help="mean, (%(default)g s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument(
        "--disk", choices=("loop", "tmpfs", "none"), default="loop" if os.getuid() == 0 else "tmpfs"
    )
    options = parser.parse_args()
    if options.disk == "tmpfs" and os.getuid() != 0:
        os.execvp("unshare", ["unshare", "-Urm", sys.executable, *sys.argv, "--disk", "tmpfs"])
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, {folder}", flush=True)
    with small_disk(folder, options.disk, 512 + options.requests // 10):
        soak = Soak(folder, options)
        try:
            problems = soak.run()
            soak.report(problems)
        finally:
            soak.runner.close()
    shutil.rmtree(folder)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
