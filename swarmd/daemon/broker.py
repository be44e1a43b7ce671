"""The broker's process, as the master sees it: started, connected, and started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from socket import socket
from typing import Any

from swarmd.agents.environment import for_models
from swarmd.bus.channel import AsyncChannel, ChannelClosedError, pair
from swarmd.config import Settings
from swarmd.daemon.backoff import STABLE_S, Delays
from swarmd.daemon.relays import Relays
from swarmd.errors import ConfigError
from swarmd.home import Home
from swarmd.messages import CallContext, ChatCall, ChatReply
from swarmd.models.client import AsyncBrokerClient
from swarmd.models.endpoint import destinations

__all__ = ["BrokerProcess"]

OnEvent = Callable[[str, dict[str, Any]], Awaitable[None]]
OnLost = Callable[[int | None], Awaitable[None]]
OnStarted = Callable[[int, dict[str, Any]], Awaitable[None]]

OnFailed = Callable[[str], Awaitable[None]]

READY_S = 60.0
"""A broker that has not said by then that it is ready is ended."""


class BrokerProcess:
    """One broker, kept alive. ``attach`` waits while there is none."""

    def __init__(
        self,
        home: Home,
        on_event: OnEvent,
        on_started: OnStarted,
        on_lost: OnLost,
        *,
        on_failed: OnFailed | None = None,
        random: Random | None = None,
        settings: Callable[[], Settings] | None = None,
    ) -> None:
        """``on_failed`` hears why a broker could not even be started; that is tried again. ``settings``, as
        they are whenever a broker is started, say whether it may have a network; None: it may."""
        self._home = home
        self._on_event = on_event
        self._on_started = on_started
        self._on_lost = on_lost
        self._on_failed = on_failed
        self._settings = settings
        self._relays = Relays(home.make_runtime, on_event)
        self._delays = Delays(random or Random())  # noqa: S311 - nothing secret
        self._control: AsyncChannel | None = None
        self._up = asyncio.Event()
        self._closing = self._renewing = False
        self._runner: asyncio.Task[None] | None = None
        self._client: AsyncBrokerClient | None = None
        self._connecting = asyncio.Lock()
        self._assigned: dict[str, dict[str, Any]] = {}
        """What each client's calls are part of, for the next broker."""
        self.pid: int | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is a broker that takes calls."""
        return self._up.is_set()

    @property
    def relay_pid(self) -> int | None:
        """The relay's process, while there is one."""
        return self._relays.pid

    def start(self, background: asyncio.TaskGroup) -> None:
        """Begin to keep a broker alive, in the background."""
        self._runner = background.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while not self._closing:
            await asyncio.sleep(self._delays.next())
            since = time.monotonic()
            try:
                await self._run_once()
            except (OSError, ConfigError) as error:
                if self._on_failed is not None:
                    await self._on_failed(f"the broker cannot be started: {error}")
            if time.monotonic() - since > STABLE_S:
                self._delays.settled()

    def _is_strict(self) -> bool:
        return self._settings is not None and self._settings().privacy == "strict"

    async def _isolation(self) -> list[str]:
        """Its option, if the broker is to have no network; there are relays then to what it may reach."""
        settings = self._settings() if self._settings else None
        if settings is None or settings.privacy != "strict" or sys.platform != "linux":
            await self._relays.follow(frozenset())
            return []
        await self._relays.follow(destinations(settings))
        return ["--isolate"]

    async def _run_once(self) -> None:
        isolation = await self._isolation()
        ours, theirs = pair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "swarmd.models.broker",
                f"--home={self._home.root}",
                f"--control-fd={theirs.fileno()}",
                *isolation,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=for_models(os.environ) if self._is_strict() else None,
            )
            undo.pop_all()
        self.pid = process.pid
        control = AsyncChannel(ours)
        late = asyncio.get_running_loop().call_later(READY_S, self._end_if_late, process)
        try:
            while True:
                message, _ = await control.receive()
                await self._hear(control, message)
        except ChannelClosedError:
            pass
        finally:
            late.cancel()
            self._up.clear()
            self._control = None
            control.close()
            try:
                status = await _reap(process)
            finally:
                self.pid = None
        if self._renewing:
            self._renewing = False
            self._delays.settled()
        else:
            await self._on_lost(status)

    def _end_if_late(self, process: asyncio.subprocess.Process) -> None:
        if not self._up.is_set() and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _hear(self, control: AsyncChannel, message: dict[str, Any]) -> None:
        if message["op"] == "ready":
            self._control = control
            self._up.set()
            assert self.pid is not None
            if self._client is not None:  # calls in flight are asked again
                await self._client.replace(AsyncChannel(await self.attach_now("master")))
            await self._on_started(self.pid, message.get("models", {}))
        elif message["op"] == "event":
            if message["event"].startswith("model_"):  # it works; it says other things before it does
                self._delays.settled()
            await self._on_event(message["event"], message["fields"])

    async def attach(self, client: str) -> socket:
        """A new connection to the broker for ``client``: the client's end. Waits for a broker."""
        while True:
            await self._up.wait()
            with contextlib.suppress(ChannelClosedError):
                return await self.attach_now(client)

    async def attach_now(self, client: str) -> socket:
        """As ``attach``, but raises ChannelClosedError when there is no broker. What the start of the
        next broker depends on may not wait for one."""
        control = self._require()
        ours, theirs = pair()
        with theirs:
            try:
                await control.send({"op": "attach", "client": client}, [theirs.fileno()])
                if client in self._assigned:
                    await control.send(self._assigned[client])
            except ChannelClosedError:
                ours.close()
                if control is self._control:
                    self._up.clear()
                    control.close()  # so that what reads it ends, too, and another broker comes
                raise
            except BaseException:  # the caller has given up; that says nothing of the broker
                ours.close()
                raise
        return ours

    def _require(self) -> AsyncChannel:
        if self._control is None:
            raise ChannelClosedError("the broker is not running")
        return self._control

    async def assign(self, client: str, about: CallContext, tokens: int) -> None:
        """Say what ``client``'s calls are part of from now on, and how many ``tokens`` that has used."""
        order = {
            "op": "assign",
            "client": client,
            "about": about.model_dump(mode="json"),
            "tokens": tokens,
        }
        self._assigned[client] = order
        await self._send(order)

    async def forget(self, request_id: str) -> None:
        """The request has ended."""
        await self._send({"op": "forget", "request_id": request_id})

    async def detach(self, client: str) -> None:
        """Forget a client that has ended."""
        self._assigned.pop(client, None)
        await self._send({"op": "detach", "client": client})

    async def abort(self, request_id: str) -> None:
        """End all calls of a request."""
        await self._send({"op": "abort", "request_id": request_id})

    async def renew(self) -> None:
        """Have another broker take the place of the one that is up, with the settings as they are now.
        Calls in flight are made again there."""
        self._renewing = True
        await self._send({"op": "stop"})

    async def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ChannelClosedError):
            await self._require().send(message)

    async def chat(self, call: ChatCall) -> ChatReply:
        """Ask a model for the master itself. Raises ModelError. A broker that dies is waited for."""
        async with self._connecting:  # another attachment by this name would end the first one
            if self._client is None:
                self._client = AsyncBrokerClient(AsyncChannel(await self.attach("master")))
        return await self._client.chat(call)

    async def close(self) -> None:
        """End the broker and its engines."""
        self._closing = True
        if self._client is not None:
            await self._client.close()
        await self._send({"op": "stop"})
        if self._runner is not None:
            for _ in range(50):
                if self.pid is None:
                    break
                await asyncio.sleep(0.05)
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
        await self._relays.close()


async def _reap(process: asyncio.subprocess.Process) -> int | None:
    """Wait for the end of a process whose channel has closed; kill it when it does not come."""
    try:
        return await asyncio.wait_for(process.wait(), 2.0)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            process.kill()
        return await process.wait()
