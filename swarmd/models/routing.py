"""From a call to the provider that answers it: tier, model, server, and whether that may be asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmd.config import ModelSettings, Settings
from swarmd.errors import ConfigError
from swarmd.messages import ChatCall
from swarmd.models.privacy import Privacy, PrivacyError, loopback_url, tighter
from swarmd.models.providers.base import Provider
from swarmd.models.store import Store

__all__ = ["Router"]

PROBE_S = 1.0


class Router:
    """Knows every configured model and makes its provider when it is first needed.

    A provider is made for one degree of privacy: what may reach a remote server in one request never
    serves another that may not.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        runtime: Path,
        *,
        on_loaded: Callable[[Mapping[str, Any]], None] = lambda fields: None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self._store = store
        self._runtime = runtime
        self.on_loaded = on_loaded
        self._env = env
        self._providers: dict[tuple[str, bool], Provider] = {}
        self._making: dict[tuple[str, bool], asyncio.Lock] = {}

    def model_of(self, call: ChatCall) -> str:
        """The name of the model that ``call`` goes to. Raises ConfigError for an unknown one."""
        name = call.model or str(getattr(self.settings.tiers, call.tier))
        if name not in self.settings.models:
            known = ", ".join(sorted(self.settings.models))
            raise ConfigError(f"no model is called {name!r}; swarmd.toml has: {known}", field="model")
        return name

    def privacy_of(self, call: ChatCall) -> Privacy:
        """A call may ask for more privacy than the home, never for less."""
        return tighter(self.settings.privacy, call.privacy)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Each tier's model as configured: nothing is asked or started for it."""
        tiers = {}
        for tier in ("fast", "deep", "reviewer"):
            name = str(getattr(self.settings.tiers, tier))
            model = self.settings.models[name]
            tiers[tier] = {"model": name, "provider": model.provider, "context": model.context}
        return tiers

    async def provider(self, model: str, privacy: Privacy) -> Provider:
        """Who serves ``model``. Raises PrivacyError when that would leave the machine in strict
        privacy, and ConfigError when its settings lack something."""
        key = (model, privacy == "strict")
        async with self._making.setdefault(key, asyncio.Lock()):
            if key not in self._providers:
                self._providers[key] = await self._make(model, self.settings.models[model], strict=key[1])
            return self._providers[key]

    async def forget(self, model: str, provider: Provider) -> None:
        """Choose again for ``model``, if it was an "auto" whose Ollama has gone."""
        if self.settings.models[model].provider != "auto" or provider.kind != "ollama":
            return
        for key in [key for key, known in self._providers.items() if known is provider]:
            del self._providers[key]
        await provider.close()

    async def _make(self, model: str, settings: ModelSettings, *, strict: bool) -> Provider:
        if settings.provider == "openai":
            return self._openai(model, settings, strict)
        if settings.provider == "ollama":
            return self._ollama(model, settings, strict)
        if settings.provider == "auto" and (found := await self._reachable_ollama(model, settings, strict)):
            return found
        return self._embedded(model, settings)

    def _openai(self, model: str, settings: ModelSettings, strict: bool) -> Provider:
        if not settings.base_url:
            raise ConfigError(f"models.{model} has no base_url", field=f"models.{model}.base_url")
        from swarmd.models.providers.openai import OpenAiProvider

        url, local = _allowed(settings.base_url, model, strict)
        key = self._env.get(settings.api_key_env) if settings.api_key_env else None
        if settings.api_key_env and not key:
            raise ConfigError(
                f"models.{model} takes its key from ${settings.api_key_env}, which is not set",
                field=f"models.{model}.api_key_env",
            )
        return OpenAiProvider(model, settings, url=url.rstrip("/"), local=local, key=key)

    def _ollama(self, model: str, settings: ModelSettings, strict: bool) -> Provider:
        from swarmd.models.providers.ollama import OllamaProvider

        host, local = _allowed(self.settings.ollama.host, model, strict)
        keep_alive = self.settings.ollama.keep_alive
        return OllamaProvider(model, settings, host=host, keep_alive=keep_alive, local=local)

    async def _reachable_ollama(self, model: str, settings: ModelSettings, strict: bool) -> Provider | None:
        """Ollama, if it answers and has the model. A closed port is noticed before anything heavy is
        loaded."""
        if not settings.name or (strict and loopback_url(self.settings.ollama.host) is None):
            return None
        if not await _port_open(self.settings.ollama.host):
            return None
        from swarmd.models.providers.ollama import OllamaProvider

        found = self._ollama(model, settings, strict)
        if isinstance(found, OllamaProvider) and await found.has_model():
            return found
        await found.close()
        return None

    def _embedded(self, model: str, settings: ModelSettings) -> Provider:
        from swarmd.models.providers.embedded import EmbeddedProvider

        # One engine serves all degrees of privacy: it never leaves the machine.
        for (name, _), known in self._providers.items():
            if name == model and known.kind == "embedded":
                return known
        return EmbeddedProvider(
            model,
            settings,
            self._store,
            self._runtime,
            make_room=self._make_room,
            on_loaded=lambda fields: self.on_loaded(fields),
        )

    async def _make_room(self, need: int) -> int:
        """Memory in bytes that a new engine may take, after ending idle ones, oldest use first."""
        import psutil

        from swarmd.models.providers.embedded import EmbeddedProvider

        providers = set(self._providers.values())
        engines = [provider for provider in providers if isinstance(provider, EmbeddedProvider)]
        for engine in sorted(engines, key=lambda engine: engine.last_used):
            if psutil.virtual_memory().available >= need:
                break
            await engine.stop_if_idle()
        return int(psutil.virtual_memory().available)

    async def close(self) -> None:
        """End every engine and connection."""
        providers, self._providers = set(self._providers.values()), {}
        await asyncio.gather(*(provider.close() for provider in providers))


def _allowed(url: str, model: str, strict: bool) -> tuple[str, bool]:
    """``url`` as it may be used, and whether it stays on this machine."""
    local = loopback_url(url)
    if local is not None:
        return local, True
    if strict:
        where = urlsplit(url).netloc
        raise PrivacyError(f"the model {model} is served at {where}, which is not this machine")
    return url, False


async def _port_open(url: str) -> bool:
    parts = urlsplit(loopback_url(url) or url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 11434)
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True
