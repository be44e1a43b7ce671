"""Memory that is short, with the real 0.5B model."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.errors import ModelError
from swarmd.home import Home
from swarmd.messages import ChatCall
from swarmd.models import loaded
from swarmd.models.engine_process import has_gpu_build
from swarmd.models.manager import Manager
from swarmd.models.store import Store
from swarmd.testing import temporary_home

StartBroker = Callable[..., Any]
MakeCall = Callable[..., ChatCall]
MIB = 1024 * 1024


def home_of(tmp_path: Path, weights: Path, *names: str, engine: Any = None, **model: Any) -> Home:
    tiers = dict.fromkeys(("fast", "deep", "reviewer"), names[0])
    real = {"provider": "embedded", "weights": str(weights), "context": 2048, "slots": 1} | model
    return temporary_home(tmp_path, models=dict.fromkeys(names, real), tiers=tiers, engine=engine or {})


def events(broker: Any, *names: str) -> list[dict[str, Any]]:
    """The fields of the events so far, oldest first."""
    return [frame["fields"] for frame in broker.frames if frame.get("event") in names]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits another process's memory")
def test_an_engine_that_runs_out_of_memory_is_loaded_with_less(
    tmp_path: Path, small_weights: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    broker = start_broker(home_of(tmp_path, small_weights, "real", context=32_768))
    broker.until(lambda frame: frame.get("op") == "ready")
    # Its engine inherits it: what the plan knows nothing of. 384 MiB of cache do not fit, 192 do.
    resource.prlimit(broker.process.pid, resource.RLIMIT_DATA, (560 * MIB, 560 * MIB))

    reply = broker.client().chat(call("Say hello.", max_tokens=4))

    assert reply.text
    broker.event("model_call_complete")
    [ran_out] = events(broker, "model_out_of_memory")
    assert (ran_out["model"], ran_out["then"]) == ("real", "context 32768 -> 16384")
    [now] = events(broker, "model_loaded")
    assert now["context"] == 16_384
    with pytest.raises(ModelError, match="16384 tokens"):
        broker.client("other").chat(call("word " * 20_000, max_tokens=4))


def test_two_models_that_do_not_fit_together_take_turns(
    tmp_path: Path, small_weights: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    engine = {"memory_mib": 1000, "swap_after_s": 3600}
    broker = start_broker(home_of(tmp_path, small_weights, "first", "second", engine=engine))
    replies: list[str] = []

    def ask(model: str) -> None:
        client = broker.client(model)
        for number in range(4):
            replies.append(client.chat(call(f"Say {number}.", model=model, max_tokens=3)).model)

    threads = [threading.Thread(target=ask, args=(model,)) for model in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    broker.until(lambda frame: len(events(broker, "model_call_complete")) == 8, 10)

    assert sorted(replies) == ["first"] * 4 + ["second"] * 4
    assert replies in (sorted(replies), sorted(replies, reverse=True)), "all of one, then all of the other"
    assert len(events(broker, "model_loaded")) == 2
    [waited] = events(broker, "model_waits")
    [ended] = events(broker, "model_unloaded")
    assert waited["needs_mib"] > waited["free_mib"]
    assert (ended["model"], ended["why"]) == (replies[0], f"{replies[-1]} needs the room")
    assert events(broker, "model_out_of_memory") == []


def test_a_frozen_engine_is_ended_after_a_call_timed_out_and_the_next_call_has_another(
    tmp_path: Path, small_weights: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    broker = start_broker(home_of(tmp_path, small_weights, "real", between_tokens_s=2, first_token_s=30))
    client = broker.client()
    client.chat(call("Say hi.", max_tokens=2))
    pid, frozen = broker.event("model_loaded")["pid"], threading.Event()

    def freeze(piece: str | None) -> None:
        if not frozen.is_set():
            os.kill(pid, signal.SIGSTOP)
            frozen.set()

    with pytest.raises(ModelError) as caught:
        client.chat(call("Tell a very long story.", max_tokens=400), on_piece=freeze)
    broker.event("model_lost")

    assert frozen.is_set()
    assert caught.value.code == "E-MODEL-TIMEOUT"
    assert client.chat(call("Say hi.", max_tokens=2)).text
    broker.until(lambda frame: len(events(broker, "model_loaded")) == 2, 10)


def test_a_quantised_cache_and_embeddings(small_weights: Path, runtime: Path) -> None:
    from swarmd.models.providers.embedded import EmbeddedProvider

    model = {
        "provider": "embedded",
        "weights": str(small_weights),
        "context": 1024,
        "slots": 1,
        "cache_type": "q8_0",
        "embeddings": True,
    }
    settings = Settings.model_validate(
        {"models": {"real": model}, "tiers": dict.fromkeys(("fast", "deep", "reviewer"), "real")}
    )

    async def story() -> None:
        manager = Manager(settings, Store(runtime), runtime)
        provider = EmbeddedProvider("real", settings.models["real"], manager)
        try:
            assert (await provider.health()).ok
            assert [(one.name, one.loaded) for one in await provider.models()] == [("real", False)]
            one, two, other = await provider.embed(["a red car", "a red car", "def add(a, b):"])
            assert one == pytest.approx(two, abs=1e-3)
            assert one != pytest.approx(other, abs=1e-3)
            await asyncio.sleep(0.5)
            [[shown]] = loaded.read(runtime).values()
            assert (shown.model, shown.state, shown.cache) == ("real", "idle", "q8_0")
            assert (await provider.health()).ok
        finally:
            await provider.close()
            await manager.close()
        assert loaded.read(runtime) == {}

    asyncio.run(story())


def test_whether_the_engine_has_a_gpu_build_is_answered() -> None:
    assert asyncio.run(has_gpu_build()) in (True, False)
