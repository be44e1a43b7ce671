"""Where a model's server is reached: over TCP, over a unix socket, or by the relay that stands for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from swarmd.config import Settings
from swarmd.models.privacy import UNIX, loopback_url
from swarmd.models.relay import Destination

__all__ = [
    "DEFAULT_URLS",
    "PORTS",
    "Endpoint",
    "Refused",
    "destinations",
    "endpoint",
    "refused_by_strict",
    "relay_socket",
]

PORTS = {"http": 80, "https": 443}
"""What a URL means that names no port."""
DEFAULT_URLS = {"anthropic": "https://api.anthropic.com"}
"""Of servers whose models need no base_url."""


@dataclass(frozen=True)
class Endpoint:
    """A server, as a provider is told of it."""

    url: str
    """What the requests say; over a unix socket only a form of words."""
    local: bool
    """Whether it is reached without leaving this machine."""
    uds: Path | None = None
    """The socket that is used in the place of the network."""
    shown: str = ""
    """The true destination, for the log."""


@dataclass(frozen=True)
class Refused:
    """An address in the settings that strict privacy never uses."""

    field: str
    """The setting."""
    model: str | None
    address: str


def endpoint(url: str, *, relays: Path | None = None, path: str = "") -> Endpoint:
    """How the server at ``url`` is reached; ``path`` is where its API begins when ``url`` is a unix socket.

    ``relays`` is the folder of the relays' sockets, for who has no network.
    """
    local = loopback_url(url)
    if local is None:
        return Endpoint(url, local=False, shown=_shown(url))
    if local.startswith(UNIX):
        socket = Path(local.removeprefix(UNIX))
        return Endpoint(f"http://127.0.0.1{path}", local=True, uds=socket, shown=local)
    relay = relay_socket(relays, _destination(local)) if relays else None
    return Endpoint(local, local=True, uds=relay, shown=_shown(local))


def relay_socket(folder: Path, destination: Destination) -> Path:
    """The socket in ``folder`` that stands for ``destination``. Its name is short: sockets' paths must be."""
    return folder / f"relay-{hashlib.sha256(str(destination).encode()).hexdigest()[:12]}.sock"


def destinations(settings: Settings) -> frozenset[Destination]:
    """Every loopback address that a model of the settings may be asked at."""
    local = (loopback_url(url) for _, _, url in _addresses(settings))
    return frozenset(_destination(url) for url in local if url and not url.startswith(UNIX))


def refused_by_strict(settings: Settings) -> list[Refused]:
    """Every address in the settings that may be on another machine."""
    return [
        Refused(field, model, _shown(url))
        for field, model, url in _addresses(settings)
        if loopback_url(url) is None
    ]


def _addresses(settings: Settings) -> list[tuple[str, str | None, str]]:
    """(setting, model, URL) of every server that a model of the settings names."""
    kinds = {model.provider for model in settings.models.values()}
    found: list[tuple[str, str | None, str]] = []
    if kinds & {"auto", "ollama"}:
        found.append(("ollama.host", None, settings.ollama.host))
    for name, model in settings.models.items():
        url = model.base_url or DEFAULT_URLS.get(model.provider)
        if url and model.provider not in ("auto", "embedded", "ollama"):
            found.append((f"models.{name}.base_url", name, url))
    return found


def _destination(url: str) -> Destination:
    parts = urlsplit(url)
    return Destination(parts.hostname or "", parts.port or PORTS[parts.scheme])


def _shown(url: str) -> str:
    """``url`` for people and the log: where, and nothing that may be secret or long."""
    try:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url[:200]
    return f"{parts.scheme}://{where}"[:200] if where else url[:200]
