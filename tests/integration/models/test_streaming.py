"""A reply's pieces on their way from a server through a real broker to who asked for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import ModelMissingError, ModelUnreachableError
from swarmd.messages import ChatCall
from swarmd.testing import temporary_home
from tests.integration.models.conformance_server import MODEL, OTHER, Answer, Asked
from tests.integration.models.providers import served

MakeCall = Callable[..., ChatCall]


def home_for(folder: Path, server: Any, **model: Any) -> Any:
    one = {"provider": server.dialect.name, "name": MODEL, "context": 4096} | model
    if server.dialect.name != "ollama":
        one["base_url"] = f"{server.url}/v1"
    tiers = dict.fromkeys(("fast", "deep", "reviewer"), "it")
    return temporary_home(folder, models={"it": one}, tiers=tiers, ollama={"host": server.url})


@pytest.mark.parametrize("kind", ["openai", "ollama", "anthropic"])
def test_each_piece_arrives_while_the_reply_is_being_written(
    kind: str, tmp_path: Path, start_broker: Any, call: MakeCall
) -> None:
    seen: list[str | None] = []
    early: list[int] = []

    def one_by_one(asked: Asked) -> Answer:
        """The second piece is written when the first has been seen, and so on."""

        def parts() -> Iterator[Any]:
            begin, *pieces, end = asked.parts(["a", "b", "c"])
            yield begin
            for number, piece in enumerate(pieces):
                until = time.monotonic() + 10
                while len(seen) < number and time.monotonic() < until:
                    time.sleep(0.005)
                early.append(len(seen))
                yield piece
            yield end

        return 200, asked.dialect.stream_headers, parts()

    with served(kind, tmp_path, one_by_one) as server:
        client = start_broker(home_for(tmp_path, server)).client()
        reply = client.chat(call(), on_piece=seen.append)
        assert client.chat(call()).text == "abc"
    assert (reply.text, seen, early[:3]) == ("abc", ["a", "b", "c"], [0, 1, 2])


def test_who_does_not_ask_for_pieces_gets_none(tmp_path: Path, start_broker: Any, call: MakeCall) -> None:
    with served("openai", tmp_path) as server:
        channel = start_broker(home_for(tmp_path, server)).attach("coding.1")
        for number, stream in enumerate((False, True)):
            asked = call(stream=stream).model_dump(mode="json", by_alias=True)
            channel.send({"call": str(number), "chat": asked})
            frames: list[dict[str, Any]] = []
            while not frames or "reply" not in frames[-1]:
                received = channel.receive(20)
                assert received, frames
                frames.append(received[0])
            assert [frame.get("piece") for frame in frames[:-1]] == (["hello", " you"] if stream else [])


def test_a_call_that_breaks_begins_its_pieces_anew(tmp_path: Path, start_broker: Any, call: MakeCall) -> None:
    def breaks_once(asked: Asked) -> Answer:
        return asked.answer(["he"], finish=None) if asked.number == 0 else asked.answer()

    seen: list[str | None] = []
    with served("openai", tmp_path, breaks_once) as server:
        client = start_broker(home_for(tmp_path, server)).client()
        reply = client.chat(call(), on_piece=seen.append)
    assert reply.text == "hello you"
    assert seen[: seen.index(None)] == ["he"]
    assert [piece for piece in seen[seen.index(None) :] if piece] == ["hello", " you"]


def test_an_ignored_schema_is_asked_for_again_and_then_an_error(
    tmp_path: Path, start_broker: Any, call: MakeCall
) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    with served("openai", tmp_path, lambda asked: asked.answer(["no"])) as server:
        server.behaviour = lambda asked: asked.answer(["no" if asked.number == 0 else '{"a": 1}'])
        client = start_broker(home_for(tmp_path, server)).client()
        assert json.loads(client.chat(call(schema=schema)).text) == {"a": 1}
        assert len(server.chats) == 2


@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        (lambda asked: asked.answer(finish=None), ModelUnreachableError, "E-MODEL-TRUNCATED"),
        (lambda asked: asked.answer(model=OTHER), ModelMissingError, "E-MODEL-NAME"),
    ],
)
def test_an_error_reaches_the_asker_as_its_kind(
    tmp_path: Path, start_broker: Any, call: MakeCall, behaviour: Any, kind: type[Exception], code: str
) -> None:
    with served("openai", tmp_path, behaviour) as server:
        client = start_broker(home_for(tmp_path, server)).client()
        with pytest.raises(kind) as caught:
            client.chat(call())
    assert caught.value.code == code  # type: ignore[attr-defined]
