"""OpenAI-compatible servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelOverflowError, ModelRefusedError, ModelReplyError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.providers import TransientError
from swarmd.models.providers.openai import OpenAiProvider
from swarmd.testing import ScriptedModel

MakeCall = Callable[..., ChatCall]
MODEL = ModelSettings(
    provider="openai", name="m", context=4096, first_token_s=5, prompt_price=3_000_000, reply_price=1
)


def ask(
    url: str, call: ChatCall, *, key: str | None = None, local: bool = True, name: str = "m"
) -> ChatReply:
    async def go() -> ChatReply:
        settings = MODEL.model_copy(update={"name": name})
        provider = OpenAiProvider("big", settings, url=url, local=local, key=key)
        try:
            return await provider.chat(call, lambda piece: None)
        finally:
            await provider.close()

    return asyncio.run(go())


def models(body: dict[str, Any]) -> Any:
    return 200, {"content-type": "application/json"}, [json.dumps({"data": [{"id": "m"}]}).encode()]


def events(*frames: Any, done: bool = True) -> Callable[[dict[str, Any]], Any]:
    parts = [f"data: {json.dumps(frame)}\n\n".encode() for frame in frames]
    last = [b"data: [DONE]\n\n"] if done else []
    return lambda body: (200, {"content-type": "text/event-stream"}, [*parts, *last])


def chunk(content: str | None = None, finish: str | None = None, **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [choice],
    } | extra


def fails(status: int, body: str, **headers: str) -> Callable[[dict[str, Any]], Any]:
    return lambda asked: (status, {"content-type": "application/json"} | headers, [body.encode()])


def test_the_whole_exchange_with_a_well_behaved_server(call: MakeCall) -> None:
    with ScriptedModel([{"match": "hello", "reply": "hello you there"}], names=["m"]) as server:
        reply = ask(server.base_url, call(stop=["END"], seed=5))

    assert (reply.text, reply.model, reply.provider) == ("hello you there", "big", "openai")
    assert reply.usage.completion_tokens == 3
    asked = server.calls[0]
    assert (asked["model"], asked["max_tokens"], asked["seed"], asked["stop"]) == ("m", 16, 5, ["END"])
    assert asked["stream_options"] == {"include_usage": True}


def test_a_gap_is_filled_without_a_conversation_around_it(call: MakeCall) -> None:
    with ScriptedModel([{"match": "return ", "reply": "a + b"}], names=["qwen2.5-coder"]) as server:
        gap = call("def add(a, b):\n    return ", suffix="\n", stop=["\n"])
        reply = ask(server.base_url, gap, name="qwen2.5-coder")

    assert (reply.text, reply.usage.completion_tokens) == ("a + b", 3)
    asked = server.calls[0]
    prompt = "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n<|fim_middle|>"
    assert (asked["prompt"], asked["stop"][0]) == (prompt, "\n")
    assert "messages" not in asked


def test_a_gap_may_need_nothing(call: MakeCall) -> None:
    with ScriptedModel(default={"reply": ""}, names=["qwen2.5-coder"]) as server:
        assert ask(server.base_url, call("x", suffix="y"), name="qwen2.5-coder").text == ""


@pytest.mark.parametrize("status", [400, 404, 405, 422, 501])
def test_a_server_that_fills_no_gaps_is_told_from_one_that_is_away(
    stub: Any, call: MakeCall, status: int
) -> None:
    listed = json.dumps({"data": [{"id": "qwen2.5-coder"}]}).encode()
    stub.routes["GET /v1/models"] = lambda body: (200, {"content-type": "application/json"}, [listed])
    stub.routes["POST /v1/completions"] = fails(status, '{"error": {"message": "what is that"}}')
    with pytest.raises(ModelError) as caught:
        ask(f"{stub.url}/v1", call("x", suffix="y"), name="qwen2.5-coder")
    assert caught.value.code == "E-MODEL-FILL"


def test_a_model_that_cannot_fill_gaps_is_not_asked(call: MakeCall) -> None:
    with ScriptedModel(default={"reply": "x"}, names=["m"]) as server:
        with pytest.raises(ModelError, match="fill gaps") as caught:
            ask(server.base_url, call("x", suffix="y"))
        assert server.calls == []
    assert caught.value.code == "E-MODEL-FILL"


def test_a_remote_model_has_its_price(call: MakeCall) -> None:
    with ScriptedModel(default={"reply": "one two"}, names=["m"]) as server:
        local, remote = (ask(server.base_url, call(), local=local).usage for local in (True, False))

    assert (local.micro_usd, local.local) == (0, True)
    assert (remote.micro_usd, remote.local) == (3 * remote.prompt_tokens + 1, False)


def test_a_name_that_the_server_does_not_have_is_an_error_though_it_would_answer(call: MakeCall) -> None:
    with ScriptedModel(default={"reply": "x"}, names=["m", "n"]) as server:
        with pytest.raises(ModelError, match="it has m, n") as caught:
            ask(server.base_url, call(), name="mm")
        assert server.calls == []
    assert caught.value.code == "E-MODEL-NAME"


BROKEN = events(chunk("he"), {"error": {"code": 500, "message": "CUDA error"}})
TOO_LONG = {"code": 400, "message": "context size exceeded", "type": "exceed_context_size_error"}
NESTED = fails(400, '{"error":{"type":"exceed_context_size_error","message":"too long"}}')
FLAT = fails(400, '{"object":"error","message":"maximum context length is 10","code":400}')
LOADING = fails(503, '{"error":{"message":"Loading model","type":"unavailable_error"}}')


def no_json(body: dict[str, Any]) -> Any:
    return 200, {"content-type": "text/event-stream"}, [b"data: {not json\n\n"]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (events(chunk("he"), chunk("llo"), done=False), TransientError, "broke off"),
        (BROKEN, TransientError, "CUDA error"),
        (events(chunk("he"), {"error": TOO_LONG}), ModelOverflowError, "context"),
        (events(chunk(None, "stop")), ModelReplyError, "empty"),
        (events(chunk("x", "content_filter")), ModelReplyError, "content_filter"),
        (NESTED, ModelOverflowError, "too long"),
        (FLAT, ModelOverflowError, "maximum"),
        (LOADING, TransientError, "Loading"),
        (fails(302, "", location="http://127.0.0.1:1/"), ModelRefusedError, "redirect"),
        (fails(401, '{"error":"bad key"}'), ModelRefusedError, "bad key"),
        (no_json, ModelReplyError, "not JSON"),
    ],
)
def test_each_way_to_fail_is_an_error_of_its_kind(
    stub: Any, call: MakeCall, answer: Any, kind: type[ModelError], reason: str
) -> None:
    stub.routes["GET /v1/models"] = models
    stub.routes["POST /v1/chat/completions"] = answer

    with pytest.raises(kind, match=reason) as caught:
        ask(f"{stub.url}/v1", call())
    assert type(caught.value) is kind


def test_a_closed_port_may_be_asked_again(call: MakeCall) -> None:
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        ask("http://127.0.0.1:9/v1", call())
    assert not caught.value.broken


def test_a_server_without_a_list_of_models_is_believed(stub: Any, call: MakeCall) -> None:
    stub.routes["POST /v1/chat/completions"] = events(chunk("hello"), chunk(None, "stop"))
    assert ask(f"{stub.url}/v1", call()).text == "hello"


def test_only_the_configured_key_is_sent(stub: Any, call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://192.0.2.1/v1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.routes["GET /v1/models"] = models
    stub.routes["POST /v1/chat/completions"] = events(chunk("hello"), chunk(None, "stop"))

    assert ask(f"{stub.url}/v1", call()).text == "hello"
    assert "secret" not in str(stub.asked)
    assert not [headers for _, headers, _ in stub.asked if "authorization" in headers]
    ask(f"{stub.url}/v1", call(), key="mine")
    assert stub.asked[-1][1]["authorization"] == "Bearer mine"
