"""The check at the moment of the connect, for one HTTP client."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import ModelError
from swarmd.models.guard import check_address, guard
from swarmd.models.privacy import PrivacyError, blocked


class Inner:
    """A network that notes where it was asked to connect."""

    def __init__(self) -> None:
        self.connected: list[object] = []

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        self.connected.append((host, port))
        raise ConnectionRefusedError

    async def connect_unix_socket(self, path: str, **options: Any) -> Any:
        self.connected.append(path)
        raise ConnectionRefusedError


def get(module: str, url: str, uds: Path | None = None) -> list[object]:
    """Ask ``url`` with a guarded client; where it connected."""
    httpx, inner = importlib.import_module(module), Inner()
    transport = httpx.AsyncHTTPTransport(uds=str(uds) if uds else None, trust_env=False)
    transport._pool._network_backend = inner

    async def run() -> None:
        async with httpx.AsyncClient(transport=guard(transport, uds), trust_env=False) as client:
            await client.get(url)

    with pytest.raises((PrivacyError, ConnectionRefusedError)) as caught:
        asyncio.run(run())
    if caught.type is PrivacyError:
        assert not inner.connected
    return inner.connected


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
def test_a_client_for_this_machine_connects_to_this_machine(module: str) -> None:
    assert get(module, "http://127.0.0.1:9/") == [("127.0.0.1", 9)]
    assert get(module, "http://[::1]:9/") == [("::1", 9)]
    for elsewhere in ("192.0.2.1", "models.example.com", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
        assert get(module, f"http://{elsewhere}:9/") == []


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
def test_a_client_for_a_unix_socket_connects_to_that_one_whatever_the_url_says(module: str) -> None:
    path = Path("/run/swarmd/relay.sock")
    assert get(module, "http://models.example.com/", path) == [str(path)]


def test_a_client_whose_inside_is_unknown_is_not_used() -> None:
    with pytest.raises(PrivacyError, match="cannot be guarded"):
        guard(object())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", b"127.0.0.1"])
def test_loopback_passes(host: object) -> None:
    check_address(host)


@pytest.mark.parametrize(
    "host", ["127.1", "localhost", "", None, "::", "::ffff:127.0.0.1", "fe80::1%lo", b"\xff"]
)
def test_anything_else_does_not(host: object) -> None:
    with pytest.raises(PrivacyError):
        check_address(host)


def test_a_refusal_is_found_under_what_libraries_make_of_it() -> None:
    refusal, wrapped, told = PrivacyError("no"), ConnectionError("failed"), ModelError("cannot be reached")
    wrapped.__cause__, told.__context__ = refusal, wrapped
    assert blocked(told) is refusal
    assert blocked(ModelError("something else")) is None
