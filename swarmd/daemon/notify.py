"""Telling the service manager how the daemon is: systemd's notification protocol.

A message is one datagram of ``NAME=value`` lines to the socket that $NOTIFY_SOCKET names. Nothing here
waits or raises: a manager that does not listen is no reason for the daemon to stand still. What could
not be sent goes along with the next message, so READY is not lost to a full queue.

The master owns one Notifier and calls, in this order:

- ``waiting`` while it cannot begin;
- ``ready`` once it takes requests (beside the line ``daemon_ready``);
- ``alive`` on every pass of its main loop, and wherever that loop waits on purpose (for room on the
  disk): it sends no more often than is needed. It must not be called by a thread or task of its own,
  which would go on while the main loop hangs;
- ``status`` when there is something that a person should read in ``systemctl status``;
- ``reloading`` before settings are read again, ``ready`` after;
- ``stopping`` when it was asked to end, and ``close`` at the very end.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Self

__all__ = ["Notifier"]

MAX_STATUS = 200
EXTENSION_S = 60
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """The daemon's line to its service manager; every method does nothing where there is none."""

    def __init__(
        self,
        address: str = "",
        watchdog_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``address``: a path, or a name in the abstract namespace with ``@`` in front; any other kind
        is ignored."""
        self.watchdog_s = watchdog_s
        """The manager ends and restarts a daemon that has not been ``alive`` for so many seconds; None:
        it does not watch."""
        self._address = _address(address)
        self._monotonic = monotonic
        self._beat_at = -float("inf")
        self._unsent: dict[str, str] = {}
        # Opened once: a daemon that is out of descriptors must still be able to say that it is alive.
        self._socket = _open() if self._address else None

    @classmethod
    def from_env(cls, env: MutableMapping[str, str], pid: int | None = None) -> Notifier:
        """The notifier that ``env`` asks for; ``pid`` is this process's, unless given.

        The variables are taken out of ``env``: they are meant for this process, not for its children.
        """
        address, period, watched = (env.pop(name, "") for name in VARIABLES)
        mine = watched in ("", str(os.getpid() if pid is None else pid))
        microseconds = int(period) if period.isascii() and period.isdigit() else 0
        return cls(address, microseconds / 1e6 if address and mine and microseconds else None)

    def ready(self) -> None:
        """The daemon takes requests, for the first time or again after ``reloading``."""
        self._send(READY="1")

    def status(self, text: str) -> None:
        """Show ``text``, one line, in ``systemctl status``."""
        line = "".join(character if character.isprintable() else " " for character in text)
        self._send(STATUS=line[:MAX_STATUS])

    def waiting(self, why: str) -> None:
        """It is not ready, for a reason that may last: its manager should not give up for a minute.
        Say it again within that time."""
        self.status(why)
        self._send(EXTEND_TIMEOUT_USEC=str(EXTENSION_S * 1_000_000))
        self.alive()

    def reloading(self) -> None:
        """Settings are being read again; ``ready`` ends it."""
        # systemd 253 and newer match the reload to their request by this clock.
        self._send(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))

    def stopping(self) -> None:
        """The daemon was asked to end and does so."""
        self._send(STOPPING="1")

    def alive(self) -> None:
        """The main loop turns. Cheap: a message is sent four times in ``watchdog_s`` at most."""
        if self.watchdog_s is None or self._monotonic() - self._beat_at < self.watchdog_s / 4:
            return
        if self._send(WATCHDOG="1"):
            self._beat_at = self._monotonic()

    def _send(self, **fields: str) -> bool:
        if self._socket is None:
            return False
        if "READY" in fields:  # a reload that is over need not be told
            self._unsent.pop("RELOADING", None)
        self._unsent |= fields
        message = "".join(f"{name}={value}\n" for name, value in self._unsent.items())
        try:
            self._socket.sendto(message.encode(errors="replace"), socket.MSG_DONTWAIT, self._address)
        except OSError:
            return False
        self._unsent.clear()
        return True

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _address(text: str) -> bytes:
    """What the kernel calls the socket; empty for what is no local one (a vsock of a virtual machine)."""
    if text.startswith("@") and len(text) > 1:
        return b"\0" + os.fsencode(text[1:])
    return os.fsencode(text) if text.startswith("/") else b""


def _open() -> socket.socket | None:
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:
        return None
