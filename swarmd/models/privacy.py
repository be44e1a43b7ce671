"""Which addresses stay on this machine.

Names are never resolved: a name can mean another machine a moment later. Only literal loopback
addresses count, unix sockets by their path, and "localhost", which is replaced by its address.
"""

from __future__ import annotations

import ipaddress
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from swarmd.errors import ModelError

__all__ = ["UNIX", "Privacy", "PrivacyError", "blocked", "is_cloud_model", "loopback_url", "tighter"]

Privacy = Literal["strict", "balanced", "off"]
UNIX = "unix:"
"""What the address of a unix socket begins with; its absolute path follows."""
MAX_SOCKET_PATH = 107
MAX_CAUSES = 16

_ORDER: tuple[Privacy, ...] = ("off", "balanced", "strict")


class PrivacyError(ModelError):
    """In strict privacy only models on this machine are asked. Choose a local one in swarmd.toml."""

    code = "E-MODEL-PRIVACY"


def tighter(one: Privacy, other: Privacy) -> Privacy:
    """The stricter of the two."""
    return max(one, other, key=_ORDER.index)


def loopback_url(url: str) -> str | None:
    """``url`` rebuilt with a literal loopback address, or None when it may leave the machine.

    It is rebuilt from the parts that were checked, so that another parser cannot read it in another
    way. "unix:/run/llama.sock" is a unix socket.
    """
    if url.startswith(UNIX):
        return _socket_url(url.removeprefix(UNIX))
    if not url.isascii() or not url.isprintable():  # control characters, which some parsers drop
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or "\\" in url or "%" in parts.netloc:
        return None
    literal = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        return None
    if not address.is_loopback or getattr(address, "ipv4_mapped", None):
        return None
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path}"


def _socket_url(path: str) -> str | None:
    parts = PurePosixPath(path).parts
    whole = path.startswith("/") and not path.startswith("//") and ".." not in parts and path.isprintable()
    return f"{UNIX}{PurePosixPath(path)}" if whole and len(path.encode()) <= MAX_SOCKET_PATH else None


def blocked(error: BaseException) -> PrivacyError | None:
    """The refusal that ``error`` is or comes from: libraries wrap what is raised when they connect."""
    seen: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if seen is None or isinstance(seen, PrivacyError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def is_cloud_model(name: str) -> bool:
    """Whether an Ollama model's name says that Ollama passes the prompt on to its cloud."""
    tag = name.rpartition(":")[2].lower()
    return tag == "cloud" or tag.endswith("-cloud")
