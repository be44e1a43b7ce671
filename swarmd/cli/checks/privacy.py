"""What strict privacy rests on here: the settings, the broker's namespace, and Ollama's own cloud."""

from __future__ import annotations

import http.client
import json
import sys
from typing import Literal
from urllib.parse import urlsplit

from swarmd.audit.pretty import clean
from swarmd.cli.checks.check import Check
from swarmd.config import Settings

__all__ = ["check_privacy", "may_ask_ollama", "ollama_cloud"]

TIMEOUT_S = 1.0
MAX_ANSWER = 1 << 16


def check_privacy(settings: Settings, cloud: Literal["on", "off"] | None = None) -> Check:
    """Whether what ``privacy`` says can be kept here, and by what. ``cloud``: what Ollama says of its own."""
    if settings.privacy != "strict":
        return Check("privacy", "ok", f"{settings.privacy}: models on other machines may be asked")
    from swarmd.models import netns
    from swarmd.models.endpoint import destinations, refused_by_strict

    if refused := refused_by_strict(settings):
        where = f"{refused[0].field} is {clean(refused[0].address)}"
        detail = f"strict, and {where}: it is never asked"
        return Check("privacy", "warn", detail, "Remove it from swarmd.toml, or change privacy there.")
    if reason := netns.why_not():
        detail = f"strict by swarmd's own checks alone: {clean(reason)}"
        fix = netns.FIX if sys.platform.startswith("linux") else "Nothing can be done on this system."
        return Check("privacy", "warn", detail, fix)
    if cloud == "on":
        detail = "strict, but Ollama's own cloud is on; what Ollama says runs there is refused"
        return Check("privacy", "warn", detail, "Start Ollama with OLLAMA_NO_CLOUD=1.")
    relays = ", ".join(map(str, sorted(destinations(settings)))) or "nothing"
    return Check("privacy", "ok", f"strict: the broker has no network but relays to {relays}")


def may_ask_ollama(settings: Settings) -> bool:
    """Whether even a doctor may connect to where Ollama is said to be."""
    from swarmd.models.privacy import loopback_url

    return settings.privacy != "strict" or loopback_url(settings.ollama.host) is not None


def ollama_cloud(settings: Settings) -> Literal["on", "off"] | None:
    """Whether the Ollama on this machine may pass prompts on; None: it does not say, or none is here."""
    from swarmd.models.privacy import UNIX, loopback_url

    url = loopback_url(settings.ollama.host)
    if url is None or url.startswith(UNIX):
        return None
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/api/status")
        said = json.loads(connection.getresponse().read(MAX_ANSWER))
        return "off" if said["cloud"]["disabled"] is True else "on"
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None
    finally:
        connection.close()
