"""Asking one model one thing, to see whether it works and how fast it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import CallContext, ChatCall, ChatMessage, ChatReply
from swarmd.models.calls import Calls
from swarmd.models.purse import Purse
from swarmd.models.routing import Router
from swarmd.models.store import Store, default_folder

__all__ = ["Trial", "named_by_hand", "try_model"]

QUESTION = "Count from 1 to 20 in words, separated by commas."


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    reply: ChatReply
    load_ms: int
    """The time that the embedded engine took to start; 0 for a server."""

    @property
    def tokens_per_second(self) -> float:
        """Over the whole call, the reading of its short prompt included."""
        return self.reply.usage.completion_tokens / max(0.001, self.reply.latency_ms / 1000)


def try_model(settings: Settings, home: Home, name: str) -> Trial:
    """Ask the model that swarmd.toml calls ``name``, without a daemon, and let it go again.

    The engine's socket lies in the runtime folder of ``home``. Raises ModelError or ConfigError.
    """
    return asyncio.run(_try(settings, home, name))


def named_by_hand(settings: Settings) -> Settings:
    """For calls to a model that the user has named: only privacy may forbid it, not routing."""
    routing = settings.routing.model_copy(update={"mode": "auto", "rules": []})
    return settings.model_copy(update={"routing": routing})


async def _try(settings: Settings, home: Home, name: str) -> Trial:
    loads: list[int] = []

    def loaded(fields: Mapping[str, Any]) -> None:
        loads.append(int(fields["latency_ms"]))

    settings = named_by_hand(settings)
    router = Router(settings, Store(default_folder(settings)), home.make_runtime(), on_loaded=loaded)
    calls = Calls(settings, router, lambda event, fields: None, Purse(home.spent_file), home.sent)
    question = ChatMessage(role="user", content=QUESTION)
    call = ChatCall(
        tier="fast",
        model=name,
        messages=[question],
        max_tokens=64,
        purpose="test",
        about=CallContext(privacy=settings.privacy, micro_usd=settings.budget.day_micro_usd),
        privacy=settings.privacy,
    )
    try:
        reply = await calls.chat(call, "model-test", lambda piece: None)
    finally:
        await router.close()
    return Trial(reply, sum(loads))
