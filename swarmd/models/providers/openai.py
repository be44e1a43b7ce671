"""Any server that speaks the OpenAI protocol: llama.cpp, vLLM, LM Studio, LiteLLM, OpenAI itself."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelReplyError, ModelUnreachableError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.infill import fill_prompt
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
    import openai

__all__ = ["OpenAiProvider", "http_client"]


def http_client(uds: Path | None = None, *, key: str | None = None) -> httpx.AsyncClient:
    """A client that goes only where it is told: no proxy, no redirect, no credential but ``key``.

    It has no read timeout: ``Pace`` knows better how long a model may think.
    """
    import httpx

    async def strip(request: httpx.Request) -> None:
        for name in ("openai-organization", "openai-project", *([] if key else ["authorization"])):
            request.headers.pop(name, None)

    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(uds)) if uds else None,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
        event_hooks={"request": [strip]},
    )


UNABLE = frozenset({400, 404, 405, 422, 501})
"""What a server answers that does not know a request."""


class OpenAiProvider:
    """One model of one OpenAI-compatible server."""

    kind = "openai"

    def __init__(
        self,
        model: str,
        settings: ModelSettings,
        *,
        url: str,
        local: bool,
        key: str | None = None,
        uds: Path | None = None,
        served: str | None = None,
    ) -> None:
        """``model`` is its name in swarmd.toml, ``served`` on the server; ``url`` ends in /v1."""
        self.model = model
        self.local = local
        self._served = served or settings.name or model
        self._settings = settings
        self._url, self._key, self._uds = url, key, uds
        self._client: openai.AsyncOpenAI | None = None
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._known = False

    async def chat(self, call: ChatCall, on_progress: OnProgress) -> ChatReply:
        """See ``Provider``."""
        refuse_if_too_long(call, self.model, self._settings.context)
        client = await self._open()
        pace = Pace(self._settings)
        await pace.wait(self._check_name(client))
        return await self.stream(call, pace, on_progress)

    async def stream(self, call: ChatCall, pace: Pace, on_progress: OnProgress) -> ChatReply:
        """Ask without the checks before: for who has made better ones."""
        client, parts = await self._open(), ReplyParts()
        with self._translated(pace), _refused_as_unable(call):
            chunks = await pace.wait(self._create(client, call))
            try:
                await self._collect(aiter(chunks), parts, pace, on_progress)
            finally:
                await chunks.close()
        parts.completion_tokens = parts.completion_tokens or pace.count
        return parts.whole(call, self.model, self, self._settings, pace.elapsed_ms())

    async def _collect(
        self, chunks: AsyncIterator[Any], parts: ReplyParts, pace: Pace, on_progress: OnProgress
    ) -> None:
        while (chunk := await pace.wait(anext(chunks, None))) is not None:
            for choice in chunk.choices:
                piece = choice.delta.content if hasattr(choice, "delta") else choice.text
                if piece:
                    parts.pieces.append(piece)
                    pace.token()
                    on_progress(pace.count)
                parts.finish = choice.finish_reason or parts.finish
            if chunk.usage:
                parts.prompt_tokens = chunk.usage.prompt_tokens or 0
                parts.completion_tokens = chunk.usage.completion_tokens or 0
                details = chunk.usage.prompt_tokens_details
                parts.cached_tokens = (details.cached_tokens or 0) if details else 0

    def _create(self, client: openai.AsyncOpenAI, call: ChatCall) -> Awaitable[Any]:
        """Ask: with a prompt that has a gap there are no turns, and no template may be laid around it."""
        if call.suffix is None:
            turns: Any = [{"role": turn.role, "content": turn.content} for turn in call.messages]
            return client.chat.completions.create(**self._request(call, call.stop), messages=turns)
        prompt, stops = fill_prompt(call, self.model, self._settings)
        return client.completions.create(**self._request(call, stops), prompt=prompt)

    def _request(self, call: ChatCall, stops: Sequence[str]) -> dict[str, Any]:
        top_p = call.top_p if call.top_p is not None else self._settings.top_p
        optional: dict[str, Any] = {"seed": call.seed, "top_p": top_p, "stop": list(stops) or None}
        if call.schema_ is not None:
            schema = {"name": "reply", "schema": call.schema_}
            optional["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {
            "model": self._served,
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: value for name, value in optional.items() if value is not None},
        }

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask one of llama.cpp's own endpoints, which lie beside /v1. Raises as ``chat`` does."""
        await self._open()
        assert self._http
        with self._translated():
            async with asyncio.timeout(SHORT_S):
                response = await self._http.post(self._url.removesuffix("/v1") + path, json=body)
            if response.status_code != 200:
                raise failure(self.model, response.status_code, response.text)
            return response.json()

    async def _check_name(self, client: openai.AsyncOpenAI) -> None:
        """Some servers answer for any name with whatever they have: look it up once."""
        if self._known:
            return
        import openai

        with self._translated():
            try:
                names = [model.id for model in (await client.models.list()).data]
            except openai.NotFoundError:
                names = [self._served]  # a server without a list cannot be checked
        if self._served not in names:
            raise unknown_model(self._served, f"it has {', '.join(sorted(names)[:10]) or 'none'}")
        self._known = True

    async def _open(self) -> openai.AsyncOpenAI:
        async with self._opening:
            if self._client is None:
                # The imports take half a second, in which other calls must go on.
                await asyncio.to_thread(importlib.import_module, "httpx")
                module = await asyncio.to_thread(importlib.import_module, "openai")
                self._http = http_client(self._uds, key=self._key)
                client: openai.AsyncOpenAI = module.AsyncOpenAI(
                    base_url=self._url, api_key=self._key or "none", max_retries=0, http_client=self._http
                )
                self._client = client
            return self._client

    @contextmanager
    def _translated(self, pace: Pace | None = None) -> Iterator[None]:
        """The client's exceptions as ours. After the first token a lost connection is a broken call."""
        import httpx
        import openai

        try:
            yield
        except ModelError:
            raise
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise failure(self.model, error.status_code, error.response.text, retry_after) from error
        except (openai.APIConnectionError, httpx.HTTPError) as error:
            reason = f"{self.model}'s server cannot be reached: {_cause(error)}"
            raise TransientError(reason, broken=bool(pace and pace.count)) from error
        except openai.APIError as error:  # an error line in the middle of a stream
            raise failure(self.model, _status(error), str(error.body or error.message)) from error
        except TimeoutError as error:
            reason = f"{self.model}'s server does not answer"
            raise ModelUnreachableError(reason, code="E-MODEL-TIMEOUT") from error
        except ValueError as error:
            raise ModelReplyError(f"{self.model}'s server sent what is not JSON: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
        self._client = self._http = None


@contextmanager
def _refused_as_unable(call: ChatCall) -> Iterator[None]:
    """Servers without /v1/completions refuse gaps in many ways, and answer conversations all the same."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        if call.suffix is None or error.status_code not in UNABLE:
            raise
        problem = f"the server fills no gaps: it answered {error.status_code}"
        raise ModelError(problem, code="E-MODEL-FILL") from error


def _status(error: openai.APIError) -> int:
    code = error.body.get("code") if isinstance(error.body, dict) else None
    return code if isinstance(code, int) else 500


def _cause(error: Exception) -> str:
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error) or type(error).__name__
