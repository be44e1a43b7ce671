"""Which addresses stay on this machine.

Names are never resolved: a name can mean another machine a moment later. Only literal loopback
addresses count, and "localhost", which is replaced by its address.
"""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from swarmd.errors import ModelError

__all__ = ["Privacy", "PrivacyError", "is_cloud_model", "loopback_url", "tighter"]

Privacy = Literal["strict", "balanced", "off"]

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
    way.
    """
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


def is_cloud_model(name: str) -> bool:
    """Whether an Ollama model's name says that Ollama passes the prompt on to its cloud."""
    tag = name.rpartition(":")[2].lower()
    return tag == "cloud" or tag.endswith("-cloud")
