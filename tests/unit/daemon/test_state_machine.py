"""The daemon's core against a simple model, over everything that may happen in any order.

One process, no sleeping: the clock stands still until a rule moves it, workers do what a rule says, and
the disk fills up, fails and forgets when a rule wants it. ``SWARMD_MACHINE_EXAMPLES=5000`` explores
further than every run of the tests does.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from swarmd.agents.factory import Worker
from swarmd.messages import PRIORITIES, Priority
from tests.unit.daemon.machine.crew import DIED
from tests.unit.daemon.machine.world import World

EXAMPLES = int(os.environ.get("SWARMD_MACHINE_EXAMPLES", "45"))
STEPS = int(os.environ.get("SWARMD_MACHINE_STEPS", "40"))

some = st.integers(0, 7)
ways = st.sampled_from(
    ["good", "good", "good", "patch", "findings", "none", "broken", "absent", "late", "twice"]
)


class Daemon(RuleBasedStateMachine):
    """Each rule does one thing, lets everything happen that follows, and looks at what must hold."""

    folder: ClassVar[Path]
    numbers: ClassVar[itertools.count[int]] = itertools.count()

    @initialize(durability=st.sampled_from(["power", "power", "power", "process"]))
    def begin(self, durability: str) -> None:
        folder = self.folder / f"{next(self.numbers)}"
        folder.mkdir()
        self.world = World(folder, durability)
        self.world.start()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.world.finish()
                if self.world.power:
                    self.world.lose_power(Random(len(self.world.drops)))
                    self.world.start()
                    self.world.finish()
        finally:
            self.world.close()

    def go(self) -> None:
        self.world.settle()
        self.world.check()

    # --- people

    @rule(
        priority=st.sampled_from(PRIORITIES),
        name=st.sampled_from(["", "", "job.json", "Job.JSON"]),
        request_id=st.sampled_from([None, None, None, "a", "b"]),
        junk=st.sampled_from(["", "", "", "", "text", "field", "list"]),
        told=st.booleans(),
        cut=st.sampled_from([False, False, False, True]),
    )
    def drop(
        self, priority: Priority, name: str, request_id: str | None, junk: str, told: bool, cut: bool
    ) -> None:
        self.world.drop(priority, name, request_id, junk, told=told, cut=cut and not junk)
        self.go()

    @rule(number=some, priority=st.sampled_from(PRIORITIES))
    def drop_again(self, number: int, priority: Priority) -> None:
        named = [drop for drop in self.world.drops if drop.request_id and not drop.is_junk]
        if named:
            self.world.drop(priority, same_as=named[number % len(named)])
            self.go()

    @rule(number=some)
    def complete(self, number: int) -> None:
        cut = [drop for drop in self.world.drops if drop.rest]
        if cut:
            self.world.complete(cut[number % len(cut)])
            self.go()

    @rule(command=st.sampled_from(["cancel", "cancel", "retry", "retry"]), number=some)
    def tell(self, command: str, number: int) -> None:
        known = self.world.known_ids()
        self.world.command(command, known[number % len(known)] if known else "nobody")
        self.go()

    @rule(command=st.sampled_from(["pause", "resume", "resume"]))
    def hold(self, command: str) -> None:
        self.world.command(command)
        self.go()

    # --- workers

    def with_worker(self, number: int, act: Callable[[Worker], object]) -> None:
        if self.world.process is None or not self.world.process.started:
            self.world.start()
        process = self.world.process
        if process is not None and process.started and (workers := process.hands.workers()):
            act(workers[number % len(workers)])
        self.go()

    @rule(number=some)
    def worker_is_ready(self, number: int) -> None:
        self.with_worker(number, lambda w: self.hands.ready(w))

    @rule(number=some, how=ways)
    def worker_answers(self, number: int, how: str) -> None:
        self.with_worker(number, lambda w: self.hands.answer(w, how))

    @rule()
    def workers_are_good(self) -> None:
        for number in range(4):
            self.with_worker(number, lambda w: self.hands.ready(w))
            self.with_worker(number, lambda w: self.hands.answer(w, "good"))

    @rule(number=some)
    def worker_beats(self, number: int) -> None:
        self.with_worker(number, lambda w: self.hands.beat(w))

    @rule(number=some, how=ways, status=st.sampled_from([DIED, DIED, 0, None]), speaks=st.booleans())
    def worker_dies(self, number: int, how: str, status: int | None, speaks: bool) -> None:
        def die(worker: Worker) -> None:
            if speaks:
                self.hands.answer(worker, how)
            self.hands.factory.end(worker, status)  # type: ignore[attr-defined]

        self.with_worker(number, die)

    @rule()
    def reap(self) -> None:
        self.with_worker(0, lambda w: self.hands.factory.reap())  # type: ignore[attr-defined]

    @property
    def hands(self):  # type: ignore[no-untyped-def]
        assert self.world.process is not None
        return self.world.process.hands

    # --- time

    @rule(seconds=st.sampled_from([0.25, 0.75, 1.0, 1.0, 11.0, 30.0, 60.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)
        self.world.check()

    @rule(seconds=st.sampled_from([-90_000.0, -5.0, 5.0, 90_000.0]))
    def jump(self, seconds: float) -> None:
        self.world.clock.jump(seconds)
        self.go()

    # --- the daemon

    @rule()
    def start(self) -> None:
        self.world.start()

    @rule()
    def stop(self) -> None:
        self.world.stop()

    @rule()
    def checkpoint(self) -> None:
        if self.world.process is not None and self.world.process.started:
            self.world.process.begin_anchor()
        self.go()
        self.world.check_fold()

    @rule()
    def look(self) -> None:
        self.world.check_fold()
        self.world.check_log()

    # --- what goes wrong

    @rule(held=st.booleans())
    def slow_disk(self, held: bool) -> None:
        if self.world.process is not None:
            self.world.loop.held = held
            self.go()

    @rule(room=st.sampled_from([0, 0, 30, 200, 1000, 3000]))
    def fill_disk(self, room: int) -> None:
        self.world.disk.room = room
        self.go()

    @rule()
    def free_disk(self) -> None:
        self.world.disk.room = None
        self.world.wait(0.75)
        self.world.check()

    @rule(number=st.integers(1, 5))
    def short_writes(self, number: int) -> None:
        self.world.disk.short = number

    @rule(number=st.integers(0, 5))
    def fail_sync(self, number: int) -> None:
        self.world.disk.failing_sync = number

    @rule(number=st.integers(0, 40), half=st.integers(0, 2))
    def crash_soon(self, number: int, half: int) -> None:
        self.world.disk.crash_in, self.world.disk.crash_half = number, half

    @rule()
    def kill(self) -> None:
        self.world.kill()

    @rule(random=st.randoms(use_true_random=False))
    def lose_power(self, random: Random) -> None:
        if self.world.power:
            self.world.lose_power(random)
        else:
            self.world.kill()


def test_the_daemon_does_what_the_model_says(tmp_path: Path) -> None:
    Daemon.folder = tmp_path
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Daemon,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize="SWARMD_MACHINE_EXAMPLES" not in os.environ,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
