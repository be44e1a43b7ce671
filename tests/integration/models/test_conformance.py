"""How every provider takes every way in which servers have been seen to answer, and not to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import (
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelReplyError,
)
from swarmd.messages import ChatReply
from swarmd.models.providers import Provider, TransientError
from swarmd.models.schema import fault_in_reply
from tests.integration.models.conformance_server import (
    MODEL,
    OTHER,
    Answer,
    Asked,
    Break,
    tokens_in,
)
from tests.integration.models.dialects import JSON
from tests.integration.models.providers import CONTEXT, KINDS, ask, call, served, with_provider

CODE = "def function_name(argument):\n    return argument + 1\n"
LONG = CODE * 180  # 9,540 bytes: 2,385 of this server's tokens, over its context

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def folder(runtime: Path) -> Path:
    return runtime


def test_a_good_reply_comes_in_pieces_and_with_its_counts(kind: str, folder: Path) -> None:
    def good(asked: Asked) -> Answer:
        return asked.answer(["hel", "lo", " you"], prompt=12, completion=3, cached=5)

    with served(kind, folder, good) as server:
        reply, pieces = ask(kind, server)

    assert isinstance(reply, ChatReply)
    assert (reply.text, reply.finish, reply.provider) == ("hello you", "stop", kind.partition("-")[0])
    assert pieces == ["hel", "lo", " you"]
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (12, 3, 5)
    assert len(server.chats) == 1


def test_a_reply_at_its_cap_says_so(kind: str, folder: Path) -> None:
    with served(kind, folder, lambda asked: asked.answer(finish="length")) as server:
        reply, _ = ask(kind, server)
    assert isinstance(reply, ChatReply)
    assert reply.finish == "length"


# Two layers of silent truncation: the oldest messages are dropped; what is left is cut to half the context.


def drop_oldest(asked: Asked) -> Answer:
    turns = asked.turns
    while len(turns) > 1 and tokens_in(turns) > CONTEXT:
        turns = turns[1:]
    return asked.answer(prompt=tokens_in(turns))


def cut_to_half(asked: Asked) -> Answer:
    return asked.answer(prompt=min(tokens_in(asked.turns), CONTEXT // 2))


def honest_where_it_is_told_to(asked: Asked) -> Answer:
    """As newer versions of Ollama: an error, if the call says that the prompt may not be cut."""
    if asked.dialect.name == "ollama" and (asked.body["truncate"], asked.body["shift"]) != (False, False):
        return cut_to_half(asked)
    return asked.fails(400, "the input length exceeds the context length", "invalid_request_error")


@pytest.mark.parametrize("behaviour", [drop_oldest, cut_to_half, honest_where_it_is_told_to])
def test_a_prompt_that_was_cut_is_an_error(kind: str, folder: Path, behaviour: Any) -> None:
    if kind == "embedded":
        pytest.skip("it counts the prompt first, and does not ask")
    turns = [call(LONG).messages[0], call("And now?" * 8).messages[0]]
    with served(kind, folder, behaviour) as server:
        error, _ = ask(kind, server, call(messages=turns if behaviour is drop_oldest else turns[:1]))
    assert isinstance(error, ModelOverflowError), error


def test_what_the_embedded_engine_cannot_hold_is_not_asked(kind: str, folder: Path) -> None:
    if kind != "embedded":
        pytest.skip("only its engine counts before")
    with served(kind, folder, drop_oldest) as server:
        error, _ = ask(kind, server, call(LONG))
    assert isinstance(error, ModelOverflowError)
    assert server.chats == []


def test_a_cut_that_only_the_models_own_tokens_show_is_an_error(kind: str, folder: Path) -> None:
    """Text with three bytes to a token, of which a half seems to be a whole one of ordinary code."""
    dense = "äöü" * 1040  # 6,240 bytes

    def three_bytes(asked: Asked) -> Answer:
        whole = len("".join(asked.turns).encode()) // 3
        return asked.answer(prompt=whole if whole < CONTEXT else CONTEXT // 2)

    async def both(provider: Provider) -> ModelError | None:
        await provider.chat(call("äöü" * 200), lambda piece: None)
        with pytest.raises(ModelOverflowError):
            await provider.chat(call(dense), lambda piece: None)
        return None

    if kind == "embedded":
        pytest.skip("it counts the prompt first, and does not ask")
    with served(kind, folder, three_bytes) as server:
        with_provider(kind, server, both)


@pytest.mark.parametrize(
    "said",
    [
        '{"error":{"code":400,"type":"exceed_context_size_error","message":"request (5030 tokens) exceeds"}}',
        '{"object":"error","message":"This model\'s maximum context length is 10 tokens","code":400}',
        '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}',
        '{"error":"the input length exceeds the context length"}',
        "litellm.ContextWindowExceededError: it is too long",
    ],
)
def test_an_overflow_is_known_in_every_envelope(kind: str, folder: Path, said: str) -> None:
    with served(kind, folder, lambda asked: (400, JSON, [said.encode()])) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, ModelOverflowError), error
    assert len(server.chats) == 1


# Replies without an end, and errors under status 200


def thirty_one_times(asked: Asked) -> Answer:
    """Ollama ends a reply that repeats one token, and does not say done."""
    return asked.answer([" the"] * 31, finish=None)


def breaks(asked: Asked) -> Answer:
    length = {"content-length": "100000"}
    return 200, asked.dialect.stream_headers | length, asked.parts(["he", Break])


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (lambda asked: asked.answer(finish=None), "E-MODEL-TRUNCATED"),
        (thirty_one_times, "E-MODEL-TRUNCATED"),
        (lambda asked: (200, asked.dialect.stream_headers, []), "E-MODEL-TRUNCATED"),
        (breaks, "E-MODEL-DOWN"),
    ],
)
def test_a_reply_without_its_end_is_none(kind: str, folder: Path, behaviour: Any, code: str) -> None:
    with served(kind, folder, behaviour) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, TransientError), error
    assert (error.code, error.broken) == (code, True)


@pytest.mark.parametrize(
    ("said", "type_", "kind_", "code"),
    [
        ("llama runner process has terminated", "api_error", TransientError, "E-MODEL-DOWN"),
        ("CUDA error: out of memory", "api_error", ModelError, "E-MODEL-MEMORY"),
        (
            "the maximum context length is 10 tokens",
            "x",
            ModelOverflowError,
            "E-MODEL-OVERFLOW",
        ),
    ],
)
def test_an_error_in_the_middle_of_a_good_answer_is_one(
    kind: str, folder: Path, said: str, type_: str, kind_: type[ModelError], code: str
) -> None:
    def broken(asked: Asked) -> Answer:
        parts = [*asked.parts(["he"], finish=None), asked.dialect.error_line(said, type_)]
        return 200, asked.dialect.stream_headers, parts

    with served(kind, folder, broken) as server:
        error, pieces = ask(kind, server)
    assert (type(error), error.code) == (kind_, code)  # type: ignore[union-attr]
    assert pieces == ["he"]


def endless(asked: Asked) -> Answer:
    def parts() -> Iterator[Any]:
        while True:
            yield asked.dialect.piece("on and " * 200, MODEL)

    return 200, asked.dialect.stream_headers, parts()


PAGE = b"<html><body>Sign in to the proxy</body></html>\n"
DEEP = b"data: " + b"[" * 5000 + b"\n\n"


@pytest.mark.parametrize(
    "behaviour",
    [
        lambda asked: asked.answer([]),
        lambda asked: asked.answer(["  \n"]),
        lambda asked: asked.answer(finish="load"),
        endless,
        lambda asked: asked.answer([{"not": "text"}]),
        lambda asked: (200, {"content-type": "text/html"}, [PAGE]),
        lambda asked: (200, JSON, [b"[1, 2]\n"]),
        lambda asked: (200, asked.dialect.stream_headers, [b"data: [1]\nevent: x\n\n", b"[1]\n"]),
        lambda asked: (200, asked.dialect.stream_headers, [b"event: message_start\ndata: {oh\n\n", b"{oh\n"]),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_bad_output(kind: str, folder: Path, behaviour: Any) -> None:
    with served(kind, folder, behaviour) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, ModelReplyError), error


@pytest.mark.parametrize(
    "rubbish", [b"\xff\xfe\x00\x80" * 50, DEEP, b"data: null\n\nnull\n", b"data: 5\n\n5\n"]
)
def test_rubbish_is_an_error_of_ours(kind: str, folder: Path, rubbish: bytes) -> None:
    with served(kind, folder, lambda asked: (200, asked.dialect.stream_headers, [rubbish])) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, (ModelReplyError, TransientError)), error


def test_a_schema_that_was_ignored_shows_in_the_reply(kind: str, folder: Path) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    with served(kind, folder, lambda asked: asked.answer(["Sure! ", '{"b": 1}'])) as server:
        reply, _ = ask(kind, server, call(schema=schema))
    assert isinstance(reply, ChatReply)
    assert fault_in_reply(reply.text, schema)
    assert '"required": ["a"]' in str(server.chats[0]).replace("'", '"')


def test_counts_that_cannot_be_are_none(kind: str, folder: Path) -> None:
    def lies(asked: Asked) -> Answer:
        return asked.answer(prompt=-7, completion=2**70, cached="many")

    with served(kind, folder, lies) as server:
        reply, _ = ask(kind, server)
    assert isinstance(reply, ChatReply), reply
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (0, 2, 0)


def test_half_a_character_does_not_get_into_the_broker(kind: str, folder: Path) -> None:
    with served(kind, folder, lambda asked: asked.answer(["a\ud83d", "\ude00b", "\udc00"])) as server:
        reply, pieces = ask(kind, server)
    assert isinstance(reply, ChatReply), reply
    assert reply.text == "a\N{GRINNING FACE}b?"
    assert all(piece is not None and piece.encode() for piece in pieces)


# Models that are not there


@pytest.mark.parametrize("names", [[OTHER], [MODEL.upper(), OTHER]])
def test_a_model_that_is_not_listed_is_not_asked(kind: str, folder: Path, names: list[str]) -> None:
    if kind == "embedded":
        pytest.skip("its engine has one model")

    def refuses(body: dict[str, Any]) -> Answer:
        message = f'{{"type":"error","error":{{"type":"not_found_error","message":"model: {MODEL}"}}}}'
        return 404, JSON, [message.encode()]

    with served(kind, folder, names=names) as server:
        server.routes[f"GET /v1/models/{MODEL}"] = refuses
        error, _ = ask(kind, server)
    assert isinstance(error, ModelMissingError), error
    assert server.chats == []


def test_another_model_that_answers_with_success_is_noticed(kind: str, folder: Path) -> None:
    with served(kind, folder, lambda asked: asked.answer(model=OTHER)) as server:
        error, pieces = ask(kind, server)
    assert isinstance(error, ModelMissingError), error
    assert pieces == []


def test_a_longer_name_of_the_same_model_is_no_other(kind: str, folder: Path) -> None:
    with served(kind, folder, lambda asked: asked.answer(model=f"{MODEL}-20260101")) as server:
        reply, _ = ask(kind, server)
    assert isinstance(reply, ChatReply), reply


@pytest.mark.parametrize("status", [400, 404])
def test_a_model_that_went_away_is_missing(kind: str, folder: Path, status: int) -> None:
    said = f"model '{MODEL}' not found"
    with served(kind, folder, lambda asked: asked.fails(status, said, "not_found_error")) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, ModelMissingError), error
