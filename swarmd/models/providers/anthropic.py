"""Anthropic's Messages protocol, as its own service speaks it and some local servers do."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd.config import ModelSettings
from swarmd.errors import (
    ConfigError,
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
)
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.providers.base import (
    SHORT_S,
    Health,
    OnPiece,
    Pace,
    ReplyParts,
    ServedModel,
    failure,
    health_of,
    no_embeddings,
    refuse_if_too_long,
    unknown_model,
    within,
)
from swarmd.models.providers.options import RefusableOptions
from swarmd.models.providers.reply import whole_number
from swarmd.models.providers.transport import client_options, refuse_no_stream, unreachable
from swarmd.models.tokens import Calibration

if TYPE_CHECKING:
    import anthropic

__all__ = ["AnthropicProvider"]

FINISHES = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What the types of errors that come in the middle of a stream have as a status elsewhere."""


class AnthropicProvider:
    """One model of one server that speaks Anthropic's protocol."""

    kind = "anthropic"

    def __init__(
        self,
        model: str,
        settings: ModelSettings,
        *,
        url: str,
        local: bool,
        key: str | None = None,
        uds: Path | None = None,
    ) -> None:
        """``model`` is its name in swarmd.toml; ``url`` may end in /v1. With ``uds`` the server is at that
        unix socket."""
        self.model = model
        self.local = local
        self._served = settings.name or model
        self._settings = settings
        self._url, self._key, self._uds = url.rstrip("/").removesuffix("/v1"), key, uds
        self._client: anthropic.AsyncAnthropic | None = None
        self._opening = asyncio.Lock()
        self._known = False
        self._calibration = Calibration()
        self._options = RefusableOptions("temperature", "top_p", "stop_sequences", "output_config")

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        """See ``Provider``."""
        if call.suffix is not None:
            raise ModelError(f"{self.model} fills no gaps: its protocol has none", code="E-MODEL-FILL")
        refuse_if_too_long(call, self.model, self._settings.context)
        client = await self._open()
        pace = Pace(self._settings)
        parts = ReplyParts(call, self.model, pace, on_piece)
        await pace.wait(self._check_name(client))
        with self._translated(pace):
            events = await self._asked(client, call, pace)
            try:
                refuse_no_stream(self.model, events.response)
                await self._collect(aiter(events), parts, pace)
            finally:
                await events.close()
        return parts.whole(self, self._settings, self._calibration)

    async def _asked(self, client: anthropic.AsyncAnthropic, call: ChatCall, pace: Pace) -> Any:
        """The stream of the reply; without an option that the server says it does not take."""
        while True:
            try:
                with self._translated(pace):
                    asking: Awaitable[Any] = client.messages.create(**self._request(call), stream=True)
                    return await pace.wait(asking)
            except ModelRefusedError as error:
                if not self._options.learn(error):
                    raise

    async def _collect(self, events: AsyncIterator[Any], parts: ReplyParts, pace: Pace) -> None:
        while (event := await pace.wait(anext(events, None))) is not None:
            if event.type == "message_start":
                parts.answered_by = event.message.model
                parts.refuse_another(self._served, None)
                self._count_in(parts, event.message.usage)
            elif event.type == "content_block_delta":
                if piece := getattr(event.delta, "text", None):
                    parts.add(piece)
                else:
                    pace.token()  # it thinks, and is not stuck
            elif event.type == "message_delta":
                self._count_in(parts, event.usage)
                parts.finish = self._finish(event.delta.stop_reason) or parts.finish

    def _finish(self, reason: str | None) -> str | None:
        if reason == "refusal":
            raise ModelRefusedError(f"{self.model} refused to answer")
        if reason == "model_context_window_exceeded":
            raise ModelOverflowError(f"prompt and reply fill the whole context of {self.model}")
        return FINISHES.get(reason, reason) if reason else None

    @staticmethod
    def _count_in(parts: ReplyParts, usage: Any) -> None:
        """Its prompt tokens are in three parts: read anew, put into the cache, and taken from it."""
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        new, written, cached, completion = (whole_number(getattr(usage, name, None)) for name in names)
        parts.counts(prompt=new + written + cached, completion=completion, cached=cached)

    def _request(self, call: ChatCall) -> dict[str, Any]:
        request = self._prompt(call) | {"max_tokens": call.max_tokens}
        if stops := [stop for stop in call.stop if stop.strip()]:  # it refuses others
            request["stop_sequences"] = stops
        sampling: dict[str, Any] = {"temperature": min(1.0, call.temperature)}
        if top_p := call.top_p if call.top_p is not None else self._settings.top_p:
            sampling["top_p"] = top_p
        if call.schema_ is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": _strict(call.schema_)}}
        fitted = self._options.fitted(request)
        if call.schema_ is not None and "output_config" not in fitted:
            rule = f"Reply with nothing but JSON that follows this schema: {json.dumps(call.schema_)}"
            fitted["system"] = "\n\n".join([*filter(None, [fitted.get("system")]), rule])
        # The client has no parameters for sampling any more: newer models refuse them.
        return fitted | {"extra_body": self._options.fitted(sampling)}

    def _prompt(self, call: ChatCall) -> dict[str, Any]:
        """The model and the turns; its protocol has system turns in a place of their own, and refuses white
        space at the end of a reply that was begun for it."""
        system = "\n\n".join(turn.content for turn in call.messages if turn.role == "system")
        others = [turn for turn in call.messages if turn.role != "system"]
        turns = [{"role": turn.role, "content": turn.content} for turn in others]
        if turns and turns[-1]["role"] == "assistant":
            turns[-1]["content"] = turns[-1]["content"].rstrip()
        return {"model": self._served, "messages": turns} | ({"system": system} if system else {})

    async def count(self, call: ChatCall) -> int | None:
        """See ``Provider``."""
        if call.suffix is not None:
            return None
        client = await self._open()
        try:
            with self._translated():
                counting = client.messages.count_tokens(**self._prompt(call))
                counted = await within(SHORT_S, counting, f"{self.model}'s server")
            return whole_number(counted.input_tokens) or None
        except (ModelRefusedError, ModelMissingError, ModelReplyError):
            return self._calibration.estimate(call)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See ``Provider``."""
        raise no_embeddings(self.model, "Anthropic's protocol has none")

    async def health(self) -> Health:
        """See ``Provider``."""
        self._known = False

        async def check() -> None:
            await within(SHORT_S, self._check_name(await self._open()), f"{self.model}'s server")

        return await health_of(check())

    async def models(self) -> list[ServedModel]:
        """See ``Provider``."""
        client = await self._open()
        with self._translated():
            listing = _first_page(client.models.list(limit=1000))
            listed = await within(SHORT_S, listing, f"{self.model}'s server")
            return [ServedModel(str(model.id), context=_context(model)) for model in listed]

    async def _check_name(self, client: anthropic.AsyncAnthropic) -> None:
        """Ask for the model by its name, once: aliases are found, too."""
        if self._known:
            return
        import anthropic

        with self._translated():
            try:
                await client.models.retrieve(self._served)
            except anthropic.NotFoundError as error:
                if self._served in error.response.text:
                    raise unknown_model(self._served, "it says so") from error
        self._known = True  # or a server without a list, which cannot be checked

    async def _open(self) -> anthropic.AsyncAnthropic:
        async with self._opening:
            if self._client is None:
                # The imports take a second, in which other calls must go on.
                try:
                    module = await asyncio.to_thread(importlib.import_module, "anthropic")
                    httpx2 = await asyncio.to_thread(importlib.import_module, "httpx2")
                except ImportError as error:
                    raise ConfigError(
                        f"the model {self.model} needs the extra swarmd[cloud]: {error}",
                        hint='Install it with "pip install swarmd[cloud]".',
                    ) from error
                options = client_options(httpx2, self._uds, key=self._key, local=self.local)
                client: anthropic.AsyncAnthropic = module.AsyncAnthropic(
                    base_url=self._url,
                    api_key=self._key or "none",
                    max_retries=0,
                    http_client=httpx2.AsyncClient(**options),
                    open_telemetry=False,
                )
                self._client = client
            return self._client

    @contextmanager
    def _translated(self, pace: Pace | None = None) -> Iterator[None]:
        """The client's exceptions as ours. After the first token a lost connection is a broken call."""
        import anthropic
        import httpx2

        try:
            yield
        except ModelError:
            raise
        except anthropic.APIStatusError as error:
            status, body = _status_and_body(error)
            raise failure(self.model, status, body, error.response.headers.get("retry-after")) from error
        except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
            broken = bool(pace and pace.count)
            raise unreachable(f"{self.model}'s server", error, broken=broken) from error
        except TimeoutError as error:
            raise ModelTimeoutError(f"{self.model}'s server does not answer") from error
        except (
            anthropic.APIError, ValueError, TypeError, AttributeError, LookupError, RecursionError
        ) as error:  # fmt: skip
            raise ModelReplyError(f"{self.model}'s server sent what is not its protocol: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
        self._client = None


async def _first_page(listing: Any) -> list[Any]:
    return list((await listing).data)


def _context(model: Any) -> int | None:
    return whole_number(getattr(model, "max_input_tokens", None)) or None


def _status_and_body(error: anthropic.APIStatusError) -> tuple[int, str]:
    """Of an answer, or of an error line in the middle of a stream, which comes under status 200."""
    if error.status_code >= 300:
        return error.status_code, error.response.text
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    return STATUSES.get(str(kind), 500), json.dumps(error.body, default=str)


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` in the part of the language that the service takes: limits become descriptions. The reply is
    checked against the whole of it afterwards."""
    import anthropic

    try:
        return anthropic.transform_schema(schema)
    except Exception:  # whatever its own check has against it, the service may say better
        return schema
