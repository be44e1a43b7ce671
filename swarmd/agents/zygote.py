"""The zygote: a warm, single-threaded process that forks agents and verifiers in milliseconds.

It has imported what they need, so that a fork shares it; it has no threads, so that a fork is safe.
It is the parent of all workers: it reaps them and tells the master how each one ended. Workers die
with it (PR_SET_PDEATHSIG), and it ends when the master's end of its channel closes.

Messages from the master: ``{"op": "spawn", "name", "kind", "args"}`` with the worker's sockets as
descriptors. To the master: ``{"op": "spawned", "name", "pid", "start"}`` (start: process start time
in clock ticks since boot) and ``{"op": "exited", "name", "pid", "status"}`` (a wait status).
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from swarmd.bus.channel import Channel, ChannelClosedError
from swarmd.config import Settings
from swarmd.home import Home

__all__ = ["EXIT_BOOT_FAILURE", "main", "process_start"]

PR_SET_PDEATHSIG = 1

EXIT_BOOT_FAILURE = 125
"""A worker that could not start; trying again would not help."""

Entry = Callable[[list[Channel], dict[str, Any]], None]


def process_start(pid: int) -> int:
    """Start time of process ``pid`` in clock ticks since boot: with the pid it names one process.

    Raises OSError when there is no such process (or no /proc).
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rpartition(")")[2].split()[19])


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the master on the inherited socket ``--control-fd`` until it closes."""
    parser = argparse.ArgumentParser(prog="swarmd-zygote")
    parser.add_argument("--control-fd", type=int, required=True)
    options = parser.parse_args(argv)
    entries = _preload()
    gc.collect()
    gc.freeze()  # children then share these pages instead of copying them at their first collection
    return Zygote(Channel(socket.socket(fileno=options.control_fd)), entries).serve()


def _preload() -> dict[str, Entry]:
    from swarmd.agents import worker
    from swarmd.verify import worker as verifier

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
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> int:
        """Run until the master has gone. Returns the exit code."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._control.fileno(), selectors.EVENT_READ, self._take_order)
        selector.register(self._wake_read, selectors.EVENT_READ, self._reap)
        self._control.send({"op": "ready"})
        try:
            while True:
                for key, _ in selector.select():
                    key.data()
        except ChannelClosedError:
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
        self._control.send({"op": "spawned", "name": name, "pid": pid, "start": process_start(pid)})

    def _become(self, parent: int, name: str, kind: str, args: dict[str, Any], fds: list[int]) -> NoReturn:
        """In the child: cut every tie to the zygote, then run the worker. Never returns."""
        code = EXIT_BOOT_FAILURE
        try:
            _die_with_parent(parent)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            faulthandler.enable()
            self._entries[kind]([Channel(socket.socket(fileno=fd)) for fd in fds], args)
            code = 0
        except ChannelClosedError:
            code = 0
        except BaseException:
            sys.stderr.write(f"{name} ({kind}):\n{traceback.format_exc()}")
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                if not os.read(self._wake_read, 4096):
                    break
            except BlockingIOError:
                break
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            name = self._names.pop(pid, "")
            self._control.send({"op": "exited", "name": name, "pid": pid, "status": status})


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the zygote dies, also if that is just happening."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(EXIT_BOOT_FAILURE)


if __name__ == "__main__":
    sys.exit(main())
