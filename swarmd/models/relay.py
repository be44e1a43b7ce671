"""The relay: what the broker has instead of a network.

It runs outside of the broker's namespace, takes connections on unix sockets, and carries each to the one
address that its socket stands for. Nobody can tell it another: the addresses come with its command line, are
literal, and on the loopback interface. It looks at nothing that it carries.

Started as ``python -m swarmd.models.relay FD=HOST:PORT …``, every FD being a listening socket that it
inherits; it ends when its standard input does, which is when the master has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Destination", "main"]

CONNECT_S = 5.0
CHUNK = 65_536


@dataclass(frozen=True, order=True)
class Destination:
    """One literal loopback address, and all that a relay connects to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Destination:
        """The reverse of ``str``. Raises ValueError for what is no literal loopback address."""
        host, _, port = text.rpartition(":")
        address = ipaddress.ip_address(host.strip("[]"))
        if not address.is_loopback or getattr(address, "ipv4_mapped", None) or not 0 < int(port) < 65_536:
            raise ValueError(f"{text} is not a loopback address")
        return cls(str(address), int(port))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Everything from ``source`` to ``target``, no faster than it takes it."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()


async def _connect(near: tuple[asyncio.StreamReader, asyncio.StreamWriter], destination: Destination) -> None:
    """Carry one connection until either side ends it; an end on one side is the end of both, so that a call
    which is cancelled frees its place on the server."""
    writers = [near[1]]
    try:
        async with asyncio.timeout(CONNECT_S):
            far = await asyncio.open_connection(destination.host, destination.port)
        writers.append(far[1])
        both = [asyncio.create_task(_carry(near[0], far[1])), asyncio.create_task(_carry(far[0], near[1]))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    except (OSError, TimeoutError):
        pass  # the broker sees a connection that closes at once, and says who does not answer
    finally:
        for writer in writers:
            writer.close()
        for writer in writers:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    await writer.wait_closed()


async def _serve(doors: Sequence[tuple[int, Destination]]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    servers = []
    for fd, destination in doors:

        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Destination = destination
        ) -> None:
            await _connect((reader, writer), to)

        servers.append(await asyncio.start_unix_server(take, sock=socket.socket(fileno=fd)))
    await ended.wait()
    for server in servers:
        server.close()


def _door(text: str) -> tuple[int, Destination]:
    fd, _, address = text.partition("=")
    return int(fd), Destination.parse(address)


def main(argv: Sequence[str] | None = None) -> int:
    """The process. Exit status 0 after the master's end or SIGTERM; 2 for an address that is not this
    machine's."""
    parser = argparse.ArgumentParser(prog="swarmd.models.relay", description=__doc__)
    parser.add_argument("doors", nargs="+", type=_door, metavar="FD=HOST:PORT")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's to handle
    asyncio.run(_serve(options.doors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
