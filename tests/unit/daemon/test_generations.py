"""Keeping a zygote alive, and keeping no other alive once that is over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

from swarmd import durable
from swarmd.agents.factory import _end
from swarmd.agents.spec import Types
from swarmd.config import Settings
from swarmd.daemon.context import Context
from swarmd.daemon.generations import Generations
from swarmd.daemon.journal import Journal
from swarmd.daemon.state import State
from swarmd.home import Home
from swarmd.testing import FakeClock


class Stubborn:
    """A factory whose zygote is still starting, and whose start fails when it is broken off."""

    zygote_pid = None

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.starting = asyncio.Event()
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        self.starting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.starts > 1:
                raise
            raise ProcessLookupError from None


def test_no_other_is_started_when_the_start_of_one_fails_as_it_is_broken_off(tmp_path: Path) -> None:
    home, clock = Home(tmp_path), FakeClock()
    durable.make_dirs(*home.folders())
    state = State(lambda request_id, name: b"")

    async def story() -> int:
        context = Context(home, Settings(), clock, Journal(home, clock, state.apply), state, Types({}, {}))
        factory: Any = Stubborn()
        generations = Generations(context, factory, Random(1))
        async with asyncio.timeout(5), asyncio.TaskGroup() as background:
            generations.start(background)
            await factory.starting.wait()
            generations.close()
        context.journal.close()
        return factory.starts

    assert asyncio.run(story()) == 1


class Ended:
    """A process that ends between the moment when it is late and the one when it is killed."""

    def __init__(self) -> None:
        self.killed = asyncio.Event()

    async def wait(self) -> int:
        await self.killed.wait()
        return 0

    def kill(self) -> None:
        self.killed.set()
        raise ProcessLookupError


def test_a_process_that_ends_as_it_is_killed_is_no_error() -> None:
    async def story() -> None:
        process: Any = Ended()
        await _end(process, 0.01)
        assert process.killed.is_set()

    asyncio.run(story())
