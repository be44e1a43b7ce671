"""The embedded engine: a GGUF on this machine, in a process of its own, asked over a unix socket.

Which engines run is the manager's matter; this asks the one of its model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from swarmd.config import ModelSettings
from swarmd.errors import ModelTimeoutError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.manager import Manager
from swarmd.models.providers.base import (
    Health,
    OnPiece,
    Pace,
    ServedModel,
    TransientError,
    health_of,
    no_embeddings,
    refuse_if_too_long,
)
from swarmd.models.providers.openai import OpenAiProvider
from swarmd.models.residents import Engine, Resident

__all__ = ["EmbeddedProvider"]

SETTLE_TRIES, SETTLE_S = 10, 0.02
"""How long a death that just happened may take to be seen."""


class EmbeddedProvider:
    """One GGUF. Its engine is loaded with the first call, and again when it has died or had to go."""

    kind = "embedded"
    local = True

    def __init__(self, model: str, settings: ModelSettings, manager: Manager) -> None:
        self.model = model
        self._settings = settings
        self._manager = manager
        self._client: OpenAiProvider | None = None
        self._engine: Engine | None = None
        """The one that ``_client`` is for."""

    @property
    def engine_pid(self) -> int | None:
        """The engine's process, when there is one."""
        resident = self._manager.resident(self.model)
        return resident.engine.pid if resident else None

    async def chat(self, call: ChatCall, on_piece: OnPiece) -> ChatReply:
        """See ``Provider``."""
        async with self._manager.use(self.model) as resident, self._watched(resident):
            client, context = await self._client_of(resident), resident.profile.context
            pace = Pace(self._settings)
            refuse_if_too_long(call, self.model, context, await pace.wait(client.count(call)))
            reply = await client.stream(call, pace, on_piece)
        return reply.model_copy(update={"provider": self.kind})

    async def count(self, call: ChatCall) -> int | None:
        """The tokens of ``call``'s prompt by the engine's own tokenizer, template included."""
        async with self._manager.use(self.model, turn=False) as resident, self._watched(resident):
            return await (await self._client_of(resident)).count(call)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See ``Provider``. It makes them where the model's ``embeddings`` is set."""
        if not self._settings.embeddings:
            raise no_embeddings(self.model, f"models.{self.model}.embeddings is not set")
        async with self._manager.use(self.model) as resident, self._watched(resident):
            return await (await self._client_of(resident)).embed(texts)

    async def health(self) -> Health:
        """See ``Provider``. A model that is not loaded is healthy if its weights are there."""
        return await health_of(self._manager.ready(self.model))

    async def models(self) -> list[ServedModel]:
        """The one model."""
        resident = self._manager.resident(self.model)
        context = resident.profile.context if resident else self._settings.context
        return [ServedModel(self.model, context=context, loaded=resident is not None)]

    @asynccontextmanager
    async def _watched(self, resident: Resident) -> AsyncIterator[None]:
        """Tell a broken call from the engine's death, and a slow engine from one that is stuck."""
        try:
            yield
        except ModelTimeoutError:
            await self._manager.check(resident)
            raise
        except TransientError as error:
            if await resident.alive_after(SETTLE_TRIES, SETTLE_S):
                raise
            raise TransientError(f"the engine of {self.model} died during the call", broken=True) from error

    async def _client_of(self, resident: Resident) -> OpenAiProvider:
        """A client for this engine; the one before is let go of with the engine before."""
        if self._client is None or self._engine is not resident.engine:
            old, self._engine = self._client, resident.engine
            self._client = OpenAiProvider(
                self.model,
                self._settings.model_copy(update={"context": resident.profile.context}),
                url="http://engine/v1",
                local=True,
                uds=resident.engine.socket,
                served=self.model,
            )
            if old is not None:
                await old.close()
        return self._client

    async def close(self) -> None:
        """Let go of the connections. The manager ends the engine."""
        client, self._client, self._engine = self._client, None, None
        if client is not None:
            await client.close()
