"""One point of the walk: a copy of a home, one fault, a restart, and what must hold then."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scripts.faults.injection import (
    FAULTS,
    MARK,
    TARGETS,
    Point,
    applies,
    counting,
    injected,
    points_of,
    syncs_after,
)
from scripts.faults.invariants import after_the_end, at_the_crash
from scripts.faults.runner import DiedError, Runner, StuckError
from scripts.faults.scenario import Scenario, coding, copy_home, make_template, noop
from swarmd.testing import ScriptedModel
from tests.acceptance.harness import make_repository, scripted_settings
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers

__all__ = ["Outcome", "Walk"]

KILLED = -9
CRASH_AFTER = 6
"""Results after which the home of the target "recovery" crashed."""


Status = Literal["held", "failed", "not reached", "not applicable"]


@dataclass
class Outcome:
    """How one point ended."""

    point: str
    status: Status
    problems: list[str] = field(default_factory=list)
    at: str = ""
    """The system call that the fault was injected into."""


class Walk:
    """Homes and scenarios for all targets, made once. Use it as a context manager.

    ``folder`` must have a short path: sockets lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._model = ScriptedModel(answers(GOOD_COUNTER))
        self._number = 0
        self._numbering = threading.Lock()
        self._homes: dict[str, tuple[Path, Scenario]] = {}

    def __enter__(self) -> Walk:
        self._model.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._model.__exit__(None, None, None)

    def points(self, target: str) -> list[Point]:
        """All points of ``target``, from a run without faults. Raises RuntimeError when that fails."""
        runner, scenario = self._fresh(target)
        trial = Trial(runner, scenario, target)
        try:
            trial.play(counting([FAULTS[name] for name in TARGETS[target]]))
            if trial.status:
                trial.problems.append(f"it ended with {trial.status}")
        except (DiedError, StuckError) as error:
            trial.problems.append(str(error))
        finally:
            trial.trace = trial.trace or runner.untrace()
            runner.close()
        problems = trial.problems + after_the_end(runner.home, scenario.expected, scenario.dead)
        if problems:
            raise RuntimeError(f"{target} without any fault: {problems}; see {runner.folder}")
        shutil.rmtree(runner.folder)
        return points_of(target, trial.trace, str(runner.home))

    def run(self, point: Point) -> Outcome:
        """Inject one fault. The home of a point that failed is kept."""
        runner, scenario = self._fresh(point.target)
        trial = Trial(runner, scenario, point.target, point)
        try:
            trial.with_fault(point)
            trial.once_more()
        finally:
            runner.close()
        trial.problems += after_the_end(runner.home, scenario.expected, scenario.dead)
        outcome = trial.judge(point)
        if outcome.status != "failed":
            shutil.rmtree(runner.folder)
        else:
            outcome.problems.append(f"kept: {runner.folder}")
        return outcome

    # --- homes -------------------------------------------------------------------------------------

    def _fresh(self, target: str) -> tuple[Runner, Scenario]:
        make: dict[str, Callable[[], tuple[Path, Scenario]]] = {
            "verifier": self._coding_home,
            "recovery": self._crashed_home,
        }
        with self._numbering:
            if target not in self._homes:
                self._homes[target] = make.get(target, lambda: self._noop_home(target))()
            self._number += 1
            number = self._number
        home, scenario = self._homes[target]
        return copy_home(home, self.folder / f"p{number}"), copy.deepcopy(scenario)

    def _noop_home(self, target: str) -> tuple[Path, Scenario]:
        return make_template(self.folder / f"t-{target}"), noop(warm=target != "master")

    def _coding_home(self) -> tuple[Path, Scenario]:
        words = make_repository(self.folder / "words", COUNTER)
        home = make_template(self.folder / "t-coding", scripted_settings(self._model))
        return home, coding(words, COUNTER_REQUEST)

    def _crashed_home(self) -> tuple[Path, Scenario]:
        """A home whose daemon was killed in the middle of the work, with everything dropped."""
        folder, scenario = self.folder / "t-recovery", noop(own_ids=True)
        make_template(folder)
        runner = Runner(folder)
        scenario.early, scenario.late = scenario.early + scenario.late, []
        scenario.drop_early(runner)
        runner.start()
        runner.wait(lambda: len(runner.results()) >= CRASH_AFTER, "some results")
        runner.kill()
        runner.close()
        return runner.home, scenario


