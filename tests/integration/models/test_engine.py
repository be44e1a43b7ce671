"""The real 0.5B model in the embedded engine."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from swarmd.errors import ModelError, ModelOverflowError, ModelUnreachableError
from swarmd.home import Home
from swarmd.messages import ChatCall
from swarmd.models import engine
from swarmd.models.engine_process import EngineOptions, EngineProcess
from swarmd.models.gguf import read_shape
from swarmd.testing import temporary_home

StartBroker = Callable[..., Any]
MakeCall = Callable[..., ChatCall]

LONG = "Tell a very long story about a lighthouse."


@pytest.fixture
def home(tmp_path: Path, small_weights: Path) -> Home:
    return home_with(tmp_path, small_weights)


def home_with(tmp_path: Path, weights: Path, **model: Any) -> Home:
    tiers = dict.fromkeys(("fast", "deep", "reviewer"), "real")
    real = {"provider": "embedded", "weights": str(weights), "context": 2048} | model
    return temporary_home(tmp_path, models={"real": real}, tiers=tiers)


def test_the_real_header_is_read_in_a_moment(small_weights: Path) -> None:
    began = time.monotonic()
    shape = read_shape(small_weights)

    assert (shape.architecture, shape.layers, shape.kv_heads, shape.key_length) == ("qwen2", 24, 2, 64)
    assert time.monotonic() - began < 2


def test_a_chat_with_the_real_model(
    home: Home, start_broker: StartBroker, call: MakeCall, record_property: Callable[[str, object], None]
) -> None:
    broker = start_broker(home)
    client = broker.client()

    first = client.chat(call("Write a Python function that adds two numbers.", max_tokens=60))
    loaded = broker.event("model_loaded")
    again = client.chat(call("Write a Python function that adds two numbers.", max_tokens=60))

    assert "def " in first.text
    assert "def " in again.text
    assert first.provider == "embedded"
    assert first.usage.prompt_tokens > 20
    assert again.usage.cached_tokens > 20, "the second prompt had already been read"
    record_property("load_ms", loaded["latency_ms"])
    record_property("tokens_per_second", again.usage.completion_tokens * 1000 / again.latency_ms)


def test_the_real_model_fills_a_gap(
    tmp_path: Path, start_broker: StartBroker, call: MakeCall, small_weights: Path
) -> None:
    client = start_broker(home_with(tmp_path, small_weights, fill="qwen")).client()
    before = 'def largest(numbers):\n    """The largest of the numbers."""\n    '

    reply = client.chat(call(before, suffix="\n", stop=["\n"], max_tokens=24))

    assert reply.text.startswith("return max(")
    assert "\n" not in reply.text
    assert 10 < reply.usage.prompt_tokens < 40, "no template around it"
    assert client.count(call(before, suffix="\n")) == reply.usage.prompt_tokens


def test_a_reply_follows_its_schema(home: Home, start_broker: StartBroker, call: MakeCall) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["language", "lines"],
        "properties": {"language": {"enum": ["python", "rust"]}, "lines": {"type": "integer"}},
    }
    client = start_broker(home).client()

    reply = client.chat(call("Describe this: print('hi')", schema=schema, max_tokens=60))

    assert reply.text.startswith("{")
    assert '"python"' in reply.text


def test_a_prompt_that_does_not_fit_is_an_error_and_not_cut(
    home: Home, start_broker: StartBroker, call: MakeCall
) -> None:
    client = start_broker(home).client()

    with pytest.raises(ModelOverflowError, match="2048 tokens"):
        client.chat(call("word " * 2040, max_tokens=16))
    with pytest.raises(ModelOverflowError):
        client.chat(call("word " * 40_000, max_tokens=16))
    with pytest.raises(ModelOverflowError):
        client.chat(call("short", max_tokens=2048))
    assert client.chat(call("Say hi.")).text


def test_an_abort_stops_the_generation_and_frees_the_engine(
    home: Home, start_broker: StartBroker, call: MakeCall
) -> None:
    broker = start_broker(home)
    client = broker.client()
    client.chat(call("Say hi."))
    progress = threading.Event()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.chat(call(LONG, max_tokens=1500, request_id="req-1"), on_wait=progress.set)
        except ModelError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert progress.wait(30)
    broker.control.send({"op": "abort", "request_id": "req-1"})
    asking.join(5)
    began = time.monotonic()
    broker.client("next").chat(call("Say hi.", max_tokens=4))

    assert [error.code for error in errors if isinstance(error, ModelError)] == ["E-MODEL-ABORTED"]
    assert time.monotonic() - began < 10, "1,500 tokens would have taken over a minute"


def test_a_call_survives_the_sudden_death_of_its_engine(
    home: Home, start_broker: StartBroker, call: MakeCall
) -> None:
    broker = start_broker(home)
    client = broker.client()
    killed: list[int] = []

    def kill_once() -> None:
        loads = [frame for frame in broker.frames if frame.get("event") == "model_loaded"]
        if loads and not killed:
            killed.append(loads[0]["fields"]["pid"])
            os.kill(killed[0], signal.SIGKILL)

    collecting = threading.Thread(target=broker.event, args=("model_call_complete",))
    collecting.start()
    reply = client.chat(call(LONG, max_tokens=120), on_wait=kill_once)
    collecting.join(30)

    assert killed
    assert reply.usage.completion_tokens == 120
    loads = [frame["fields"]["pid"] for frame in broker.frames if frame.get("event") == "model_loaded"]
    assert len(loads) == 2
    assert loads[0] != loads[1]


def test_an_engine_that_died_between_two_calls_is_started_again(
    home: Home, start_broker: StartBroker, call: MakeCall
) -> None:
    broker = start_broker(home)
    client = broker.client()
    client.chat(call("Say hi.", max_tokens=2))
    os.kill(broker.event("model_loaded")["pid"], signal.SIGKILL)

    assert client.chat(call("Say hi.", max_tokens=2)).text


def test_no_engine_outlives_its_broker(home: Home, start_broker: StartBroker, call: MakeCall) -> None:
    broker = start_broker(home)
    broker.client().chat(call("Say hi.", max_tokens=2))
    engine = psutil.Process(broker.event("model_loaded")["pid"])
    broker.process.kill()
    broker.process.wait()

    psutil.wait_procs([engine], timeout=5)
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


def test_only_this_user_can_reach_the_engine(home: Home, start_broker: StartBroker, call: MakeCall) -> None:
    broker = start_broker(home)
    broker.client().chat(call("Say hi.", max_tokens=2))
    engine = psutil.Process(broker.event("model_loaded")["pid"])
    sockets = [conn for conn in engine.net_connections("all") if conn.laddr]

    assert {conn.family.name for conn in sockets} == {"AF_UNIX"}
    path = Path(str(sockets[0].laddr))
    assert len(os.fsencode(path)) < 108
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_real_stream_that_is_too_slow_is_ended(
    tmp_path: Path, small_weights: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    client = start_broker(home_with(tmp_path, small_weights, between_tokens_s=0.002)).client()

    with pytest.raises(ModelUnreachableError, match="no further token within") as caught:
        client.chat(call(LONG, max_tokens=100))
    assert caught.value.code == "E-MODEL-TIMEOUT"


def test_a_file_that_is_no_model_says_so(tmp_path: Path, start_broker: StartBroker, call: MakeCall) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF" + bytes(100))

    with pytest.raises(ModelError, match=r"fake\.gguf is not a readable GGUF"):
        start_broker(home_with(tmp_path, fake)).client().chat(call())


def test_weights_that_are_cut_do_not_load_and_the_reason_is_told(
    tmp_path: Path, small_weights: Path, start_broker: StartBroker, call: MakeCall
) -> None:
    cut = tmp_path / "cut.gguf"
    with small_weights.open("rb") as file:
        cut.write_bytes(file.read(20_000_000))

    with pytest.raises(ModelUnreachableError, match=r"engine of real ended while it loaded.*cut\.gguf"):
        start_broker(home_with(tmp_path, cut)).client().chat(call())


def test_a_socket_path_that_is_too_long_is_explained(tmp_path: Path) -> None:
    runtime = tmp_path / ("long" * 20)
    runtime.mkdir()
    options = EngineOptions("m", tmp_path / "m.gguf", context=256, parallel=1, threads=1, gpu_layers=0)

    with pytest.raises(ModelUnreachableError, match="too long") as caught:
        asyncio.run(EngineProcess(options, runtime).start(1))
    assert "XDG_RUNTIME_DIR" in caught.value.hint


def test_the_engine_shares_nothing_and_listens_to_nobody_else(small_weights: Path, tmp_path: Path) -> None:
    import xllamacpp

    options = engine._parser().parse_args(
        f"--weights {small_weights} --socket {tmp_path}/s --alias m --parent 1 --context 1000 --parallel 3 "
        "--threads 2".split()
    )
    params = engine._params(xllamacpp, options)

    assert (params.cache_ram_mib, params.cache_idle_slots) == (0, False), "replies could leak to others"
    assert (params.cors_origins, params.ui, params.offline) == ("", False, True)
    assert list(params.hostnames) == [f"{tmp_path}/s"]
    assert (params.n_ctx, params.n_parallel) == (3000, 3), "each call has the whole context"


def test_the_engine_counts_what_it_will_read(home: Home, start_broker: StartBroker, call: MakeCall) -> None:
    client = start_broker(home).client()
    asked = call("Write a Python function that adds two numbers.", max_tokens=1)

    counted = client.count(asked)

    assert counted == client.chat(asked).usage.prompt_tokens
