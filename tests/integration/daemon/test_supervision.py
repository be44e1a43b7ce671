"""Workers with real processes: what hangs, crashes or daemonises ends, whole, and leaves evidence."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from swarmd import durable
from swarmd.agents import lastwords, processes
from swarmd.agents.factory import Factory, Worker
from swarmd.agents.spec import Types
from swarmd.audit import read_lines
from swarmd.bus.channel import Channel, pair
from swarmd.clock import SystemClock
from swarmd.config import Settings
from swarmd.council.registry import Registry, read_active
from swarmd.daemon.context import Context
from swarmd.daemon.crew import Crew
from swarmd.daemon.journal import Journal
from swarmd.daemon.state import State
from swarmd.home import Home

ODD_ZYGOTE = (sys.executable, str(Path(__file__).with_name("odd_zygote.py")))
FAST = {"heartbeat_s": 0.1, "hung_after_s": 0.5, "restart_failures": 3, "min_free_memory_mib": 0}


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    """Whether the process has ended and been reaped."""
    return not psutil.pid_exists(pid)


@asynccontextmanager
async def crew_of(
    home: Home, zygote: tuple[str, ...] = ODD_ZYGOTE, *, warm: bool = True
) -> AsyncIterator[tuple[Crew, Context]]:
    """A crew whose zygote is the odd one and whose broker is up in name only. Unless it is to be ``warm``,
    its process need only have been started."""
    durable.make_dirs(*home.folders())
    settings = Settings.model_validate({"daemon": FAST | {"max_load_per_core": 0}})
    state, clock = State(lambda request_id, name: b""), SystemClock()
    context = Context(home, settings, clock, Journal(home, clock, state.apply), state, Types({}, {}))

    async def attach(_: str) -> Any:
        ours, theirs = pair()
        ours.close()
        return theirs

    async def ignore(worker: Worker, message: dict[str, Any]) -> None:
        return

    async with asyncio.TaskGroup() as background:
        crew = Crew(context, Registry(home, clock, "boot"), ignore, background, Random(1))
        crew.factory._attach = attach
        crew.factory._command = zygote
        crew.broker._up.set()
        crew._generations.start(background)
        await until(lambda: crew.factory.alive if warm else crew.factory.zygote_pid)
        try:
            yield crew, context
        finally:
            context.draining = True
            await crew.close()
    context.journal.close()


async def hired(crew: Crew, agent_type: str) -> Worker:
    """A worker of the type that is ready."""
    return await until(lambda: crew.take("agent", agent_type, 1))


def zygote_of(crew: Crew) -> int:
    pid = crew.factory.zygote_pid
    assert pid, "0 would mean all processes of this group"
    return pid


def lines(home: Home, name: str) -> list[dict[str, Any]]:
    return [line for line, _ in read_lines(home.master_log) if line["event"] == name]


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.parametrize("how", ["killed", "died", "zygote", "closed"])
def test_a_grandchild_in_another_session_ends_with_its_worker(tmp_path: Path, how: str) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            worker = await hired(crew, "daemonising")
            grandchild = int((await until(lambda: _read(tmp_path / "grandchild"))).strip())
            assert os.getsid(grandchild) not in (worker.pid, os.getsid(0))
            if how == "killed":
                crew.factory.kill(worker)
            elif how == "died":
                os.kill(worker.pid, signal.SIGKILL)
            elif how == "zygote":
                os.kill(zygote_of(crew), signal.SIGKILL)
            else:
                await crew.close()
            await until(lambda: gone(worker.pid) and gone(grandchild))

    run(story)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("agent_type", ["ordinary", "stubborn"])
def test_a_worker_that_stands_still_says_where_and_ends(tmp_path: Path, agent_type: str) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            worker = await hired(crew, agent_type)
            worker.work, worker.request_id, worker.task_id = "o1", "r", "task-001"
            if agent_type == "ordinary":
                await until(lambda: worker.progress)
                worker.channel.post({"op": "hang"})

            async def check() -> None:
                while not worker.ended.is_set():
                    await crew.check()
                    await asyncio.sleep(0.05)

            await asyncio.wait_for(check(), 20)
            await until(lambda: lines(home, "agent_lost"))

    run(story)
    (lost,) = lines(home, "agent_lost")
    assert lost["data"]["signal"] == "SIGABRT"
    assert "hung" in lost["data"]["reason"]
    assert lost["data"]["work"] == "o1"
    if agent_type == "ordinary":
        assert lost["data"]["doing"].startswith("step")
        assert "stand_still_here" in (tmp_path / lost["data"]["dump"]).read_text()


def test_a_stopped_process_is_ended_too(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            worker = await hired(crew, "ordinary")
            worker.work = "o1"
            os.kill(worker.pid, signal.SIGSTOP)
            while not worker.ended.is_set():
                await crew.check()
                await asyncio.sleep(0.05)

    run(story)


def test_a_crash_leaves_its_stacks_as_evidence(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            worker = await hired(crew, "ordinary")
            worker.channel.post({"op": "crash"})
            await until(lambda: lines(home, "agent_lost"))

    run(story)
    (lost,) = lines(home, "agent_lost")
    assert (lost["data"]["signal"], lost["data"]["exit_code"]) == ("SIGABRT", -signal.SIGABRT)
    assert "odd_zygote.py" in (tmp_path / lost["data"]["dump"]).read_text()


def test_a_type_that_fails_too_often_pauses_and_the_others_go_on(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            await until(lambda: crew.take("agent", "failing", 1) or lines(home, "type_paused"))
            await hired(crew, "ordinary")
            started = len(lines(home, "agent_spawned"))
            for _ in range(20):
                assert crew.take("agent", "failing", 1) is None
                await asyncio.sleep(0.01)
            assert len(lines(home, "agent_spawned")) == started

    run(story)
    assert len(lines(home, "agent_lost")) == 3


def test_the_death_of_the_zygote_ends_its_generation_and_the_next_one_comes(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            first = await hired(crew, "ordinary")
            os.kill(zygote_of(crew), signal.SIGKILL)
            second = await until(lambda: first.ended.is_set() and crew.take("agent", "ordinary", 1))
            assert second.generation == first.generation + 1
            await until(lambda: gone(first.pid), 1.0)
            await until(lambda: len(lines(home, "process_started")) == 2)

    run(story)
    assert lines(home, "process_lost")[0]["data"]["exit_code"] == -signal.SIGKILL
    assert lines(home, "agent_lost")[0]["data"]["exit_code"] == "with its zygote"


def test_a_zygote_that_cannot_start_is_tried_again_and_ends_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, context):
            crew.factory._command = (sys.executable, "-c", "raise SystemExit(1)")
            os.kill(zygote_of(crew), signal.SIGKILL)
            await until(lambda: len(lines(home, "process_failed")) == 2)
            assert crew.take("agent", "ordinary", 1) is None
            crew.factory._command = ODD_ZYGOTE
            await until(lambda: crew.factory.alive)
            assert context.wake.is_set()

    run(story)


def test_a_stop_while_the_zygote_starts_leaves_nothing_and_starts_no_other(tmp_path: Path) -> None:
    deaf = (sys.executable, "-c", "import time; time.sleep(60)")

    async def story() -> None:
        async with asyncio.timeout(30), crew_of(Home(tmp_path), deaf, warm=False) as (crew, _):
            started = zygote_of(crew)
        assert gone(started)
        assert crew.factory.zygote_pid in (None, started), "another one was started"

    asyncio.run(story())
    failed = [line for line, _ in read_lines(Home(tmp_path).master_log) if line["event"] == "process_failed"]
    assert not failed


def test_no_more_are_started_than_may_live_however_often_it_is_asked(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            for _ in range(50):
                crew.take("agent", "silent", 3, waiting=100)
                assert crew.factory.count("agent", "silent") <= 3
                await asyncio.sleep(0.002)
            assert crew.factory.count("agent", "silent") == 3

    run(story)
    assert len(lines(home, "agent_spawned")) == 3


def test_the_registry_agrees_with_the_processes_and_nothing_is_left_open(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def story() -> None:
        async with crew_of(home) as (crew, _):
            workers = [await hired(crew, name) for name in ("ordinary", "other")]
            await _shows(crew, home, {w.name: w.pid for w in workers})
            before = open_files()
            for _ in range(5):
                os.kill(workers[1].pid, signal.SIGKILL)
                await until(lambda: workers[1].ended.is_set())
                await _shows(crew, home, {"ordinary.1": workers[0].pid})
                crew._restarts._types.clear()
                workers[1] = await hired(crew, "other")
            assert open_files() == before

    run(story)


async def _shows(crew: Crew, home: Home, wanted: dict[str, int]) -> None:
    def shown() -> bool:
        crew.publish()
        active = read_active(home)
        return active is not None and {a.agent_id: a.pid for a in active.agents.values()} == wanted

    await until(shown, 2.0)


def test_the_real_zygote_marks_what_comes_from_it_and_confines(tmp_path: Path) -> None:
    from swarmd import home as homes

    home = Home(tmp_path / "home")
    homes.init(home, {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})

    class Owner:
        level = ""

        async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
            self.level = confinement

        async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
            return

        async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
            return

    async def attach(_: str) -> Any:
        ours, theirs = pair()
        kept.append(ours)
        return theirs

    kept: list[Any] = []
    owner = Owner()

    async def story() -> None:
        async with asyncio.TaskGroup() as background:
            factory = Factory(home, Settings(), SystemClock(), owner, attach, background)
            await factory.start()
            worker = await factory.spawn("agent", "coding")
            await until(lambda: worker.ready)
            assert processes.oom_score(worker.pid) > processes.oom_score(os.getpid())
            factory.abort(worker, fault="to see where it is")
            await until(worker.ended.is_set)
            assert "receive" in worker.last_words
            await factory.close()

    run(story)
    for sock in kept:
        sock.close()
    assert owner.level.startswith("landlock")


def test_a_zygote_whose_master_is_gone_takes_everything_along(tmp_path: Path) -> None:
    ours, theirs = pair()
    with theirs:
        command = [*ODD_ZYGOTE, f"--control-fd={theirs.fileno()}"]
        zygote = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
    control, (kept, given), last_words = Channel(ours), pair(), lastwords.open_file()
    with zygote, kept, given:
        assert control.receive(30)
        order = {"op": "spawn", "name": "a.1", "kind": "agent"}
        args = {"home": str(tmp_path), "agent_type": "daemonising"}
        control.send(order | {"args": args}, [given.fileno(), last_words])
        received = control.receive(30)
        assert received is not None
        for fd in (*received[1], last_words):
            os.close(fd)
        deadline = time.monotonic() + 15
        while not (text := _read(tmp_path / "grandchild")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        control.close()  # as the kernel does when the master is killed
        assert zygote.wait(15) == 0
    assert gone(received[0]["pid"])
    assert gone(int(text))


def test_an_adopted_orphan_is_reaped_only_when_nobody_else_has_done_it_for_a_while() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    zombies = processes.Zombies()
    zombies.look()
    assert not gone(pid)
    zombies.look()
    assert gone(pid)
