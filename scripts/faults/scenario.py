"""What the daemon is given to do while faults are injected, and the homes on which it does so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.faults.runner import Runner
from swarmd import home as homes
from swarmd.audit import Chain
from swarmd.home import Home
from swarmd.testing import add_noop_type

__all__ = ["Scenario", "coding", "copy_home", "make_template", "noop"]

SETTINGS = """
[daemon]
max_active_requests = 8
max_verifiers = 1
sweep_interval_s = 1.0
settle_s = 0.1
half_written_s = 0.2
heartbeat_s = 0.5
drain_s = 5.0
[logs]
segment_mib = 1
"""
SEGMENT = 1 << 20
FILL = SEGMENT - 24 * 1024
"""Bytes of log that a home begins with: the scenario's own lines then fill the segment."""

SLOW_TYPE = """
description = "Needs a moment, so that it can be cancelled."
role = "scripts.faults.slow_role"
accepts = ["docs"]
workspace = "none"
"""

BAD = "broken.json"
PRIORITIES = ("critical", "high", "normal", "low")
NOOP = {"user_request": "Do nothing.", "kind": "research"}
SLOW = {"user_request": "Take your time.", "kind": "docs"}
CANCELLED = "slow"
WARM = "warm"


def make_template(folder: Path, more: str = "", *, settings: str = SETTINGS, agents: int = 1) -> Path:
    """A fresh home in ``folder`` whose log is about to be rotated. ``settings``, then ``more``, is its
    swarmd.toml; ``agents``: no-op agents at one time."""
    runner = Runner(folder)
    home = runner.home
    homes.init(Home(home), runner.env)
    (home / "swarmd.toml").write_text(settings + more)
    add_noop_type(home / "agents", max_instances=agents)
    (home / "agents/slow").mkdir()
    (home / "agents/slow/agent.toml").write_text(SLOW_TYPE)
    (home / "agents/slow/prompt.md").write_text("Wait.\n")
    _fill_log(home / "logs/master.jsonl")
    return home


def _fill_log(path: Path) -> None:
    chain = Chain(path, "template")
    line = {
        "ts": "2026-01-01T00:00:00.000Z",
        "event": "filler",
        "level": "debug",
        "actor": "template",
        "data": {"text": "x" * 8000},
    }
    while chain.size < FILL:
        chain.append([line], durable_write=False)
    chain.close()


Drop = tuple[str, str, Mapping[str, Any]]
"""(priority, id, request)"""


@dataclass
class Scenario:
    """Requests, in the order in which they are dropped, and how each must end."""

    early: list[Drop]
    """Dropped before the daemon starts."""
    late: list[Drop]
    """Dropped while it works."""
    expected: dict[str, tuple[str, ...]]
    dead: tuple[str, ...] = ()
    cancel: str | None = None
    warm: tuple[str, str] | None = None
    """(id of the request that brings up a worker, its type), for faults in workers."""
    seconds: float = 90.0
    """How long a part of it may take."""
    dropped: list[str] = field(default_factory=list)
    """What was dropped so far, as paths in the home."""

    def drop_early(self, runner: Runner) -> None:
        """What lies in the inbox before the daemon comes."""
        for priority, name, request in self.early:
            self._drop(runner.home, priority, name, request)
        for bad in self.dead:
            self.dropped.append(f"bus/inbox/high/{bad}")
            (runner.home / self.dropped[-1]).write_text('{"user_request": 7}')

    def play(self, runner: Runner) -> None:
        """Drop the rest, cancel one, and wait until everything has ended. May be repeated, and goes on
        where it was. Raises DiedError when the daemon ends meanwhile, StuckError when it hangs."""
        there = {Path(path).stem for path in self.dropped}
        for priority, name, request in self.late:
            if name not in there:
                self._drop(runner.home, priority, name, request)
        if self.cancel is not None:
            self._cancel(runner, self.cancel)
        runner.wait(lambda: runner.results() >= self.expected.keys(), "all results", self.seconds)
        runner.wait(lambda: self._settled(runner.home), "empty inbox and control, dead letters", self.seconds)

    def _settled(self, home: Path) -> bool:
        parts = [home / "bus" / part for part in ("inbox", "control", "active")]
        letters = [home / f"bus/deadletter/{bad}.error.json" for bad in self.dead]
        waiting = any(file.is_file() for part in parts for file in part.rglob("*"))
        return not waiting and all(letter.exists() for letter in letters)

    def _cancel(self, runner: Runner, name: str) -> None:
        orders = runner.home / "bus/agents"
        runner.wait(
            lambda: name in runner.results() or list(orders.glob("slow.*/in/*")),
            f"{name} is worked on",
            self.seconds,
        )
        if name not in runner.results():
            command = {"command": "cancel", "request_id": name}
            (runner.home / "bus/control" / "cancel.json").write_text(json.dumps(command))

    def _drop(self, home: Path, priority: str, name: str, request: Mapping[str, Any]) -> None:
        """Every other file is renamed into place, as careful programs do; the rest is written in place."""
        self.dropped.append(f"bus/inbox/{priority}/{name}.json")
        path = home / self.dropped[-1]
        if len(self.dropped) % 2:
            temporary = path.with_suffix(".part")
            temporary.write_text(json.dumps(request))
            temporary.rename(path)
        else:
            path.write_text(json.dumps(request))


def noop(*, warm: bool = False, own_ids: bool = False) -> Scenario:
    """20 requests without work, over all priorities: 19 that end at once and one that is cancelled,
    beside a file that is none. ``warm``: one comes first and alone. ``own_ids``: the
    requests name their ids themselves, so that even a copy of a dropped file is known again."""
    names = [f"r-{number:02}" for number in range(19)]
    if warm:
        names[0] = WARM
    requests: list[Drop] = [(PRIORITIES[n % 4], name, NOOP) for n, name in enumerate(names)]
    slow: Drop = ("critical", CANCELLED, SLOW)
    if own_ids:
        requests = [_with_id(drop) for drop in requests]
        slow = _with_id(slow)
    early, late = (requests[:1], [*requests[1:], slow]) if warm else (requests[:8], [slow, *requests[8:]])
    return Scenario(
        early=early,
        late=late,
        expected=dict.fromkeys(names, ("succeeded",)) | {CANCELLED: ("cancelled", "succeeded")},
        dead=(BAD,),
        cancel=CANCELLED,
        warm=(WARM, "noop") if warm else None,
    )


def _with_id(drop: Drop) -> Drop:
    priority, name, request = drop
    return priority, name, {**request, "request_id": name}


def coding(repository: Path, request: Mapping[str, Any]) -> Scenario:
    """One request that is judged, integrated and delivered by a verifier. The verifier is brought up by
    another one, about a folder that is no repository."""
    empty = repository.parent / "empty"
    empty.mkdir(exist_ok=True)
    return Scenario(
        early=[("high", WARM, {**request, "workspace": str(empty)})],
        late=[("high", "fix", {**request, "workspace": str(repository)})],
        expected={WARM: ("rejected",), "fix": ("succeeded",)},
        warm=(WARM, "verifier"),
        seconds=90.0,
    )


def copy_home(template: Path, folder: Path) -> Runner:
    """A runner on a copy of ``template``, in the new folder ``folder``."""
    runner = Runner(folder)
    shutil.copytree(template, runner.home, symlinks=True)
    return runner
