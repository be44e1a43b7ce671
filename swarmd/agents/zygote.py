"""The zygote: a warm, single-threaded process that forks agents and verifiers in milliseconds.

It has imported what they need, so that a fork shares it; it has no threads, so that a fork is safe.
It is the parent of all workers: it reaps them and tells the master how each one ended. Workers die
with it (PR_SET_PDEATHSIG), and it ends when the master's end of its channel closes. It also adopts what
a worker's own children leave behind, in whatever session, and ends it: a worker's end is the end of its
whole tree.

Messages from the master: ``{"op": "spawn", "name", "kind", "args"}`` with the worker's sockets and, last,
the file for its last words as descriptors. To the master: ``{"op": "spawned", "name", "pid", "start"}``
(start: process start time in clock ticks since boot) with a pidfd where there are such, and
``{"op": "exited", "name", "pid", "status"}`` (a wait status).
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from swarmd.agents import processes
from swarmd.agents.processes import process_start
from swarmd.bus.channel import Channel, ChannelClosedError
from swarmd.config import Settings
from swarmd.home import Home

__all__ = ["EXIT_BOOT_FAILURE", "main", "process_start"]

EXIT_BOOT_FAILURE = 125
"""A worker that could not start; trying again at once would not help."""

STRAY_GRACE_S = 1.0
"""How long what a dead worker left may take to end: a sandbox's launcher tidies up by itself."""
_LOOK_S = 0.1

Entry = Callable[[list[Channel], dict[str, Any]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the master on the inherited socket ``--control-fd`` until it closes."""
    parser = argparse.ArgumentParser(prog="swarmd-zygote")
    parser.add_argument("--control-fd", type=int, required=True)
    options = parser.parse_args(argv)
    processes.expose_to_oom()
    processes.adopt_orphans()
    entries = _preload()
    gc.collect()
    gc.freeze()  # children then share these pages instead of copying them at their first collection
    return Zygote(Channel(socket.socket(fileno=options.control_fd)), entries).serve()


def _preload() -> dict[str, Entry]:
    from swarmd.agents import roles, worker
    from swarmd.verify import worker as verifier

    for module in pkgutil.iter_modules(roles.__path__):  # the slowest part of an agent's start
        importlib.import_module(f"{roles.__name__}.{module.name}")

    def verify(channels: list[Channel], args: dict[str, Any]) -> None:
        home, settings = Home(Path(args["home"])), Settings.model_validate(args["settings"])
        verifier.main(channels[0], home, settings)

    return {"agent": worker.entry, "verifier": verify}


class Zygote:
    """The loop: spawn what the master asks for, reap what has ended."""

    def __init__(self, control: Channel, entries: dict[str, Entry]) -> None:
        self._control = control
        self._entries = entries
        self._names: dict[int, str] = {}
        self._strays: dict[int, float] = {}
        """Children that are no workers, and when each was first seen."""
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> int:
        """Run until the master has gone, then end all that is below. Returns the exit code."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._control.fileno(), selectors.EVENT_READ, self._take_order)
        selector.register(self._wake_read, selectors.EVENT_READ, self._reap)
        try:
            self._control.send({"op": "ready"})
            while True:
                for key, _ in selector.select(_LOOK_S if self._strays else None):
                    key.data()
                if self._strays:
                    self._end_strays()
        except ChannelClosedError:
            self._end_all()
            return 0
        finally:
            selector.close()

    def _take_order(self) -> None:
        while (received := self._control.receive(timeout=0)) is not None:
            message, fds = received
            if message["op"] == "spawn":
                self._spawn(message["name"], message["kind"], message["args"], fds)

    def _spawn(self, name: str, kind: str, args: dict[str, Any], fds: list[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # too many processes, or too little memory: the others live on
            sys.stderr.write(f"{name} ({kind}) cannot be forked: {error}\n")
            for fd in fds:
                os.close(fd)
            self._control.send({"op": "exited", "name": name, "pid": 0, "status": EXIT_BOOT_FAILURE << 8})
            return
        if pid == 0:
            self._become(parent, name, kind, args, fds)
        for fd in fds:
            os.close(fd)
        self._names[pid] = name
        handle = processes.pidfd(pid)  # here it cannot mean another: nobody else reaps it
        spawned = {"op": "spawned", "name": name, "pid": pid, "start": process_start(pid)}
        self._control.send(spawned, [] if handle is None else [handle])
        if handle is not None:
            os.close(handle)

    def _become(self, parent: int, name: str, kind: str, args: dict[str, Any], fds: list[int]) -> NoReturn:
        """In the child: cut every tie to the zygote, then run the worker. Never returns."""
        code = EXIT_BOOT_FAILURE
        try:
            if not processes.die_with_parent(parent):
                os._exit(EXIT_BOOT_FAILURE)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            *sockets, last_words = fds
            faulthandler.enable(last_words)
            self._entries[kind]([Channel(socket.socket(fileno=fd)) for fd in sockets], args)
            code = 0
        except ChannelClosedError:
            code = 0
        except BaseException:
            sys.stderr.write(f"{name} ({kind}):\n{traceback.format_exc()}")
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._strays.pop(pid, None)
                name = self._names.pop(pid, None)
                if name is not None:
                    exited = {"op": "exited", "name": name, "pid": pid, "status": status}
                    self._control.send(exited)
        self._find_strays()

    def _find_strays(self) -> None:
        """Whoever is our child and no worker was left by one."""
        for pid in processes.children(os.getpid()):
            if pid not in self._names:
                self._strays.setdefault(pid, time.monotonic())

    def _end_strays(self) -> None:
        self._find_strays()
        for pid, seen in self._strays.items():
            if time.monotonic() - seen >= STRAY_GRACE_S:
                _kill(pid)

    def _end_all(self) -> None:
        """The master has gone: end the workers at once, and soon after what they leave."""
        for pid in self._names:
            _kill(pid)
        since = time.monotonic()
        with contextlib.suppress(ChildProcessError):
            while True:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                if time.monotonic() - since >= STRAY_GRACE_S:
                    for pid in processes.children(os.getpid()):
                        _kill(pid)
                time.sleep(0.01)


def _kill(pid: int) -> None:
    """End a child of ours that is not reaped yet, so that nobody else can have its number."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
