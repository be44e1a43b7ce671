"""Any server that speaks the OpenAI protocol: llama.cpp, vLLM, LM Studio, LiteLLM, OpenAI itself."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelMissingError, ModelRefusedError, ModelReplyError, ModelTimeoutError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.infill import fill_prompt
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
from swarmd.models.providers.options import RefusableOptions
from swarmd.models.providers.tokenizer import ServerTokenizer
from swarmd.models.providers.transport import client_options, refuse_no_stream, unreachable
from swarmd.models.tokens import Calibration

if TYPE_CHECKING:
    import httpx
    import openai

__all__ = ["OpenAiProvider"]

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
        """``model`` is its name in swarmd.toml, ``served`` on the server; ``url`` ends in /v1. With ``uds``
        the server is at that unix socket."""
        self.model = model
        self.local = local
        self._served = served or settings.name or model
        self._settings = settings
        self._url, self._key, self._uds = url, key, uds
        self._client: openai.AsyncOpenAI | None = None
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._known = False
        self._listed: frozenset[str] | None = None
        """The server's models; None when it has no list."""
        self._calibration = Calibration()
        self._tokenizer = ServerTokenizer(model, self._served, settings, self.post)
        self._options = RefusableOptions(
            *("temperature", "top_p", "seed", "stop", "stream_options", "response_format"),
            renamed={"max_tokens": "max_completion_tokens"},
        )

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        """See ``Provider``."""
        refuse_if_too_long(call, self.model, self._settings.context)
        client = await self._open()
        pace = Pace(self._settings)
        await pace.wait(self._check_name(client))
        return await self.stream(call, pace, on_piece)

    async def stream(self, call: ChatCall, pace: Pace, on_piece: OnPiece) -> ChatReply:
        """Ask without the checks before: for who has made better ones."""
        client, parts = await self._open(), ReplyParts(call, self.model, pace, on_piece)
        with self._translated(pace):
            chunks = await self._asked(client, call, pace)
            try:
                refuse_no_stream(self.model, chunks.response)
                await self._collect(aiter(chunks), parts, pace)
            finally:
                await chunks.close()
        return parts.whole(self, self._settings, self._calibration)

    async def _asked(self, client: openai.AsyncOpenAI, call: ChatCall, pace: Pace) -> Any:
        """The stream of the reply; without an option that the server says it does not take."""
        while True:
            try:
                with self._translated(pace), _refused_as_unable(call):
                    return await pace.wait(self._create(client, call))
            except ModelRefusedError as error:
                if not self._options.learn(error):
                    raise

    async def _collect(self, chunks: AsyncIterator[Any], parts: ReplyParts, pace: Pace) -> None:
        refusal = ""
        while (chunk := await pace.wait(anext(chunks, None))) is not None:
            parts.answered_by = parts.answered_by or getattr(chunk, "model", None)
            parts.refuse_another(self._served, self._listed)
            for choice in chunk.choices or ():
                said = choice.delta if hasattr(choice, "delta") else choice
                if piece := said.content if hasattr(said, "content") else said.text:
                    parts.add(piece)
                elif getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None):
                    pace.token()  # it thinks, and is not stuck
                refusal += getattr(said, "refusal", None) or ""
                parts.finish = choice.finish_reason or parts.finish
            if usage := chunk.usage:
                cached = getattr(usage.prompt_tokens_details, "cached_tokens", None)
                parts.counts(prompt=usage.prompt_tokens, completion=usage.completion_tokens, cached=cached)
        if refusal:
            raise ModelRefusedError(f"{self.model} refused: {refusal[:300]}")

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
        request = {
            "model": self._served,
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: value for name, value in optional.items() if value is not None},
        }
        return self._options.fitted(request)

    async def count(self, call: ChatCall) -> int | None:
        """See ``Provider``. Exact with llama.cpp and vLLM, which have endpoints for it."""
        counted = await self._tokenizer.count(call)
        return self._calibration.estimate(call) if counted is None else counted

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See ``Provider``."""
        if not texts:
            return []
        client = await self._open()
        await within(SHORT_S, self._check_name(client), f"{self.model}'s server")
        asked = {"model": self._served, "input": list(texts), "encoding_format": "float"}
        try:
            with self._translated():
                said: Any = await within(
                    self._settings.call_s,
                    client.post("/embeddings", cast_to=object, body=asked),
                    f"{self.model}'s server",
                )
                found = {item["index"]: item["embedding"] for item in said["data"]}
                vectors = [found[number] for number in range(len(texts))]
        except (ModelRefusedError, ModelMissingError) as error:
            raise no_embeddings(self.model, error.message) from error
        return checked_vectors(self.model, vectors, len(texts))

    async def health(self) -> Health:
        """See ``Provider``."""
        self._known = False

        async def check() -> None:
            await within(SHORT_S, self._check_name(await self._open()), f"{self.model}'s server")

        return await health_of(check())

    async def models(self) -> list[ServedModel]:
        """See ``Provider``. vLLM and llama.cpp say each model's context."""
        client = await self._open()
        with self._translated():
            listed = await within(SHORT_S, client.models.list(), f"{self.model}'s server")
            return [ServedModel(str(model.id), context=_context(model)) for model in listed.data]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask one of the server's own endpoints, which lie beside /v1. Raises as ``chat`` does."""
        await self._open()
        assert self._http
        headers = {"authorization": f"Bearer {self._key}"} if self._key else None
        url = self._url.removesuffix("/v1") + path
        with self._translated():
            asking = self._http.post(url, json=body, headers=headers)
            response = await within(SHORT_S, asking, f"{self.model}'s server")
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
                listed = [str(model.id) for model in (await client.models.list()).data]
            except openai.NotFoundError:
                self._known = True  # a server without a list cannot be checked
                return
        if self._served not in listed:
            raise unknown_model(self._served, f"it has {', '.join(sorted(listed)[:10]) or 'none'}")
        self._listed, self._known = frozenset(listed), True

    async def _open(self) -> openai.AsyncOpenAI:
        async with self._opening:
            if self._client is None:
                # The imports take half a second, in which other calls must go on.
                httpx = await asyncio.to_thread(importlib.import_module, "httpx")
                module = await asyncio.to_thread(importlib.import_module, "openai")
                options = client_options(httpx, self._uds, key=self._key, local=self.local)
                self._http = httpx.AsyncClient(**options)
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
            broken = bool(pace and pace.count)
            raise unreachable(f"{self.model}'s server", error, broken=broken) from error
        except openai.APIError as error:  # an error line in the middle of a stream
            raise failure(self.model, _status(error), _said(error)) from error
        except TimeoutError as error:
            raise ModelTimeoutError(f"{self.model}'s server does not answer") from error
        except ValueError as error:
            raise ModelReplyError(f"{self.model}'s server sent what is not JSON: {error}") from error
        except (TypeError, AttributeError, LookupError, RecursionError) as error:
            raise ModelReplyError(f"{self.model}'s server sent what is not its protocol: {error}") from error

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


def _context(model: Any) -> int | None:
    """vLLM: ``max_model_len``; llama.cpp: ``meta.n_ctx_train``."""
    meta = getattr(model, "meta", None)
    found = getattr(model, "max_model_len", None) or (meta or {}).get("n_ctx_train")
    return found if isinstance(found, int) and found > 0 else None


def _status(error: openai.APIError) -> int:
    code = error.body.get("code") if isinstance(error.body, dict) else None
    return code if isinstance(code, int) else 500


def _said(error: openai.APIError) -> str:
    return json.dumps(error.body, default=str) if error.body else error.message
