"""How long until an agent is ready: forked from the warm zygote, against a fresh interpreter."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swarmd import home as homes
from swarmd.agents.factory import Factory, Worker
from swarmd.bus.channel import pair
from swarmd.clock import SystemClock
from swarmd.config import Settings
from swarmd.home import Home

ROUNDS = 20


class Owner:
    """Notes when workers say READY."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def on_worker_ready(self, worker: Worker, confinement: str) -> None:
        self.ready.set()

    async def on_worker_message(self, worker: Worker, message: dict[str, Any]) -> None:
        """Idle agents say nothing of interest."""

    async def on_worker_exit(self, worker: Worker, status: int | None) -> None:
        """They end with the benchmark."""


async def attach(_: str) -> socket.socket:
    ours, theirs = pair()
    ours.detach()  # nobody asks a model here; the other end stays open as long as this process
    return theirs


async def forked(home: Home) -> list[float]:
    """Seconds from spawn to READY, confinement included."""
    owner, seconds = Owner(), []
    async with asyncio.TaskGroup() as background:
        factory = Factory(home, Settings(), SystemClock(), owner, attach, background)
        await factory.start()
        for _ in range(ROUNDS):
            owner.ready.clear()
            began = time.perf_counter()
            worker = await factory.spawn("agent", "coding")
            await owner.ready.wait()
            seconds.append(time.perf_counter() - began)
            factory.stop(worker)
            await worker.ended.wait()
        await factory.close()
    return seconds


def fresh() -> list[float]:
    """Seconds until a new interpreter has imported what an agent needs."""
    code = "import swarmd.agents.worker, swarmd.agents.roles.coding"
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-c", code], check=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        homes.init(home, {**os.environ, "XDG_STATE_HOME": folder})
        warm = statistics.median(asyncio.run(forked(home)))
    cold = statistics.median(fresh())
    print(f"forked and confined, READY   {warm * 1000:8.1f} ms (median of {ROUNDS})")
    print(f"fresh interpreter, imported  {cold * 1000:8.1f} ms")
    print(f"ratio                        {cold / warm:8.1f}")


if __name__ == "__main__":
    main()
