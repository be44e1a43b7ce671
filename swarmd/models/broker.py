"""The broker: the only process that talks to models.

Started as ``python -m swarmd.models.broker --home PATH --control-fd N``. The master attaches each
asker by passing it one end of a socket; what an asker sends is checked like any other input.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarmd import config
from swarmd.bus.channel import AsyncChannel, ChannelClosedError
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import CallContext
from swarmd.models import netns
from swarmd.models.asker import Asker
from swarmd.models.calls import Calls
from swarmd.models.endpoint import refused_by_strict
from swarmd.models.guard import forbid_leaving
from swarmd.models.privacy import PrivacyError
from swarmd.models.purse import Purse
from swarmd.models.routing import Router
from swarmd.models.store import Store, default_folder

__all__ = ["MASTER", "Broker", "main"]

MASTER = "master"
"""The name of the asker that says itself what its calls are part of."""


class Broker:
    """Serves attached askers until it is told to stop or the control channel ends."""

    def __init__(self, control: AsyncChannel, router: Router, home: Home) -> None:
        self._control = control
        self._router = router
        router.on_loaded = lambda fields: self.emit("model_loaded", fields)
        router.on_event = self.emit
        self._calls = Calls(router.settings, router, self.emit, Purse(home.spent_file), home.sent)
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._askers: dict[str, Asker] = {}

    def emit(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell the master of an event, for the log."""
        self._events.put_nowait({"op": "event", "event": event, "fields": dict(fields)})

    async def run(self) -> None:
        """Work until stopped; then end every call, every engine, and send what is left to say."""
        sender = asyncio.create_task(self._send_events())
        try:
            await self._control.send({"op": "ready", "models": self._router.describe()})
            await self._obey()
        finally:
            await asyncio.gather(*(asker.close() for asker in self._askers.values()))
            await self._router.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._events.join()
            sender.cancel()
            self._control.close()

    async def _send_events(self) -> None:
        while True:
            frame = await self._events.get()
            try:
                await self._send_event(frame)
            except ChannelClosedError:
                return  # the master is gone, and with it the log; run() ends by itself
            finally:
                self._events.task_done()

    async def _send_event(self, frame: dict[str, Any]) -> None:
        """Whatever is in it, the log goes on: one that is too long is told of in short."""
        try:
            await self._control.send(frame)
        except ChannelClosedError:
            raise
        except SwarmdError as error:
            short = {"reason": error.message[:300], "level": "error"}
            await self._control.send({"op": "event", "event": frame["event"], "fields": short})

    async def _obey(self) -> None:
        while True:
            try:
                order, fds = await self._control.receive()
            except ChannelClosedError:
                return
            if order.get("op") == "attach" and len(fds) == 1:
                await self._attach(str(order.get("client")), fds.pop())
            elif order.get("op") == "assign":
                self._assign(order)
            elif order.get("op") == "forget":
                self._calls.budget.forget(str(order.get("request_id")))
            elif order.get("op") == "detach":
                await self._detach(str(order.get("client")))
            elif order.get("op") == "abort":
                for asker in self._askers.values():
                    asker.abort(str(order.get("request_id")))
            elif order.get("op") == "stop":
                return
            for fd in fds:
                os.close(fd)

    async def _attach(self, name: str, fd: int) -> None:
        await self._detach(name)
        channel = AsyncChannel(socket.socket(fileno=fd), max_fds=0)
        self._askers[name] = Asker(name, channel, self._calls, is_master=name == MASTER)

    def _assign(self, order: Mapping[str, Any]) -> None:
        """What an asker's calls are part of from now on, and what its request has used before."""
        about = CallContext.model_validate(order["about"])
        if about.request_id is not None:
            self._calls.budget.told(about.request_id, int(order["tokens"]))
        if asker := self._askers.get(str(order.get("client"))):
            asker.assign(about)

    async def _detach(self, name: str) -> None:
        if asker := self._askers.pop(name, None):
            await asker.close()


def _sweep(runtime: Path) -> None:
    """Remove what engines of brokers that are dead left behind."""
    import psutil

    for path in runtime.glob("engine-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def _isolation(wanted: bool) -> tuple[str, dict[str, Any]] | None:
    """Leave the network, if that is wanted: the event that says what came of it."""
    if not wanted:
        return None
    try:
        netns.enter()
    except OSError as error:
        return "broker_not_isolated", {"reason": str(error), "level": "warning"}
    return "broker_isolated", {}


def _keep_strict(broker: Broker, settings: config.Settings) -> None:
    """Let no Python code of this process connect to another machine, and say which settings would."""
    forbid_leaving()
    for one in refused_by_strict(settings):
        reason = f"{one.field} is {one.address}, which is not this machine"
        told = {"code": PrivacyError.code, "reason": reason, "model": one.model or "", "level": "warning"}
        broker.emit("privacy_blocked", told)


async def _serve(home: Home, control_fd: int, isolation: tuple[str, dict[str, Any]] | None) -> None:
    control = AsyncChannel(socket.socket(fileno=control_fd), max_fds=1)
    settings = config.load(home.settings_file, os.environ)
    runtime = home.make_runtime()
    _sweep(runtime)
    relays = runtime if isolation and isolation[0] == "broker_isolated" else None
    router = Router(settings, Store(default_folder(settings)), runtime, relays=relays)
    broker = Broker(control, router, home)
    if isolation:
        broker.emit(*isolation)
    if settings.privacy == "strict":
        _keep_strict(broker, settings)
    task = asyncio.ensure_future(broker.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def main(argv: Sequence[str] | None = None) -> int:
    """The process. Exit status 0 after a stop, SIGTERM or the master's end."""
    parser = argparse.ArgumentParser(prog="swarmd.models.broker", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--control-fd", type=int, required=True, help="an inherited socket to the master")
    parser.add_argument("--isolate", action="store_true", help="have no network but the relays")
    options = parser.parse_args(argv)
    isolation = _isolation(options.isolate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's to handle
    asyncio.run(_serve(Home(options.home.absolute()), options.control_fd, isolation))
    return 0


if __name__ == "__main__":
    sys.exit(main())
