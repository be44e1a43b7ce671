"""What the canaries run inside a sandbox: it tries to get out and tells how far it came.

Run by its path with one argument, a JSON object of targets; standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main"]


def _write_outside(targets: dict[str, Any]) -> object:
    return Path(targets["outside"]).write_text("written from inside")


def _read_key(targets: dict[str, Any]) -> object:
    return Path(targets["key"]).read_text()


def _tcp(targets: dict[str, Any]) -> object:
    socket.create_connection(("127.0.0.1", targets["tcp"]), timeout=1).close()
    return None


def _udp(targets: dict[str, Any]) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.sendto(b"from inside", ("127.0.0.1", targets["udp"]))


def _unix_path(targets: dict[str, Any]) -> object:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(targets["unix_path"])
    return None


def _unix_abstract(targets: dict[str, Any]) -> object:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + targets["unix_abstract"])
    return None


def _unix_datagram(targets: dict[str, Any]) -> object:
    """A pair is not a new socket, yet a datagram pair can send to any name."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        return here.sendto(b"from inside", targets["unix_datagram"])


def _signal(targets: dict[str, Any]) -> object:
    os.kill(targets["signal"], 0)  # asks only whether it would be allowed
    return None


def _loopback(targets: dict[str, Any]) -> object:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=2).close()
        server.accept()[0].close()
    return None


def _works(targets: dict[str, Any]) -> object:
    Path("written-inside").write_text(targets["token"])
    return sys.stdin.read()


ATTEMPTS: tuple[Callable[[dict[str, Any]], object], ...] = (
    _write_outside,
    _read_key,
    _tcp,
    _udp,
    _unix_path,
    _unix_abstract,
    _unix_datagram,
    _signal,
    _loopback,
    _works,
)


def main(argv: list[str]) -> None:
    """Try everything and write what came of it to the report descriptor."""
    targets = json.loads(argv[1])
    if targets.get("bomb"):
        while True:
            os.fork()
    came: dict[str, list[object]] = {}
    for attempt in ATTEMPTS:
        try:
            came[attempt.__name__[1:]] = [True, attempt(targets)]
        except OSError as error:
            came[attempt.__name__[1:]] = [False, str(error)]
    os.write(int(os.environ["SWARMD_REPORT_FD"]), json.dumps(came).encode())


if __name__ == "__main__":
    main(sys.argv)
