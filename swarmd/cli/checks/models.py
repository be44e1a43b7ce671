"""Checks of the models: whether each tier can be served."""

from __future__ import annotations

import http.client
import importlib.util
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from swarmd.audit.pretty import clean
from swarmd.cli.checks.check import Check
from swarmd.config import ModelSettings, Settings
from swarmd.models.store import Store, default_folder

__all__ = ["check_models", "check_ollama", "ollama_models"]

TIMEOUT_S = 1.0
MAX_ANSWER = 4 << 20


def ollama_models(host: str) -> set[str] | None:
    """The names of the models that the Ollama at ``host`` has; None when none answers.

    Asked without its client, which takes half a second to load, and without proxies.
    """
    try:
        url = urlsplit(host if "//" in host else f"http://{host}")
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = make(url.hostname or "127.0.0.1", url.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/api/tags")
            answer = json.loads(connection.getresponse().read(MAX_ANSWER))
        finally:
            connection.close()
        return {str(model["name"]) for model in answer["models"]}
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None


def check_ollama(settings: Settings, found: set[str] | None) -> Check:
    """Whether Ollama answers. It is only needed where a model says so."""
    host = clean(settings.ollama.host)
    if found is not None:
        return Check("ollama", "ok", f"answers at {host} with {len(found)} models")
    needed = [name for name, model in settings.models.items() if model.provider == "ollama"]
    if needed:
        return Check("ollama", "fail", f"does not answer at {host}; {needed[0]} needs it", "ollama serve")
    return Check("ollama", "ok", f"does not answer at {host}; it is not needed")


def check_models(settings: Settings, env: Mapping[str, str], ollama: set[str] | None) -> Check:
    """Whether every tier's model can be had, without asking any."""
    store = Store(default_folder(settings, env))
    ready = {entry.weights.name for entry in store.list() if entry.state == "ready"}
    served = []
    for tier in ("fast", "deep", "reviewer"):
        name = str(getattr(settings.tiers, tier))
        model = settings.models[name]
        problem, fix = _problem(name, model, ready, ollama)
        if problem:
            return Check("models", "fail", f"{tier}: {problem}", fix)
        served.append(f"{tier}={name}")
    return Check("models", "ok", ", ".join(served))


def _problem(name: str, model: ModelSettings, ready: set[str], ollama: set[str] | None) -> tuple[str, str]:
    """Why ``model`` cannot answer, and what mends it; nothing when it can."""
    on_ollama = ollama is not None and bool(model.name) and {model.name, f"{model.name}:latest"} & ollama
    if model.provider == "openai":
        return ("", "") if model.base_url else (f"{name} has no base_url", "Set it in swarmd.toml.")
    if model.provider == "ollama":
        return ("", "") if on_ollama else (f"Ollama does not have {model.name}", f"ollama pull {model.name}")
    if model.provider == "auto" and on_ollama:
        return "", ""
    if not model.weights:
        return f"{name} has no weights", "Set weights in swarmd.toml."
    if not model.weights.startswith("/") and model.weights not in ready:
        return f"the weights {model.weights} are not here", f"swarmd model pull {model.weights}"
    if importlib.util.find_spec("xllamacpp") is None:
        return "the embedded engine is not installed", 'pip install "swarmd[embedded]"'
    return "", ""
