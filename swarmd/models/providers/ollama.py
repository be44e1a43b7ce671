"""Ollama, asked so that it cannot cut a prompt, reload a model or leave the machine unnoticed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelReplyError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.infill import fill_prompt
from swarmd.models.privacy import PrivacyError, is_cloud_model
from swarmd.models.providers.base import (
    CONNECT_S,
    SHORT_S,
    OnProgress,
    Pace,
    ReplyParts,
    TransientError,
    failure,
    refuse_if_too_long,
    unknown_model,
)

if TYPE_CHECKING:
    import httpx
    import ollama

__all__ = ["OllamaProvider"]


class OllamaProvider:
    """One model of an Ollama server."""

    kind = "ollama"

    def __init__(
        self, model: str, settings: ModelSettings, *, host: str, keep_alive: str, local: bool
    ) -> None:
        """``local``: ``host`` is this machine and no model of its cloud may be used."""
        self.model = model
        self.local = local
        self._name = settings.name or model
        self._settings = settings
        self._host, self._keep_alive = host, keep_alive
        self._client: ollama.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._checked = False

    async def has_model(self) -> bool:
        """Whether the server can be reached and has the model, here and not in its cloud."""
        try:
            await self._check_name(await self._open())
        except ModelError:
            return False
        return True

    async def chat(self, call: ChatCall, on_progress: OnProgress) -> ChatReply:
        """See ``Provider``."""
        refuse_if_too_long(call, self.model, self._settings.context)
        client = await self._open()
        pace, parts = Pace(self._settings), ReplyParts()
        await pace.wait(self._check_name(client))
        with self._translated(pace):
            # The client's own chat() has no truncate and no shift, and drops the fields it does not know.
            path = "/api/chat" if call.suffix is None else "/api/generate"
            lines: Any = await client._request(dict, "POST", path, json=self._request(call), stream=True)
            async with aclosing(lines):
                await self._collect(lines, parts, pace, on_progress)
        parts.completion_tokens = parts.completion_tokens or pace.count
        return parts.whole(call, self.model, self, self._settings, pace.elapsed_ms())

    async def _collect(
        self, lines: AsyncIterator[dict[str, Any]], parts: ReplyParts, pace: Pace, on_progress: OnProgress
    ) -> None:
        while (line := await pace.wait(anext(lines, None))) is not None:
            if self.local and line.get("remote_host"):
                raise _in_the_cloud(self._name)
            if content := line.get("message", {}).get("content") or line.get("response"):
                parts.pieces.append(content)
                pace.token()
                on_progress(pace.count)
            if line.get("done") is True:  # without it the model broke off, whatever the status says
                parts.finish = line.get("done_reason") or "stop"
                parts.prompt_tokens = line.get("prompt_eval_count") or 0
                parts.completion_tokens = line.get("eval_count") or 0
                parts.cached_tokens = line.get("prompt_eval_cached_count") or 0

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

    async def _check_name(self, client: ollama.AsyncClient) -> None:
        if self._checked:
            return
        if self.local and is_cloud_model(self._name):
            raise _in_the_cloud(self._name)
        with self._translated():
            async with asyncio.timeout(SHORT_S):
                # The client's own list drops remote_host, the field that matters.
                tags = await client._request(dict, "GET", "/api/tags")
        models = {str(model.get("name")): model for model in tags.get("models") or []}
        found = models.get(self._name) or models.get(f"{self._name}:latest")
        if found is None:
            raise unknown_model(self._name, f"it has {', '.join(sorted(models)[:10]) or 'none'}")
        if self.local and (found.get("remote_host") or found.get("remote_model")):
            raise _in_the_cloud(self._name)
        self._checked = True

    async def _open(self) -> ollama.AsyncClient:
        async with self._opening:
            if self._client is None:
                # The import takes half a second, in which other calls must go on.
                ollama = await asyncio.to_thread(importlib.import_module, "ollama")
                self._client = ollama.AsyncClient(self._host, **self._http_settings())
            return self._client

    def _http_settings(self) -> dict[str, Any]:
        import httpx

        async def strip(request: httpx.Request) -> None:
            if self.local:  # the client sends $OLLAMA_API_KEY to any host
                request.headers.pop("authorization", None)

        return {
            "timeout": httpx.Timeout(None, connect=CONNECT_S),  # Pace has the other deadlines
            "trust_env": False,
            "follow_redirects": False,
            "event_hooks": {"request": [strip]},
        }

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
            raise failure(self.model, status, error.error) from error
        except (httpx.HTTPError, ConnectionError, TimeoutError) as error:
            reason = f"Ollama at {self._host} cannot be reached: {str(error) or type(error).__name__}"
            raise TransientError(reason, broken=bool(pace and pace.count)) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelReplyError(f"Ollama at {self._host} sent what is not its protocol: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
        self._client = None


def _in_the_cloud(name: str) -> PrivacyError:
    return PrivacyError(f"the Ollama model {name} runs in Ollama's cloud, not on this machine")
