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
from swarmd.models.endpoint import DEFAULT_URLS, PORTS, Endpoint, endpoint
from swarmd.models.manager import Manager
from swarmd.models.privacy import Privacy, PrivacyError, loopback_url
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
        relays: Path | None = None,
    ) -> None:
        """``relays``: the folder of the relays' sockets, for a process without a network."""
        self.settings = settings
        self.on_loaded = on_loaded
        self._env = env
        self._relays = relays
        self._providers: dict[tuple[str, bool], Provider] = {}
        self._making: dict[tuple[str, bool], asyncio.Lock] = {}
        self.on_event: Callable[[str, Mapping[str, Any]], None] = lambda event, fields: None
        """Hears every other decision of the manager."""
        self.manager = Manager(settings, store, runtime, emit=self._said)

    def is_loaded(self, model: str) -> bool:
        """Whether ``model`` can answer without reading its weights first, as far as this side knows."""
        own = (known for (name, _), known in self._providers.items() if name == model)
        provider = next(own, None)
        return provider is None or provider.kind != "embedded" or self.manager.is_loaded(model)

    def destination(self, model: str, provider: Provider) -> str:
        """Where calls to ``model`` go, for the log."""
        if provider.kind == "embedded":
            return "embedded"
        if provider.kind == "ollama":
            return endpoint(self.settings.ollama.host).shown
        url = self.settings.models[model].base_url or DEFAULT_URLS.get(provider.kind, provider.kind)
        return endpoint(url).shown

    async def cost(self, model: str, prompt_tokens: int, reply_tokens: int) -> int:
        """Micro-USD for so many tokens, rounded up; 0 where nobody knows the price."""
        from swarmd.models.pricing import price

        settings = self.settings.models[model]
        # Its first look into the price data takes a while.
        return await asyncio.to_thread(price, model, settings, prompt_tokens, reply_tokens) or 0

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
        if settings.provider == "anthropic":
            return self._anthropic(model, settings, strict)
        if settings.provider == "auto" and (found := await self._reachable_ollama(model, settings, strict)):
            return found
        return self._embedded(model, settings)

    def _openai(self, model: str, settings: ModelSettings, strict: bool) -> Provider:
        if not settings.base_url:
            raise ConfigError(f"models.{model} has no base_url", field=f"models.{model}.base_url")
        from swarmd.models.providers.openai import OpenAiProvider

        at = self._allowed(settings.base_url, model, strict, path="/v1")
        key = self._key(model, settings, strict)
        return OpenAiProvider(model, settings, url=at.url.rstrip("/"), local=at.local, key=key, uds=at.uds)

    def _anthropic(self, model: str, settings: ModelSettings, strict: bool) -> Provider:
        from swarmd.models.providers.anthropic import AnthropicProvider

        at = self._allowed(settings.base_url or DEFAULT_URLS["anthropic"], model, strict)
        key = self._key(model, settings, strict)
        return AnthropicProvider(model, settings, url=at.url, local=at.local, key=key, uds=at.uds)

    def _key(self, model: str, settings: ModelSettings, strict: bool) -> str | None:
        """What is on this machine needs no key, or is no local model."""
        if strict or not settings.api_key_env:
            return None
        key = self._env.get(settings.api_key_env)
        if not key:
            raise ConfigError(
                f"models.{model} takes its key from ${settings.api_key_env}, which is not set",
                field=f"models.{model}.api_key_env",
            )
        return key

    def _ollama(self, model: str, settings: ModelSettings, strict: bool) -> Provider:
        from swarmd.models.providers.ollama import OllamaProvider

        at = self._allowed(self.settings.ollama.host, model, strict)
        keep_alive = self.settings.ollama.keep_alive
        return OllamaProvider(model, settings, host=at.url, keep_alive=keep_alive, local=at.local, uds=at.uds)

    async def _reachable_ollama(self, model: str, settings: ModelSettings, strict: bool) -> Provider | None:
        """Ollama, if it is on this machine, answers and has the model. A closed port is noticed before
        anything heavy is loaded."""
        if not settings.name or loopback_url(self.settings.ollama.host) is None:
            return None
        if not await _answers(endpoint(self.settings.ollama.host, relays=self._relays)):
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
        return EmbeddedProvider(model, settings, self.manager)

    def _said(self, event: str, fields: Mapping[str, Any]) -> None:
        """What the manager decided."""
        if event == "model_loaded":
            self.on_loaded(fields)
        else:
            self.on_event(event, fields)

    def _allowed(self, url: str, model: str, strict: bool, path: str = "") -> Endpoint:
        """How the server at ``url`` is reached, if it may be."""
        at = endpoint(url, relays=self._relays, path=path)
        if strict and not at.local:
            raise PrivacyError(f"the model {model} is served at {at.shown}, which is not this machine")
        return at

    async def close(self) -> None:
        """End every engine and connection."""
        providers, self._providers = set(self._providers.values()), {}
        await asyncio.gather(*(provider.close() for provider in providers))
        await self.manager.close()


async def _answers(at: Endpoint) -> bool:
    """Whether an HTTP server is there. A relay takes every connection: what counts is who is behind it."""
    parts = urlsplit(at.url)
    try:
        async with asyncio.timeout(PROBE_S):
            if at.uds:
                reader, writer = await asyncio.open_unix_connection(str(at.uds))
            else:
                port = parts.port or PORTS[parts.scheme]
                reader, writer = await asyncio.open_connection(parts.hostname, port)
            try:
                writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
