"""Asks one provider, in front of a genuine server, for all that its protocol has, and prints what came.

What the conformance suite replays is compared with reality here: each line is what the server really does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from swarmd.errors import ModelError
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models.providers import Provider
from swarmd.models.schema import fault_in_reply, unfenced

__all__ = ["Make", "probe"]

Make = Callable[..., Provider]
"""A provider for the model of this ``name`` with so much ``context``."""

SCHEMA = {
    "type": "object",
    "required": ["answer"],
    "properties": {"answer": {"type": "integer"}},
    "additionalProperties": False,
}
ASSUMED = 100_000
"""A context that no server here has: swarmd itself then refuses nothing."""
Check = Callable[[Make], Awaitable[str]]


def _call(text: str = "Say hello.", **fields: Any) -> ChatCall:
    message = ChatMessage(role="user", content=text)
    return ChatCall(**({"tier": "fast", "max_tokens": 8, "messages": [message]} | fields))


async def _models(make: Make) -> str:
    found = await make().models()
    return ", ".join(f"{one.name} (context {one.context}, loaded {one.loaded})" for one in found)


async def _health(make: Make) -> str:
    health = await make().health()
    assert health.ok, health
    return health.message


async def _reply(make: Make) -> str:
    pieces: list[str | None] = []
    reply = await make().chat(_call(), pieces.append)
    assert reply.text == "".join(piece or "" for piece in pieces)
    usage = reply.usage
    return f"{len(pieces)} pieces, {usage.prompt_tokens} + {usage.completion_tokens} tokens, {reply.finish}"


async def _schema(make: Make) -> str:
    asked = _call("What is 2 + 3? Reply with JSON.", schema=SCHEMA, max_tokens=40)
    text = unfenced((await make().chat(asked, lambda piece: None)).text)
    fault = fault_in_reply(text, SCHEMA)
    return f"followed: {json.dumps(json.loads(text))}" if fault is None else f"ignored: {fault}"


async def _cap(make: Make) -> str:
    asked = _call("Count from one to fifty in words.", max_tokens=6)
    reply = await make().chat(asked, lambda piece: None)
    return f"{reply.finish} after {reply.usage.completion_tokens} tokens of 6"


async def _count(make: Make) -> str:
    counted = await make().count(_call())
    return "none before the first reply" if counted is None else f"{counted} tokens"


async def _overflow(make: Make) -> str:
    await make(context=ASSUMED).chat(_call("def name(argument):\n    return 1\n" * 1500), lambda piece: None)
    raise AssertionError("a prompt that does not fit was answered, and nobody noticed")


async def _missing(make: Make) -> str:
    await make(name="no-such-model").chat(_call(), lambda piece: None)
    raise AssertionError("a model that is not there has answered")


async def _vectors(make: Make) -> str:
    return f"{len((await make().embed(['one']))[0])} numbers"


async def _cancel(make: Make) -> str:
    provider, first = make(), asyncio.Event()
    asked = _call("Count to five hundred in words.", max_tokens=600)
    task = asyncio.ensure_future(provider.chat(asked, lambda piece: first.set()))
    await first.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    began = time.monotonic()
    await provider.chat(_call(), lambda piece: None)
    return f"the next reply was whole after {time.monotonic() - began:.1f} s"


CHECKS: dict[str, tuple[Check, set[str]]] = {
    "models": (_models, set()),
    "health": (_health, set()),
    "a reply in pieces": (_reply, set()),
    "a schema": (_schema, set()),
    "a cap": (_cap, set()),
    "a count": (_count, set()),
    "a prompt too long": (_overflow, {"E-MODEL-OVERFLOW"}),
    "a model it lacks": (_missing, {"E-MODEL-NAME"}),
    "vectors": (_vectors, {"E-MODEL-EMBED"}),
    "a cancelled call": (_cancel, set()),
}
"""What is asked, and the errors that are right answers."""


async def probe(name: str, make: Make, known: dict[str, set[str]]) -> int:
    """Print one line for each check; the number that failed. ``known``: other errors that this server is
    known to lead to, by check."""
    failed = 0
    for what, (check, right) in CHECKS.items():
        made: list[Provider] = []

        def making(made: list[Provider] = made, **fields: Any) -> Provider:
            made.append(make(**fields))
            return made[-1]

        try:
            came, good = await check(making), True
        except ModelError as error:
            came, good = f"{error.code}: {error.message[:150]}", error.code in right | known.get(what, set())
        except AssertionError as error:
            came, good = str(error), False
        finally:
            for provider in made:
                await provider.close()
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {what}: {came}", flush=True)
    return failed
