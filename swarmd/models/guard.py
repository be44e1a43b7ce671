"""The last check of an address: at the moment of the connect, whatever led to it.

Two guards that know nothing of each other. ``guard`` is for one HTTP client and holds in every degree of
privacy: what was made for this machine connects to this machine. ``forbid_leaving`` is for a whole process
that serves strict privacy, and cannot be taken back.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from typing import Any, TypeVar

from swarmd.models.privacy import PrivacyError

__all__ = ["check_address", "forbid_leaving", "guard"]

Transport = TypeVar("Transport")

CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
OF_THIS_MACHINE = {getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name)}


def check_address(host: object) -> None:
    """Raise PrivacyError unless ``host`` is a literal loopback address. Names are not looked up: asking for
    one already tells somebody else."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise PrivacyError(f"a connection to {text[:200]!r} was stopped: it is no literal address") from None
    if not address.is_loopback or getattr(address, "ipv4_mapped", None):
        raise PrivacyError(f"a connection to {address} was stopped: it is not this machine")


class _Backend:
    """A network backend of httpcore, or of its successor, that connects where it may."""

    def __init__(self, inner: Any, uds: Path | None) -> None:
        self._inner = inner
        self._uds = str(uds) if uds else None

    async def connect_tcp(self, host: Any, port: int, *args: Any, **options: Any) -> Any:
        if self._uds is not None:
            raise PrivacyError(f"a connection to {host!s:.200} was stopped: only {self._uds} may be used")
        check_address(host)
        return await self._inner.connect_tcp(host, port, *args, **options)

    async def connect_unix_socket(self, path: str, *args: Any, **options: Any) -> Any:
        if path != self._uds:
            raise PrivacyError(f"a connection to the socket {path[:200]} was stopped: it was not asked for")
        return await self._inner.connect_unix_socket(path, *args, **options)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def guard(transport: Transport, uds: Path | None = None) -> Transport:
    """``transport`` (of httpx or httpx2), which from now on connects to loopback addresses only; with ``uds``
    to that socket only. Redirects and proxies would have to connect as well.

    Raises PrivacyError for one whose inside is not known here: better no call than an unguarded one.
    """
    inside: Any = transport
    try:
        inside._pool._network_backend = _Backend(inside._pool._network_backend, uds)
    except AttributeError as error:
        raise PrivacyError(f"this HTTP client cannot be guarded: {error}") from error
    return transport


def forbid_leaving() -> None:
    """From now on, Python code of this process that connects, sends or looks up anything but a literal
    loopback address gets a PrivacyError. What is not Python is not seen: that is the namespace's part."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in CONNECTS:
            _check_socket(args[0], args[1])
        elif event in LOOKUPS and args[0] not in (None, ""):
            first = args[0]
            check_address(first[0] if isinstance(first, tuple) else first)

    sys.addaudithook(hook)


def _check_socket(sock: Any, address: Any) -> None:
    if sock.family in OF_THIS_MACHINE or address is None:  # None: to where it is connected already
        return
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        raise PrivacyError("a connection was stopped: its kind of address may lead off this machine")
    check_address(address[0])
