"""The relay's process, as the master sees it: it follows the settings, and is started again when it dies.

The master itself opens the sockets and passes them on, so that they are there before the broker is, and stay
while a relay is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from swarmd.models.endpoint import relay_socket
from swarmd.models.relay import Destination

__all__ = ["Relays"]

OnEvent = Callable[[str, dict[str, Any]], Awaitable[None]]

PAUSE_S = (0.1, 0.5, 2.0, 5.0)
"""Waits before a relay that has ended is started again."""
END_S = 2.0
BACKLOG = 128


class Relays:
    """One relay process for all destinations; none while there is none."""

    def __init__(self, folder: Callable[[], Path], on_event: OnEvent) -> None:
        """``folder`` makes, and returns, the home's runtime folder."""
        self._folder = folder
        self._on_event = on_event
        self._doors: dict[Destination, socket.socket] = {}
        self._keeper: asyncio.Task[None] | None = None
        self.pid: int | None = None

    async def follow(self, wanted: frozenset[Destination]) -> None:
        """Have a relay to each of ``wanted``, and to nothing else. Raises OSError or ConfigError when the
        sockets cannot be made."""
        running = self._keeper is not None and not self._keeper.done()
        if wanted == self._doors.keys() and (running or not wanted):
            return
        await self.close()
        folder = self._folder()
        for old in folder.glob("relay-*.sock"):
            old.unlink(missing_ok=True)
        for destination in sorted(wanted):
            self._doors[destination] = _listen(relay_socket(folder, destination))
        if wanted:
            self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        for pause in itertools.chain(PAUSE_S, itertools.repeat(PAUSE_S[-1])):
            status = await self._run_once()
            data = {"process": "relay", "reason": f"it ended with {status}", "level": "warning"}
            await self._on_event("relay_lost", data)
            await asyncio.sleep(pause)

    async def _run_once(self) -> int | str:
        """Start it, and wait for its end; its exit status, or why it could not be started."""
        doors = {door.fileno(): destination for destination, door in self._doors.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "swarmd.models.relay"),
                *(f"{fd}={destination}" for fd, destination in doors.items()),
                pass_fds=list(doors),
                stdin=asyncio.subprocess.PIPE,  # it ends with this
                start_new_session=True,
            )
        except OSError as error:
            return str(error)
        self.pid = process.pid
        try:
            return await process.wait()
        finally:
            self.pid = None
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await _reap(process)

    async def close(self) -> None:
        """End the relay, and remove its sockets."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._keeper = None
        for door in self._doors.values():
            path = door.getsockname()
            door.close()
            Path(path).unlink(missing_ok=True)
        self._doors = {}


def _listen(path: Path) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(str(path))
        path.chmod(0o600)
        door.listen(BACKLOG)
        door.setblocking(False)
    except BaseException:
        door.close()
        raise
    return door


async def _reap(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
