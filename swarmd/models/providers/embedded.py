"""The embedded engine: a GGUF on this machine, in a process of its own, asked over a unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from swarmd.config import ModelSettings
from swarmd.errors import ConfigError, ModelError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.engine_process import EngineOptions, EngineProcess, default_threads
from swarmd.models.gguf import read_shape
from swarmd.models.infill import fill_prompt
from swarmd.models.providers.base import OnProgress, Pace, TransientError, refuse_if_too_long
from swarmd.models.providers.openai import OpenAiProvider
from swarmd.models.store import Store

__all__ = ["EmbeddedProvider"]

MakeRoom = Callable[[int], Awaitable[int]]
"""Frees memory for so many bytes if it can, and says how many there are."""
OnLoaded = Callable[[Mapping[str, Any]], None]


class EmbeddedProvider:
    """One GGUF. Its engine starts with the first call, and again when it has died."""

    kind = "embedded"
    local = True

    def __init__(
        self,
        model: str,
        settings: ModelSettings,
        store: Store,
        runtime: Path,
        *,
        make_room: MakeRoom,
        on_loaded: OnLoaded,
    ) -> None:
        self.model = model
        self.in_use = 0
        """Calls that are being answered."""
        self.last_used = 0.0
        """On the loop's clock."""
        self._settings = settings
        self._store = store
        self._runtime = runtime
        self._make_room = make_room
        self._on_loaded = on_loaded
        self._engine: EngineProcess | None = None
        self._client: OpenAiProvider | None = None
        self._starting = asyncio.Lock()

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, when there is one."""
        return self._engine.pid if self._engine and self._engine.alive else None

    async def chat(self, call: ChatCall, on_progress: OnProgress) -> ChatReply:
        """See ``Provider``."""
        self.in_use += 1
        try:
            engine, client = await self._ready()
            try:
                return await self._ask(client, call, on_progress)
            except TransientError as error:
                if await engine.settled():
                    raise
                message = f"the engine of {self.model} died during the call"
                raise TransientError(message, broken=True) from error
        finally:
            self.in_use -= 1
            self.last_used = asyncio.get_running_loop().time()

    async def _ask(self, client: OpenAiProvider, call: ChatCall, on_progress: OnProgress) -> ChatReply:
        pace = Pace(self._settings)
        count = await self._count(client, call)
        refuse_if_too_long(call, self.model, self._settings.context, count)
        reply = await client.stream(call, pace, on_progress)
        return reply.model_copy(update={"provider": self.kind})

    async def count(self, call: ChatCall) -> int:
        """The tokens of ``call``'s prompt by the engine's own tokenizer, template included. Raises as
        ``chat`` does."""
        self.in_use += 1
        try:
            _, client = await self._ready()
            return await self._count(client, call)
        finally:
            self.in_use -= 1
            self.last_used = asyncio.get_running_loop().time()

    async def _count(self, client: OpenAiProvider, call: ChatCall) -> int:
        """The prompt's tokens, exactly, as the engine will read them."""
        if call.suffix is None:
            turns = [{"role": turn.role, "content": turn.content} for turn in call.messages]
            prompt = (await client.post("/apply-template", {"messages": turns}))["prompt"]
        else:
            prompt, _ = fill_prompt(call, self.model, self._settings)
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        return len((await client.post("/tokenize", asked))["tokens"])

    async def _ready(self) -> tuple[EngineProcess, OpenAiProvider]:
        async with self._starting:
            if self._engine is None or self._client is None or not self._engine.alive:
                await self._stop()
                self._engine = await self._start()
                self._client = OpenAiProvider(
                    self.model,
                    self._settings,
                    url="http://engine/v1",
                    local=True,
                    uds=self._engine.socket,
                    served=self.model,
                )
            return self._engine, self._client

    async def _start(self) -> EngineProcess:
        if not self._settings.weights:
            raise ConfigError(
                f"models.{self.model} has no weights, and no Ollama that has it can be reached",
                hint='Set its "weights", or start Ollama and pull the model there.',
                field=f"models.{self.model}.weights",
            )
        settings, loop = self._settings, asyncio.get_running_loop()
        path = await asyncio.to_thread(self._store.path, self._settings.weights)
        shape = await asyncio.to_thread(read_shape, path)
        need = shape.memory_bytes(settings.context * settings.parallel)
        free = await self._make_room(need)
        if free < need:
            raise ModelError(
                f"{self.model} needs {need >> 20} MiB of memory; {free >> 20} MiB are free",
                code="E-MODEL-MEMORY",
                hint="End other programs, lower this model's context in swarmd.toml, or use a smaller one.",
            )
        options = EngineOptions(
            model=self.model,
            weights=path,
            context=settings.context,
            parallel=settings.parallel,
            threads=settings.threads or default_threads(),
            gpu_layers=settings.gpu_layers,
        )
        engine, begun = EngineProcess(options, self._runtime), loop.time()
        await engine.start(settings.first_token_s)
        took = int((loop.time() - begun) * 1000)
        self._on_loaded({"model": self.model, "provider": self.kind, "pid": engine.pid, "latency_ms": took})
        return engine

    async def stop_if_idle(self) -> bool:
        """End the engine unless it is in use; true when there was one to end."""
        if self.in_use or self._engine is None:
            return False
        await self._stop()
        return True

    async def _stop(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._engine is not None:
            await self._engine.stop()
        self._client = self._engine = None

    async def close(self) -> None:
        """End the engine."""
        await self._stop()
