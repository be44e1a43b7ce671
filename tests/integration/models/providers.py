"""Every provider in front of the conformance server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError
from swarmd.messages import ChatCall, ChatMessage, ChatReply
from swarmd.models.providers import Provider
from swarmd.models.providers.anthropic import AnthropicProvider
from swarmd.models.providers.embedded import EmbeddedProvider
from swarmd.models.providers.ollama import OllamaProvider
from swarmd.models.providers.openai import OpenAiProvider
from tests.integration.models.conformance_server import MODEL, Asked, ConformanceServer
from tests.integration.models.dialects import DIALECTS, JSON, dumps

KINDS = ("embedded", "openai", "openai-unix", "ollama", "ollama-unix", "anthropic", "anthropic-unix")
CONTEXT = 2048


class OneEngine:
    """What the provider of the embedded engine needs of a manager, with the conformance server as its engine,
    which never dies."""

    def __init__(self, uds: Path) -> None:
        self._engine = SimpleNamespace(socket=uds, pid=1)

    def resident(self, model: str) -> Any:
        async def alive_after(tries: int, seconds: float) -> bool:
            return True

        profile = SimpleNamespace(context=CONTEXT)
        return SimpleNamespace(engine=self._engine, profile=profile, alive_after=alive_after)

    @asynccontextmanager
    async def use(self, model: str, *, turn: bool = True) -> AsyncIterator[Any]:
        yield self.resident(model)

    async def check(self, resident: Any) -> None: ...

    async def ready(self, model: str) -> None: ...


def settings(**changed: Any) -> ModelSettings:
    """Deadlines that no test reaches unless it changes them."""
    return ModelSettings(
        **({"name": MODEL, "context": CONTEXT, "first_token_s": 60, "between_tokens_s": 60} | changed)
    )


def call(text: str = "Say hello.", **fields: Any) -> ChatCall:
    message = ChatMessage(role="user", content=text)
    return ChatCall(**({"tier": "fast", "max_tokens": 16, "messages": [message]} | fields))


def make(kind: str, server: ConformanceServer, key: str | None = None, **changed: Any) -> Provider:
    """The provider ``kind`` in front of ``server``."""
    own, uds, url = settings(**changed), server.uds, server.url
    if kind == "embedded":
        assert uds
        own = own.model_copy(update={"embeddings": True})
        return EmbeddedProvider(MODEL, own, OneEngine(uds))  # type: ignore[arg-type]
    if server.dialect.name == "ollama":
        return OllamaProvider("own", own, host=url, keep_alive="10m", local=True, uds=uds)
    made = OpenAiProvider if server.dialect.name == "openai" else AnthropicProvider
    return made("own", own, url=f"{url}/v1", local=True, uds=uds, key=key)


def tokenizer_of_llama_cpp() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """A token is four bytes, and the template is nothing."""

    def template(body: dict[str, Any]) -> Any:
        return 200, JSON, [dumps({"prompt": "".join(turn["content"] for turn in body["messages"])})]

    def tokenize(body: dict[str, Any]) -> Any:
        return 200, JSON, [dumps({"tokens": [0] * (len(body.get("content", "").encode()) // 4)})]

    return {"POST /apply-template": template, "POST /tokenize": tokenize}


@contextmanager
def served(
    kind: str, folder: Path, behaviour: Callable[[Asked], Any] | None = None, **more: Any
) -> Iterator[ConformanceServer]:
    """A server for the provider ``kind``."""
    dialect = DIALECTS["openai" if kind == "embedded" else kind.partition("-")[0]]
    uds = folder / "server.sock" if kind == "embedded" or kind.endswith("-unix") else None
    if behaviour is not None:
        more["behaviour"] = behaviour
    with ExitStack() as stack:
        server = stack.enter_context(ConformanceServer(dialect, uds=uds, **more))
        if kind == "embedded":
            server.routes |= tokenizer_of_llama_cpp()
        yield server


def with_provider(
    kind: str, server: ConformanceServer, work: Callable[[Provider], Awaitable[Any]], **changed: Any
) -> Any:
    """What ``work`` makes of the provider, which is closed afterwards."""

    async def go() -> Any:
        provider = make(kind, server, **changed)
        try:
            return await work(provider)
        finally:
            await provider.close()

    return asyncio.run(go())


def ask(
    kind: str, server: ConformanceServer, asked: ChatCall | None = None, **changed: Any
) -> tuple[ChatReply | ModelError, list[str | None]]:
    """The reply, or the ModelError instead; and the pieces that came."""
    pieces: list[str | None] = []

    async def work(provider: Provider) -> ChatReply | ModelError:
        try:
            return await provider.chat(asked or call(), pieces.append)
        except ModelError as error:
            return error

    return with_provider(kind, server, work, **changed), pieces


__all__ = [
    "CONTEXT",
    "KINDS",
    "ask",
    "call",
    "make",
    "served",
    "settings",
    "tokenizer_of_llama_cpp",
    "with_provider",
]
