"""What every provider asks besides the reply: models, health, vectors, counts; and what it sends along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import ModelError, ModelOverflowError, ModelReplyError
from swarmd.messages import ChatMessage, ChatReply
from swarmd.models.providers import Health, Provider, ServedModel
from tests.integration.models.conformance_server import MODEL, OTHER, Answer, Asked, ConformanceServer
from tests.integration.models.dialects import JSON, dumps
from tests.integration.models.providers import CONTEXT, KINDS, ask, call, served, with_provider

SERVERS = [kind for kind in KINDS if kind != "embedded"]
"""Those whose server somebody else runs."""


@pytest.fixture
def folder(runtime: Path) -> Path:
    return runtime


def vectors_of(server: ConformanceServer, *, answer: Any = None) -> None:
    """Make ``server`` answer questions for vectors: each is the length of its text, twice."""

    def made(body: dict[str, Any]) -> Answer:
        if answer is not None:
            return 200, JSON, [answer if isinstance(answer, bytes) else dumps(answer)]
        found = [[len(text), len(text)] for text in body["input"]]
        if server.dialect.name == "ollama":
            return 200, JSON, [dumps({"model": MODEL, "embeddings": found})]
        data = [{"index": number, "embedding": one} for number, one in enumerate(found)]
        return 200, JSON, [dumps({"object": "list", "data": data[::-1]})]

    server.routes |= {"POST /v1/embeddings": made, "POST /api/embed": made}


def embedded(kind: str, server: ConformanceServer, texts: list[str]) -> list[list[float]] | ModelError:
    async def work(provider: Provider) -> list[list[float]] | ModelError:
        try:
            return await provider.embed(texts)
        except ModelError as error:
            return error

    found: list[list[float]] | ModelError = with_provider(kind, server, work)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_come_in_the_order_of_their_texts(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        vectors_of(server)
        found = embedded(kind, server, ["a", "bb", "ccc"])
        if kind.startswith("anthropic"):
            assert isinstance(found, ModelError)
            assert (found.code, server.asked) == ("E-MODEL-EMBED", [])
        else:
            assert found == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
            asked = len(server.asked)
            assert embedded(kind, server, []) == []
            assert len(server.asked) == asked


NUMBERS = {"openai": '{"data": [{"index": 0, "embedding": %s}]}', "ollama": '{"embeddings": [%s]}'}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("anthropic")])
@pytest.mark.parametrize("vector", ["[NaN, 1]", "[1e999]", '["a"]', "[true]", "null", "[1], [1]", "{}"])
def test_vectors_that_are_none_are_bad_output(kind: str, folder: Path, vector: str) -> None:
    with served(kind, folder) as server:
        answer = (NUMBERS[server.dialect.name] % vector).encode()
        vectors_of(server, answer=answer)
        assert isinstance(embedded(kind, server, ["a"]), ModelReplyError)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("anthropic")])
def test_a_model_that_makes_no_vectors_says_so(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        for status, code in ((400, "E-MODEL-EMBED"), (501, "E-MODEL-EMBED")):
            fails = lambda body, status=status: (status, JSON, [b'{"error":"no embeddings here"}'])  # noqa: E731
            server.routes |= {"POST /v1/embeddings": fails, "POST /api/embed": fails}
            found = embedded(kind, server, ["a"])
            assert isinstance(found, ModelError), found
            assert found.code == code
        fails = lambda body: (400, JSON, [b'{"error":"the input length exceeds the context length"}'])  # noqa: E731
        server.routes |= {"POST /v1/embeddings": fails, "POST /api/embed": fails}
        assert isinstance(embedded(kind, server, ["a"]), ModelOverflowError)


def health_of(kind: str, server: ConformanceServer) -> Health:
    found = with_provider(kind, server, lambda provider: provider.health())
    assert isinstance(found, Health)
    return found


@pytest.mark.parametrize("kind", SERVERS)
def test_health_is_told_without_asking_the_model(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        assert health_of(kind, server).ok
        assert server.chats == []

        listing = server.dialect.listing([MODEL]).keys()
        loading = server.dialect.error("Loading model", "unavailable_error")
        server.routes = dict.fromkeys(listing, lambda body: (503, JSON, [loading]))
        assert health_of(kind, server).code == "E-MODEL-LOADING"
        server.routes = dict.fromkeys(listing, lambda body: (200, JSON, [b"<html>"]))
        assert health_of(kind, server).code == "E-MODEL-REPLY"
        missing = server.dialect.error(f"model: {MODEL}", "not_found_error")
        server.routes = {f"GET /v1/models/{MODEL}": lambda body: (404, JSON, [missing])}
        server.names = [OTHER]
        assert health_of(kind, server).code == "E-MODEL-NAME"
    down = health_of(kind, server)
    assert (down.ok, down.code) == (False, "E-MODEL-DOWN")


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_says_which_models_it_has(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        found = with_provider(kind, server, lambda provider: provider.models())
    if server.dialect.name == "ollama":
        both = [ServedModel(MODEL, bytes=400, loaded=True), ServedModel(OTHER, bytes=400, loaded=False)]
    else:
        size = 200_000 if server.dialect.name == "anthropic" else None
        both = [ServedModel(MODEL, context=size), ServedModel(OTHER, context=size)]
    assert found == both


def counted(kind: str, server: ConformanceServer, text: str, **fields: Any) -> list[int | None]:
    """What is said of ``text`` before and after a call of a known size."""

    async def work(provider: Provider) -> list[int | None]:
        before = await provider.count(call(text, **fields))
        await provider.chat(call("word " * 300), lambda piece: None)
        return [before, await provider.count(call(text, **fields))]

    found: list[int | None] = with_provider(kind, server, work)
    return found


@pytest.mark.parametrize("kind", SERVERS)
def test_without_a_tokenizer_a_count_is_learnt_from_replies(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        before, after = counted(kind, server, "x" * 400)
    assert before is None
    assert after == int(100 * 1.15) + 1, "four bytes to a token, and the margin"


@pytest.mark.parametrize("kind", ["openai", "openai-unix", "embedded"])
@pytest.mark.parametrize("fields", [{}, {"suffix": "y"}])
def test_llama_cpp_counts_exactly(kind: str, folder: Path, fields: dict[str, Any]) -> None:
    with served("embedded" if kind == "embedded" else "openai-unix", folder) as server:
        if kind != "embedded":
            from tests.integration.models.providers import tokenizer_of_llama_cpp

            server.routes |= tokenizer_of_llama_cpp()
        marks = len("<|fim_prefix|><|fim_suffix|>y<|fim_middle|>") // 4 if fields else 0
        work = lambda provider: provider.count(call("x" * 400, **fields))  # noqa: E731
        found = with_provider(kind, server, work, fill="qwen")
    assert abs(found - 100 - marks) <= 1


def test_vllm_counts_exactly(folder: Path) -> None:
    def tokenize(body: dict[str, Any]) -> Answer:
        text = body.get("prompt", "") + "".join(turn["content"] for turn in body.get("messages", []))
        return 200, JSON, [dumps({"count": len(text), "max_model_len": 9, "tokens": [0] * len(text)})]

    with served("openai", folder) as server:
        server.routes["POST /tokenize"] = tokenize
        assert with_provider("openai", server, lambda provider: provider.count(call("x" * 41))) == 41
        first = next(body for route, _, body in server.asked if route == "POST /tokenize")
    assert "x" not in first["prompt"], "nothing is shown to a server before it is known what it is"


def test_anthropic_counts_exactly(folder: Path) -> None:
    with served("anthropic", folder) as server:
        server.routes["POST /v1/messages/count_tokens"] = lambda body: (200, JSON, [b'{"input_tokens": 41}'])
        assert with_provider("anthropic", server, lambda provider: provider.count(call("x"))) == 41


def test_no_call_makes_ollama_load_its_model_anew(folder: Path) -> None:
    """A server that loads a model again when one of these changes; a call says them all, or it counts too."""
    profiles = []

    def note(body: dict[str, Any]) -> None:
        options = body["options"]
        fixed = ("num_ctx", "num_gpu", "num_batch", "num_thread")
        profiles.append(({name: options.get(name) for name in fixed}, body.get("keep_alive")))

    def remembers(asked: Asked) -> Answer:
        note(asked.body)
        return asked.answer()

    async def work(provider: Provider) -> None:
        for fields in (
            {},
            {"max_tokens": 500},
            {"temperature": 0.7, "seed": 4},
            {"schema": {"type": "object"}},
        ):
            await provider.chat(call(**fields), lambda piece: None)
        await provider.chat(call("x", suffix="y"), lambda piece: None)
        await provider.embed(["x"])

    with served("ollama", folder, remembers) as server:
        vectors_of(server)
        made = server.routes["POST /api/embed"]
        server.routes["POST /api/embed"] = lambda body: (note(body), made(body))[1]  # type: ignore[func-returns-value]
        gap = [b'{"response": "z", "done": false}\n', b'{"response": "", "done": true}\n']
        server.routes["POST /api/generate"] = lambda body: (note(body), (200, {}, gap))[1]  # type: ignore[func-returns-value]
        with_provider("ollama", server, work, fill="qwen")
    assert len(profiles) == 6
    assert all(profile == profiles[0] for profile in profiles)
    assert profiles[0][0]["num_ctx"] == CONTEXT


OPTIONS = {
    "openai": ("temperature", "top_p", "seed", "stop", "response_format", "stream_options", "max_tokens"),
    "anthropic": ("temperature", "top_p", "stop_sequences", "output_config"),
}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_options_that_a_model_refuses_are_left_out_from_then_on(kind: str, folder: Path) -> None:
    def picky(asked: Asked) -> Answer:
        for name in OPTIONS[kind]:
            if name in asked.body:
                return asked.fails(400, f"Unsupported parameter: '{name}'", "invalid_request_error")
        return asked.answer(['{"a": 1}'])

    async def twice(provider: Provider) -> list[ChatReply]:
        asked = call(
            seed=3, stop=["END"], schema={"type": "object", "properties": {"a": {"type": "integer"}}}
        )
        return [await provider.chat(asked, lambda piece: None) for _ in range(2)]

    with served(kind, folder, picky) as server:
        first, second = with_provider(kind, server, twice, top_p=0.9)
    assert first.text == second.text == '{"a": 1}'
    assert len(server.chats) == len(OPTIONS[kind]) + 2
    last = json.dumps(server.chats[-1])
    if kind == "openai":
        assert server.chats[-1]["max_completion_tokens"] == 16
    else:
        assert "integer" in server.chats[-1]["system"], "the schema is then said in words"
    assert "0.9" not in last


SECRETS = {
    "OPENAI_API_KEY": "secret",
    "OPENAI_ORG_ID": "secret",
    "OPENAI_PROJECT_ID": "secret",
    "OPENAI_BASE_URL": "http://192.0.2.1/v1",
    "OLLAMA_API_KEY": "secret",
    "OLLAMA_HOST": "http://192.0.2.1",
    "ANTHROPIC_API_KEY": "secret",
    "ANTHROPIC_AUTH_TOKEN": "secret",
    "ANTHROPIC_BASE_URL": "http://192.0.2.1",
    "ANTHROPIC_CUSTOM_HEADERS": "x-tell: secret\nauthorization: Bearer secret",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_environment_is_used_or_sent(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with served(kind, folder) as server:
        reply, _ = ask(kind, server)
        assert isinstance(reply, ChatReply), reply
        assert "secret" not in str(server.asked)
        assert not [name for _, headers, _ in server.asked for name in headers if name.startswith("x-")]
        assert not [headers for _, headers, _ in server.asked if "authorization" in headers]
        if server.dialect.name != "ollama" and kind != "embedded":
            ask(kind, server, key="mine")
            sent = server.asked[-1][1]
            assert "mine" in (sent.get("authorization") or "") + (sent.get("x-api-key") or "")
            assert "secret" not in str(server.asked)


def test_anthropics_turns_have_their_places(folder: Path) -> None:
    turns = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Sum?"),
        ChatMessage(role="assistant", content="def add(a, b): \n"),
    ]
    with served("anthropic", folder) as server:
        reply, _ = ask("anthropic", server, call(messages=turns, stop=["\n", "END"], temperature=1.7))
    assert isinstance(reply, ChatReply), reply
    asked = server.chats[0]
    assert asked["system"] == "Be brief."
    assert [turn["role"] for turn in asked["messages"]] == ["user", "assistant"]
    assert asked["messages"][1]["content"] == "def add(a, b):"
    assert (asked["stop_sequences"], asked["temperature"]) == (["END"], 1.0)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("refusal", "E-MODEL-REFUSED"),
        ("tool_use", "E-MODEL-REPLY"),
        ("model_context_window_exceeded", "E-MODEL-OVERFLOW"),
    ],
)
def test_anthropics_own_ends_of_a_reply(folder: Path, reason: str, code: str) -> None:
    with served("anthropic", folder, lambda asked: asked.answer(finish=reason)) as server:
        error, _ = ask("anthropic", server)
    assert isinstance(error, ModelError)
    assert error.code == code


def test_anthropic_fills_no_gaps(folder: Path) -> None:
    with served("anthropic", folder) as server:
        error, _ = ask("anthropic", server, call("x", suffix="y"))
    assert isinstance(error, ModelError)
    assert (error.code, server.asked) == ("E-MODEL-FILL", [])
