"""What hostile or broken workers say ends them, not the daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from swarmd.agents.factory import Factory, Worker
from swarmd.bus.channel import AsyncChannel, Channel, ChannelClosedError, pair
from swarmd.config import Settings
from swarmd.daemon.broker import BrokerProcess
from swarmd.home import Home
from swarmd.testing import FakeClock


class Owner:
    async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
        return

    async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
        return

    async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
        return


async def nowhere(name: str) -> Any:
    raise ChannelClosedError("there is no broker")


def deep(levels: int) -> list[Any]:
    return [] if levels == 0 else [deep(levels - 1)]


@pytest.mark.parametrize(
    "message",
    [
        {"op": "beat", "progress": "many"},
        {"op": "beat", "progress": 1e300},
        {"op": "beat", "progress": None},
        {"op": "beat", "doing": deep(200)},
        {"op": "ready", "confinement": ["landlock"]},
        {"op": "ready"},
    ],
)
def test_a_message_of_the_wrong_form_ends_only_its_worker(tmp_path: Path, message: dict[str, Any]) -> None:
    async def story() -> Worker:
        async with asyncio.TaskGroup() as background:
            factory = Factory(Home(tmp_path), Settings(), FakeClock(), Owner(), nowhere, background)
            ours, theirs = pair()
            worker = factory._new_worker("agent", "coding", "coding.1", ours)
            factory.workers[worker.name] = worker
            Channel(theirs).send(message)
            await factory._listen(worker)
            worker.channel.close()
            theirs.close()
        return worker

    worker = asyncio.run(story())
    assert worker.stopping
    assert worker.fault
    assert not worker.idle


def test_a_spawn_that_is_not_possible_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with asyncio.TaskGroup() as background:
            factory = Factory(Home(tmp_path), Settings(), FakeClock(), Owner(), nowhere, background)
            for kind in ("agent", "verifier"):
                with pytest.raises(ChannelClosedError):
                    await factory.spawn(kind, "coding")  # type: ignore[arg-type]
            assert not factory.workers

    asyncio.run(story())


def test_a_broker_that_dies_while_clients_are_attached_is_not_waited_for(tmp_path: Path) -> None:
    async def ignore(*_: Any) -> None:
        return

    async def story() -> None:
        broker = BrokerProcess(Home(tmp_path), ignore, ignore, ignore)
        ours, theirs = pair()
        broker._control = AsyncChannel(ours)
        broker._up.set()
        theirs.close()
        with pytest.raises(ChannelClosedError):
            await asyncio.wait_for(broker.attach_now("coding.1"), 1.0)
        assert not broker.is_up
        broker._control.close()

    asyncio.run(story())
