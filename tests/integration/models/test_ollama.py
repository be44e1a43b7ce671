"""How Ollama is asked, and what is made of each way in which it answers or fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import ModelSettings, OllamaSettings, Settings
from swarmd.errors import (
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelRefusedError,
    ModelReplyError,
    ModelUnreachableError,
)
from swarmd.messages import ChatCall, ChatReply
from swarmd.models.providers import TransientError
from swarmd.models.providers.ollama import OllamaProvider
from swarmd.models.routing import Router
from swarmd.models.store import Store

MakeCall = Callable[..., ChatCall]
MODEL = ModelSettings(name="qwen2.5-coder:0.5b", context=4096, top_p=0.9, first_token_s=5, between_tokens_s=1)


def tags(**extra: str) -> Callable[[dict[str, Any]], Any]:
    listed = {"models": [{"name": "qwen2.5-coder:0.5b", "size": 1} | extra]}
    return lambda body: (200, {}, [json.dumps(listed).encode()])


def says(*lines: dict[str, Any], status: int = 200, **headers: str) -> Callable[[dict[str, Any]], Any]:
    parts = [json.dumps(line).encode() + b"\n" for line in lines]
    return lambda body: (status, headers, parts)


def word(text: str) -> dict[str, Any]:
    return {"model": "q", "message": {"role": "assistant", "content": text}, "done": False}


def end(**fields: Any) -> dict[str, Any]:
    last = {"message": {"content": ""}, "done": True, "done_reason": "stop"}
    return last | {"prompt_eval_count": 12, "eval_count": 2} | fields


def ask(stub: Any, call: ChatCall, settings: ModelSettings = MODEL) -> ChatReply:
    async def go() -> ChatReply:
        provider = OllamaProvider("small", settings, host=stub.url, keep_alive="10m", local=True)
        try:
            return await provider.chat(call, lambda piece: None)
        finally:
            await provider.close()

    return asyncio.run(go())


def test_a_good_answer_and_the_question_that_led_to_it(stub: Any, call: MakeCall) -> None:
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = says(word("hello"), word(" you"), end(prompt_eval_cached_count=5))
    schema = {"type": "object"}

    reply = ask(stub, call(temperature=0.5, seed=3, stop=["END"], schema=schema))

    assert (reply.text, reply.provider, reply.finish) == ("hello you", "ollama", "stop")
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (12, 2, 5)
    asked = stub.asked[-1][2]
    assert (asked["truncate"], asked["shift"], asked["stream"]) == (False, False, True)
    assert (asked["keep_alive"], asked["format"]) == ("10m", schema)
    options = {"num_ctx": 4096, "num_predict": 16, "temperature": 0.5, "seed": 3, "top_p": 0.9}
    assert asked["options"] == options | {"stop": ["END"]}


def test_a_gap_is_filled_without_a_conversation_around_it(stub: Any, call: MakeCall) -> None:
    stub.routes["GET /api/tags"] = tags()
    lines = [{"response": "a + b", "done": False}, end(response="")]
    stub.routes["POST /api/generate"] = says(*lines)
    settings = MODEL.model_copy(update={"fill": "qwen"})

    reply = ask(stub, call("return ", suffix="\n", stop=["\n"]), settings)

    assert (reply.text, reply.usage.prompt_tokens) == ("a + b", 12)
    asked = stub.asked[-1][2]
    assert (asked["prompt"], asked["raw"]) == ("<|fim_prefix|>return <|fim_suffix|>\n<|fim_middle|>", True)
    assert "messages" not in asked
    assert asked["options"]["stop"][0] == "\n"


def test_a_reply_at_its_cap_says_so(stub: Any, call: MakeCall) -> None:
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = says(word("hello"), end(done_reason="length"))
    assert ask(stub, call()).finish == "length"


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (says(word("he"), {"error": "llama runner died"}), TransientError, "llama runner died"),
        (says(word("he"), word("llo")), TransientError, "broke off"),
        (says(end()), ModelReplyError, "empty"),
        (says(word("  \n"), end()), ModelReplyError, "empty"),
        (says(word("x"), end(done_reason="unload")), ModelReplyError, "unload"),
        (says({"error": "model 'x' not found"}, status=404), ModelMissingError, "does not have the model"),
        (says({"error": "server busy, please try again"}, status=503), TransientError, "server busy"),
        (says({"error": "the input exceeds the context length"}, status=400), ModelOverflowError, "input"),
        (says({"error": "invalid option"}, status=400), ModelRefusedError, "invalid option"),
        (says(status=307, location="http://127.0.0.1:1/api/chat"), ModelRefusedError, "redirect"),
        (lambda body: (200, {}, [b"<html>a proxy</html>\n"]), ModelReplyError, "not its protocol"),
        (lambda body: (200, {}, [b"[1]\n"]), ModelReplyError, "not its protocol"),
        (lambda body: (200, {}, []), TransientError, "broke off"),
    ],
)  # fmt: skip
def test_each_way_to_fail_is_an_error_of_its_kind(
    stub: Any, call: MakeCall, answer: Any, kind: type[ModelError], reason: str
) -> None:
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = answer

    with pytest.raises(kind, match=reason) as caught:
        ask(stub, call())
    assert type(caught.value) is kind


def test_a_model_that_is_not_there_is_an_error_before_it_is_asked(stub: Any, call: MakeCall) -> None:
    stub.routes["GET /api/tags"] = tags()
    with pytest.raises(ModelError, match=r"it has qwen2\.5-coder:0\.5b") as caught:
        ask(stub, call(), MODEL.model_copy(update={"name": "other:7b"}))
    assert caught.value.code == "E-MODEL-NAME"
    assert [route for route, _, _ in stub.asked] == ["GET /api/tags"]


def test_a_prompt_that_was_silently_cut_is_an_error(stub: Any, call: MakeCall) -> None:
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = says(word("hello"), end(prompt_eval_count=2048))
    code = "def function_name(argument):\n    return argument + 1\n" * 300

    with pytest.raises(ModelOverflowError, match="only 2048 tokens"):
        ask(stub, call(code))


def test_a_prompt_that_cannot_fit_is_not_even_sent(stub: Any, call: MakeCall) -> None:
    with pytest.raises(ModelOverflowError):
        ask(stub, call("word " * 10_000))
    assert stub.asked == []


@pytest.mark.parametrize("extra", [{"remote_host": "https://ollama.com"}, {"remote_model": "big"}])
def test_a_model_in_its_cloud_is_refused(stub: Any, call: MakeCall, extra: dict[str, str]) -> None:
    stub.routes["GET /api/tags"] = tags(**extra)
    with pytest.raises(ModelError, match="cloud") as caught:
        ask(stub, call())
    assert caught.value.code == "E-MODEL-PRIVACY"
    assert [route for route, _, _ in stub.asked] == ["GET /api/tags"]


def test_a_name_of_its_cloud_is_refused_without_a_word_to_the_server(stub: Any, call: MakeCall) -> None:
    with pytest.raises(ModelError, match="cloud"):
        ask(stub, call(), MODEL.model_copy(update={"name": "gpt-oss:120b-cloud"}))
    assert stub.asked == []


def test_proxies_and_keys_of_the_environment_are_not_used(
    stub: Any, call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:1")
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = says(word("hello"), end())

    assert ask(stub, call()).text == "hello"
    assert not [headers for _, headers, _ in stub.asked if "authorization" in headers]


def test_a_stream_that_stalls_is_ended(stub: Any, call: MakeCall) -> None:
    def stalling(body: dict[str, Any]) -> tuple[int, dict[str, str], Iterable[bytes]]:
        def parts() -> Iterable[bytes]:
            yield json.dumps(word("hello")).encode() + b"\n"
            threading_wait.wait(20)

        return 200, {}, parts()

    import threading

    threading_wait = threading.Event()
    stub.routes["GET /api/tags"] = tags()
    stub.routes["POST /api/chat"] = stalling
    with pytest.raises(ModelUnreachableError, match="no further token within 1 s"):
        ask(stub, call())
    threading_wait.set()


def chosen(stub_url: str, tmp_path: Path, **model: Any) -> str:
    """The kind of provider that "auto" chooses."""

    async def go() -> str:
        settings = Settings(
            models={"small": MODEL.model_copy(update=model)},
            tiers={"fast": "small", "deep": "small", "reviewer": "small"},  # type: ignore[arg-type]
            ollama=OllamaSettings(host=stub_url),
        )
        router = Router(settings, Store(tmp_path), tmp_path)
        try:
            return (await router.provider("small", "strict")).kind
        finally:
            await router.close()

    return asyncio.run(go())


def test_auto_takes_an_ollama_that_has_the_model_and_else_the_embedded_engine(
    stub: Any, tmp_path: Path
) -> None:
    stub.routes["GET /api/tags"] = tags()
    assert chosen(stub.url, tmp_path) == "ollama"
    assert chosen(stub.url.replace("127.0.0.1", "localhost"), tmp_path) == "ollama"
    assert chosen(stub.url, tmp_path, name="other:7b") == "embedded"
    assert chosen(stub.url, tmp_path, name=None) == "embedded"
    assert chosen("http://127.0.0.1:9", tmp_path) == "embedded"
    assert chosen("http://192.0.2.1:11434", tmp_path) == "embedded"
    stub.routes["GET /api/tags"] = tags(remote_host="https://ollama.com")
    assert chosen(stub.url, tmp_path) == "embedded"