class Trial:
    """The daemon on one home, with at most one fault."""

    def __init__(self, runner: Runner, scenario: Scenario, target: str, point: Point | None = None) -> None:
        self._runner = runner
        self._scenario = scenario
        self._target = target
        self._on_master = target in ("master", "recovery")
        self._prelude = point.prelude if point else ""
        self.problems: list[str] = []
        self.trace = ""
        self.status: int | None = None
        """The exit status of the daemon that met the fault."""

    def play(self, options: Sequence[str]) -> None:
        """The whole scenario, the end of the daemon included, with strace on the target. Raises DiedError
        or StuckError when the daemon does not get through it."""
        runner = self._runner
        if self._target != "recovery":
            self._scenario.drop_early(runner)
        runner.start(options if self._on_master else (), self._prelude)
        runner.ready()
        if not self._on_master:
            runner.trace(options, self._worker())
        self._scenario.play(runner)
        self.status = runner.terminate()
        self.trace = runner.untrace()

    def _worker(self) -> int:
        """The pid of the process that the fault is for, once it idles."""
        runner, warm = self._runner, self._scenario.warm
        if self._target in ("zygote", "broker"):
            return int(runner.wait(lambda: runner.pid_in_log(self._target), f"the {self._target}'s pid"))
        assert warm is not None
        name, agent_type = warm
        runner.wait(lambda: name in runner.results(), f"the result of {name}", self._scenario.seconds)
        return int(runner.wait(lambda: runner.pid_of(agent_type), f"the pid of a {agent_type}"))

    def with_fault(self, point: Point) -> None:
        """Play until the end or until the fault ends the daemon, and look at what it left."""
        try:
            self.play(point.options)
        except StuckError as error:
            self.problems.append(f"with the fault: {error}")
            self._runner.kill()
        except DiedError:
            assert self._runner.process is not None
            self.status = self._runner.process.returncode
        self.trace = self.trace or self._runner.untrace()
        lost = at_the_crash(self._runner.home, self._scenario.dropped)
        self.problems += [f"at the crash: {text}" for text in lost]

    def once_more(self) -> None:
        """Start it again, without a fault: it must bring everything to its end."""
        runner = self._runner
        try:
            runner.start()
            runner.ready()
            self._scenario.play(runner)
            if status := runner.terminate():
                self.problems.append(f"the restarted daemon ended with {status}")
        except (DiedError, StuckError) as error:
            self.problems.append(f"after the restart: {error}")

    def judge(self, point: Point) -> Outcome:
        """How the point ended."""
        hits = self._hits(point)
        at = _call_of(self.trace, hits[0]) if hits else ""
        if point.fault.name == "enospc" and not all(applies(hit, str(self._runner.home)) for hit in hits):
            return Outcome(point.name, "not applicable", at=at)
        if hits:
            self._judge_end(point)
        status: Status = "failed" if self.problems else "held" if hits else "not reached"
        return Outcome(point.name, status, self.problems, at)

    def _hits(self, point: Point) -> list[str]:
        if point.fault.name == "short":
            return ["half a write"] if (self._runner.folder / MARK).exists() else []
        if point.fault.name == "kill":
            return [line for line in self.trace.splitlines() if "killed by SIGKILL" in line]
        return injected(self.trace)

    def _judge_end(self, point: Point) -> None:
        """Whether the daemon may have ended as it did."""
        wanted = {"kill": "be killed", "eio": "fail"}.get(point.fault.name, "go on")
        if not self._on_master:
            wanted = "go on"
        did = {0: "go on", KILLED: "be killed"}.get(self.status or 0, "fail")
        if did != wanted:
            self.problems.append(f"the daemon ended with status {self.status}; it should {wanted}")
        if point.fault.name == "eio":
            self.problems += [f"a sync after one that failed: {line}" for line in syncs_after(self.trace)]


def _call_of(trace: str, hit: str) -> str:
    """The call that a fault was injected into, as strace shows it."""
    if "killed by" not in hit:
        return hit
    lines = [line for line in trace.splitlines() if "(" in line]
    return lines[-1] if lines else hit
