"""Ollama, asked so that it cannot cut a prompt, reload a model or leave the machine unnoticed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelMissingError, ModelRefusedError, ModelReplyError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.infill import fill_prompt
from swarmd.models.privacy import PrivacyError, is_cloud_model
from swarmd.models.providers.base import (
    SHORT_S,
    Health,
    OnPiece,
    Pace,
    ReplyParts,
    ServedModel,
    checked_vectors,
    failure,
    health_of,
    no_embeddings,
    refuse_if_too_long,
    unknown_model,
    within,
)
from swarmd.models.providers.reply import whole_number
from swarmd.models.providers.transport import client_options, unreachable
from swarmd.models.tokens import Calibration

if TYPE_CHECKING:
    import ollama

__all__ = ["OllamaProvider"]


class OllamaProvider:
    """One model of an Ollama server."""

    kind = "ollama"

    def __init__(
        self,
        model: str,
        settings: ModelSettings,
        *,
        host: str,
        keep_alive: str,
        local: bool,
        uds: Path | None = None,
    ) -> None:
        """``local``: ``host`` is this machine and no model of its cloud may be used. With ``uds`` the server
        is at that unix socket."""
        self.model = model
        self.local = local
        self._name = settings.name or model
        self._settings = settings
        self._host, self._uds, self._keep_alive = host, uds, keep_alive
        self._client: ollama.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._checked = False
        self._listed: frozenset[str] | None = None
        self._calibration = Calibration()

    async def has_model(self) -> bool:
        """Whether the server can be reached and has the model, here and not in its cloud."""
        try:
            await self._check_name(await self._open())
        except ModelError:
            return False
        return True

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        """See ``Provider``."""
        refuse_if_too_long(call, self.model, self._settings.context)
        client = await self._open()
        pace = Pace(self._settings)
        parts = ReplyParts(call, self.model, pace, on_piece)
        await pace.wait(self._check_name(client))
        with self._translated(pace):
            # The client's own chat() has no truncate and no shift, and drops the fields it does not know.
            path = "/api/chat" if call.suffix is None else "/api/generate"
            lines: Any = await client._request(dict, "POST", path, json=self._request(call), stream=True)
            async with aclosing(lines):
                await self._collect(lines, parts, pace)
        return parts.whole(self, self._settings, self._calibration)

    async def _collect(self, lines: AsyncIterator[dict[str, Any]], parts: ReplyParts, pace: Pace) -> None:
        while (line := await pace.wait(anext(lines, None))) is not None:
            if self.local and line.get("remote_host"):
                raise _in_the_cloud(self._name)
            parts.answered_by = line.get("model") or parts.answered_by
            parts.refuse_another(self._name, self._listed)
            message = line.get("message") or {}
            if content := message.get("content") or line.get("response"):
                parts.add(content)
            elif message.get("thinking") or line.get("thinking"):
                pace.token()  # it is not stuck
            if line.get("done") is True:  # without it the model broke off, whatever the status says
                parts.finish = str(line.get("done_reason") or "stop")
                parts.counts(
                    prompt=line.get("prompt_eval_count"),
                    completion=line.get("eval_count"),
                    cached=line.get("prompt_eval_cached_count"),
                )

    def _request(self, call: ChatCall) -> dict[str, Any]:
        top_p = call.top_p if call.top_p is not None else self._settings.top_p
        stops = call.stop
        if call.suffix is None:
            turns = [{"role": turn.role, "content": turn.content} for turn in call.messages]
            asked: dict[str, Any] = {"messages": turns}
        else:  # raw: its own template would put a conversation around the gap
            prompt, stops = fill_prompt(call, self.model, self._settings)
            asked = {"prompt": prompt, "raw": True}
        # num_ctx never changes: another value would make Ollama load the model anew.
        options = {
            "num_ctx": self._settings.context,
            "num_predict": call.max_tokens,
            "temperature": call.temperature,
            "seed": call.seed,
            "top_p": top_p,
            "stop": stops or None,
        }
        request: dict[str, Any] = {
            "model": self._name,
            **asked,
            "stream": True,
            # Else the oldest messages are dropped, or the prompt is cut in half, under status 200.
            "truncate": False,
            "shift": False,
            "keep_alive": self._keep_alive,
            "options": {name: value for name, value in options.items() if value is not None},
        }
        return request | ({"format": call.schema_} if call.schema_ is not None else {})

    async def count(self, call: ChatCall) -> int | None:
        """See ``Provider``. Ollama has no tokenizer to ask: an estimate."""
        return self._calibration.estimate(call)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See ``Provider``. With the options of its calls: other ones would make Ollama load it anew."""
        if not texts:
            return []
        client = await self._open()
        await self._check_name(client)
        request = {
            "model": self._name,
            "input": list(texts),
            "truncate": False,
            "keep_alive": self._keep_alive,
            "options": {"num_ctx": self._settings.context},
        }
        try:
            with self._translated():
                asking = client._request(dict, "POST", "/api/embed", json=request)
                said = await within(self._settings.call_s, asking, "Ollama")
                vectors = said.get("embeddings")
        except (ModelRefusedError, ModelMissingError) as error:
            raise no_embeddings(self.model, error.message) from error
        return checked_vectors(self.model, vectors, len(texts))

    async def health(self) -> Health:
        """See ``Provider``."""
        self._checked = False

        async def check() -> None:
            await self._check_name(await self._open())

        return await health_of(check())

    async def models(self) -> list[ServedModel]:
        """See ``Provider``."""
        client = await self._open()
        tags = await self._tags(client)
        with self._translated():
            running = await within(SHORT_S, client._request(dict, "GET", "/api/ps"), "Ollama")
            loaded = {str(one.get("name")) for one in running.get("models") or []}
            return [
                ServedModel(
                    name,
                    bytes=whole_number(one.get("size")) or None,
                    loaded=name in loaded,
                    elsewhere=_elsewhere(name, one),
                )
                for name, one in tags.items()
            ]

    async def _tags(self, client: ollama.AsyncClient) -> dict[str, dict[str, Any]]:
        """What the server has, by name. The client's own list drops remote_host, the field that matters."""
        with self._translated():
            tags = await within(SHORT_S, client._request(dict, "GET", "/api/tags"), "Ollama")
            return {str(model.get("name")): dict(model) for model in tags.get("models") or []}

    async def _check_name(self, client: ollama.AsyncClient) -> None:
        if self._checked:
            return
        if self.local and is_cloud_model(self._name):
            raise _in_the_cloud(self._name)
        models = await self._tags(client)
        found = models.get(self._name) or models.get(f"{self._name}:latest")
        if found is None:
            raise unknown_model(self._name, f"it has {', '.join(sorted(models)[:10]) or 'none'}")
        if self.local and _elsewhere(self._name, found):
            raise _in_the_cloud(self._name)
        self._listed = frozenset(models)
        self._checked = not self.local or await self._has_no_cloud(client)

    async def _has_no_cloud(self, client: ollama.AsyncClient) -> bool:
        """Whether the server says that it passes no prompt on (OLLAMA_NO_CLOUD=1). Where it does not, a name
        can mean a model of its cloud at the next call: it is looked up before each."""
        with suppress(ModelError), self._translated():
            status = await within(SHORT_S, client._request(dict, "GET", "/api/status"), "Ollama")
            return (status.get("cloud") or {}).get("disabled") is True
        return False

    async def _open(self) -> ollama.AsyncClient:
        async with self._opening:
            if self._client is None:
                # The imports take half a second, in which other calls must go on.
                httpx = await asyncio.to_thread(importlib.import_module, "httpx")
                ollama = await asyncio.to_thread(importlib.import_module, "ollama")
                # The client sends $OLLAMA_API_KEY to any host: to one on this machine it is stripped.
                options = client_options(httpx, self._uds, with_key=not self.local, local=self.local)
                self._client = ollama.AsyncClient(self._host, **options)
            return self._client

    @contextmanager
    def _translated(self, pace: Pace | None = None) -> Iterator[None]:
        import httpx
        import ollama

        try:
            yield
        except ModelError:
            raise
        except ollama.ResponseError as error:
            status = error.status_code if error.status_code > 0 else 500  # -1: in the middle of a stream
            raise failure(self.model, status, str(error.error), _retry_after(error)) from error
        except (httpx.HTTPError, ConnectionError, TimeoutError) as error:
            broken = bool(pace and pace.count)
            raise unreachable(f"Ollama at {self._host}", error, broken=broken) from error
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise ModelReplyError(f"Ollama at {self._host} sent what is not its protocol: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
        self._client = None


def _elsewhere(name: str, listed: dict[str, Any]) -> bool:
    return bool(is_cloud_model(name) or listed.get("remote_host") or listed.get("remote_model"))


def _retry_after(error: ollama.ResponseError) -> str | None:
    """The header of the answer, which the client's error has only as what it was raised for."""
    response = getattr(error.__context__, "response", None)
    return response.headers.get("retry-after") if response is not None else None


def _in_the_cloud(name: str) -> PrivacyError:
    return PrivacyError(f"the Ollama model {name} runs in Ollama's cloud, not on this machine")
