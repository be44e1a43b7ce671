"""A reply that is shown while it is written: through the frames of the broker, and into a whole one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from swarmd.bus.channel import AsyncChannel, Channel, pair
from swarmd.config import ModelSettings
from swarmd.errors import (
    ModelMissingError,
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    ModelUnreachableError,
)
from swarmd.messages import ChatCall, ChatMessage, ChatReply, Usage
from swarmd.models import tokens, wire
from swarmd.models.client import AsyncBrokerClient, BrokerClient
from swarmd.models.providers import Pace
from swarmd.models.providers.base import checked_vectors
from swarmd.models.providers.options import RefusableOptions
from swarmd.models.providers.reply import ReplyParts

CALL = ChatCall(tier="fast", max_tokens=5, messages=[ChatMessage(role="user", content="hi")])


def reply_frame(call_id: str, text: str) -> dict[str, Any]:
    reply = ChatReply(
        text=text, model="m", provider="openai", finish="stop", usage=Usage(calls=1), latency_ms=1
    )
    return {"call": call_id, "reply": reply.model_dump(mode="json")}


def question(channel: Channel) -> dict[str, Any]:
    received = channel.receive(5)
    assert received
    return received[0]


def test_pieces_come_only_to_who_asked_for_them_and_before_the_reply() -> None:
    ours, theirs = (Channel(one) for one in pair())
    asked: list[dict[str, Any]] = []
    pieces: list[str | None] = []

    def serve() -> None:
        asked.append(question(theirs))
        name = asked[0]["call"]
        theirs.send(wire.piece_to("an older call", "wrong"))
        for piece in ("he", None, "hel", "lo"):
            theirs.send(wire.piece_to(name, piece))
        theirs.send({"call": name, "piece": 7})
        theirs.send(reply_frame(name, "hello"))
        asked.append(question(theirs))
        theirs.send(wire.piece_to(asked[1]["call"], "unwanted"))
        theirs.send(reply_frame(asked[1]["call"], "again"))

    server = threading.Thread(target=serve)
    server.start()
    client = BrokerClient(ours)
    assert client.chat(CALL, on_piece=pieces.append).text == "hello"
    assert client.chat(CALL).text == "again"
    server.join()
    assert pieces == ["he", None, "hel", "lo"]
    assert [frame["chat"]["stream"] for frame in asked] == [True, False]
    ours.close()
    theirs.close()


def test_with_a_new_broker_the_pieces_begin_anew() -> None:
    ours, dying = (Channel(one) for one in pair())
    ours_again, fresh = (Channel(one) for one in pair())
    client = BrokerClient(ours)
    replaced = threading.Event()
    pieces: list[str | None] = []

    def bring_a_new_one() -> None:
        if not replaced.is_set():
            replaced.set()
            client.replace(ours_again)

    def serve() -> None:
        dying.send(wire.piece_to(question(dying)["call"], "lost"))
        dying.close()
        name = question(fresh)["call"]
        fresh.send(wire.piece_to(name, "found"))
        fresh.send(reply_frame(name, "found"))

    server = threading.Thread(target=serve)
    server.start()
    assert client.chat(CALL, on_wait=bring_a_new_one, on_piece=pieces.append).text == "found"
    server.join()
    assert pieces == ["lost", None, "found"]
    ours_again.close()
    fresh.close()


def test_async_pieces_are_told_apart_and_their_reader_can_only_hurt_its_own_call() -> None:
    async def scenario() -> list[Any]:
        one, other = pair()
        broker, client = AsyncChannel(other), AsyncBrokerClient(AsyncChannel(one))
        pieces: list[str | None] = []

        def fails(piece: str | None) -> None:
            raise RuntimeError("the screen is gone")

        good = asyncio.create_task(client.chat(CALL, on_piece=pieces.append))
        bad = asyncio.create_task(client.chat(CALL, on_piece=fails))
        first, second = [(await broker.receive())[0] for _ in range(2)]
        await broker.send(wire.piece_to(second["call"], "x"))
        await broker.send(wire.piece_to(first["call"], "hello"))
        await broker.send(reply_frame(first["call"], "hello"))
        text = (await good).text
        with pytest.raises(RuntimeError, match="screen"):
            await bad
        cancelled = (await broker.receive())[0]
        assert (cancelled["call"], cancelled["cancel"]) == (second["call"], True)
        await client.close()
        broker.close()
        return [text, pieces]

    assert asyncio.run(scenario()) == ["hello", ["hello"]]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("E-MODEL-DOWN", ModelUnreachableError),
        ("E-MODEL-LOADING", ModelUnreachableError),
        ("E-MODEL-BUSY", ModelUnreachableError),
        ("E-MODEL-TRUNCATED", ModelUnreachableError),
        ("E-MODEL-TIMEOUT", ModelTimeoutError),
        ("E-MODEL-REFUSED", ModelRefusedError),
        ("E-MODEL-REDIRECT", ModelRefusedError),
        ("E-MODEL-NAME", ModelMissingError),
        ("E-MODEL-REPLY", ModelReplyError),
    ],
)
def test_an_error_keeps_its_kind_over_the_wire(code: str, kind: type[Exception]) -> None:
    assert type(wire.error_from({"code": code, "message": "m"})) is kind


def parts_of(call: ChatCall = CALL) -> ReplyParts:
    async def make() -> ReplyParts:
        return ReplyParts(call, "m", Pace(ModelSettings()), lambda piece: None)

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("said", "listed", "another"),
    [
        ("m", {"m"}, False),
        ("m:latest", {"m:latest", "n"}, False),
        (None, {"m"}, False),
        ("n", {"m", "n"}, True),
        ("the-name-behind-the-alias", {"m", "n"}, False),
        ("m-2026-01-01", None, False),
        ("openai/m", None, False),
        ("n", None, True),
    ],
)
def test_another_model_is_told_from_another_name(
    said: str | None, listed: set[str] | None, another: bool
) -> None:
    parts = parts_of()
    parts.answered_by = said
    if not another:
        parts.refuse_another("m", frozenset(listed) if listed else None)
        return
    with pytest.raises(ModelMissingError, match="answered with n"):
        parts.refuse_another("m", frozenset(listed) if listed else None)


def test_options_are_dropped_one_by_one_and_only_when_named() -> None:
    options = RefusableOptions("seed", "top_p", renamed={"max_tokens": "max_completion_tokens"})
    request = {"seed": 1, "top_p": 0.9, "max_tokens": 5, "model": "m"}
    assert not options.learn(ModelRefusedError("your key is wrong; ask for seedlings"))
    assert options.learn(ModelRefusedError("'max_tokens' is not supported, use 'max_completion_tokens'"))
    assert options.learn(ModelRefusedError("unknown field: seed"))
    assert not options.learn(ModelRefusedError("unknown field: seed")), "it was left out, and cannot be it"
    assert options.fitted(request) == {"top_p": 0.9, "max_completion_tokens": 5, "model": "m"}


def prompt(text: str) -> ChatCall:
    return CALL.model_copy(update={"messages": [ChatMessage(role="user", content=text)]})


def test_a_models_own_bytes_per_token_are_learnt_and_not_from_short_or_impossible_counts() -> None:
    known = tokens.Calibration()
    for text, count in (("x" * 40, 40), ("x" * 4000, 10), ("x" * 400, 5000)):
        known.learn(prompt(text), count)
    assert known.estimate(prompt("x" * 300)) is None
    known.learn(prompt("x" * 1200), 400)
    assert known.expected(prompt("x" * 300)) == 100
    assert known.estimate(prompt("x" * 300)) == 115
    assert known.was_cut(prompt("x" * 6000), 1024, 2048)
    assert not known.was_cut(prompt("x" * 6000), 1900, 2048)
    assert not known.was_cut(prompt("x" * 300), 1, 2048), "it fits: nothing can have been cut"


@pytest.mark.parametrize("vectors", [None, [], [[1.0], [2.0, 3.0]], [[1.0], ["2"]], [[1.0], [True]], {}])
def test_what_is_not_as_many_vectors_of_one_length_is_refused(vectors: Any) -> None:
    with pytest.raises(ModelReplyError):
        checked_vectors("m", vectors, 2)


def test_vectors_are_numbers() -> None:
    assert checked_vectors("m", [[1, 2], [3.5, 4]], 2) == [[1.0, 2.0], [3.5, 4.0]]
