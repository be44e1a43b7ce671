from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from swarmd.bus.channel import AsyncChannel, Channel, pair
from swarmd.errors import ModelOverflowError, ModelUnreachableError
from swarmd.messages import ChatCall, ChatMessage, ChatReply, Usage
from swarmd.models import wire
from swarmd.models.client import AsyncBrokerClient, BrokerClient

CALL = ChatCall(tier="fast", max_tokens=5, messages=[ChatMessage(role="user", content="hi")])


def reply_frame(call_id: str, text: str) -> dict[str, Any]:
    reply = ChatReply(
        text=text, model="m", provider="openai", finish="stop", usage=Usage(calls=1), latency_ms=1
    )
    return {"call": call_id, "reply": reply.model_dump(mode="json")}


def channels() -> tuple[Channel, Channel]:
    one, other = pair()
    return Channel(one), Channel(other)


def question(channel: Channel) -> dict[str, Any]:
    received = channel.receive(5)
    assert received
    return received[0]


def test_the_reply_to_another_call_and_progress_are_passed_over() -> None:
    ours, broker = channels()

    def serve() -> None:
        asked = question(broker)
        broker.send(reply_frame("an older call", "wrong"))
        broker.send({"call": asked["call"], "progress": 3})
        broker.send(reply_frame(asked["call"], "right"))

    server = threading.Thread(target=serve)
    server.start()
    assert BrokerClient(ours).chat(CALL).text == "right"
    server.join()
    ours.close()
    broker.close()


def test_an_error_comes_out_as_the_kind_that_happened() -> None:
    ours, broker = channels()
    error = {"code": "E-MODEL-OVERFLOW", "message": "too long", "hint": "shorten it"}

    def serve() -> None:
        broker.send({"call": question(broker)["call"], "error": error})

    server = threading.Thread(target=serve)
    server.start()
    with pytest.raises(ModelOverflowError) as caught:
        BrokerClient(ours).chat(CALL)
    assert (caught.value.message, caught.value.hint) == ("too long", "shorten it")
    server.join()
    ours.close()
    broker.close()


def test_a_call_in_flight_is_asked_again_of_a_new_broker() -> None:
    ours, dying = channels()
    ours_again, fresh = channels()
    client = BrokerClient(ours)
    replaced = threading.Event()

    def bring_a_new_one() -> None:
        if not replaced.is_set():
            replaced.set()
            client.replace(ours_again)

    def serve() -> None:
        question(dying)
        dying.close()
        fresh.send(reply_frame(question(fresh)["call"], "from the new one"))

    server = threading.Thread(target=serve)
    server.start()
    assert client.chat(CALL, on_wait=bring_a_new_one).text == "from the new one"
    server.join()
    ours_again.close()
    fresh.close()


def test_without_a_new_broker_the_call_fails_in_the_end() -> None:
    ours, broker = channels()
    broker.close()
    waits: list[int] = []

    with pytest.raises(ModelUnreachableError, match="broker is gone"):
        BrokerClient(ours, patience_s=0.01).chat(CALL, on_wait=lambda: waits.append(1))
    assert waits
    ours.close()


def test_async_calls_are_told_apart_and_survive_a_new_broker() -> None:
    async def scenario() -> list[str]:
        one, other = pair()
        broker = AsyncChannel(other)
        client = AsyncBrokerClient(AsyncChannel(one))
        calls = [asyncio.create_task(client.chat(CALL)) for _ in range(2)]
        first, second = [(await broker.receive())[0] for _ in range(2)]
        await broker.send(reply_frame(second["call"], "two"))
        assert (await calls[1]).text == "two"
        broker.close()

        one, other = pair()
        fresh = AsyncChannel(other)
        await client.replace(AsyncChannel(one))
        again = (await fresh.receive())[0]
        assert again == first
        await fresh.send(reply_frame(again["call"], "one"))
        texts = [(await task).text for task in calls]
        await client.close()
        fresh.close()
        return texts

    assert asyncio.run(scenario()) == ["one", "two"]


def test_a_cancelled_async_call_is_cancelled_at_the_broker() -> None:
    async def scenario() -> dict[str, Any]:
        one, other = pair()
        broker = AsyncChannel(other)
        client = AsyncBrokerClient(AsyncChannel(one))
        task = asyncio.create_task(client.chat(CALL))
        asked = (await broker.receive())[0]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        frame = (await broker.receive())[0]
        assert frame["call"] == asked["call"]
        await client.close()
        broker.close()
        return frame

    assert asyncio.run(scenario())["cancel"] is True


def test_async_calls_fail_when_no_broker_comes_back() -> None:
    async def scenario() -> None:
        one, other = pair()
        client = AsyncBrokerClient(AsyncChannel(one), patience_s=0.01)
        other.close()
        with pytest.raises(ModelUnreachableError, match="broker is gone"):
            await client.chat(CALL)
        await client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"tokens": 7}, 7),
        ({"tokens": None}, None),
        ({"tokens": "many"}, None),
        ({"error": {"code": "E"}}, None),
    ],
)
def test_a_count_or_nothing(answer: dict[str, Any], expected: int | None) -> None:
    ours, broker = channels()
    frames: list[dict[str, Any]] = []

    def serve() -> None:
        frames.append(question(broker))
        broker.send(reply_frame("an older call", "wrong"))
        broker.send({"call": frames[0]["call"], **answer})

    server = threading.Thread(target=serve)
    server.start()
    assert BrokerClient(ours).count(CALL) == expected
    server.join()
    assert "chat" not in frames[0]
    ours.close()
    broker.close()


def test_without_a_broker_nobody_counts() -> None:
    ours, broker = channels()
    broker.close()
    assert BrokerClient(ours).count(CALL) is None
    ours.close()


def test_several_calls_are_under_way_at_one_time_and_answered_in_their_order() -> None:
    ours, broker = channels()
    error = {"code": "E-MODEL-OVERFLOW", "message": "too long", "hint": ""}

    def serve() -> None:
        first, second, third = (question(broker)["call"] for _ in range(3))
        broker.send(reply_frame(third, "three"))
        broker.send({"call": second, "error": error})
        broker.send(reply_frame(first, "one"))

    server = threading.Thread(target=serve)
    server.start()
    one, two, three = BrokerClient(ours).chat_all([CALL, CALL, CALL])
    assert isinstance(one, ChatReply)
    assert isinstance(two, ModelOverflowError)
    assert isinstance(three, ChatReply)
    assert (one.text, three.text) == ("one", "three")
    server.join()
    ours.close()
    broker.close()


def test_of_several_calls_a_new_broker_is_asked_only_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, dying = channels()
    ours_again, fresh = channels()
    client = BrokerClient(ours)
    taken = threading.Event()
    read = wire.reply_from

    def reply_from(frame: dict[str, Any]) -> ChatReply | None:
        taken.set()
        return read(frame)

    monkeypatch.setattr(wire, "reply_from", reply_from)
    asked_again: list[str] = []

    def bring_a_new_one() -> None:
        if taken.is_set() and not asked_again:
            asked_again.append("")
            client.replace(ours_again)

    def serve() -> None:
        first = question(dying)["call"]
        question(dying)
        dying.send(reply_frame(first, "one"))
        name = question(fresh)["call"]
        asked_again.append(name)
        fresh.send(reply_frame(name, "two"))

    server = threading.Thread(target=serve)
    server.start()
    answers = client.chat_all([CALL, CALL], on_wait=bring_a_new_one)
    assert [answer.text for answer in answers if isinstance(answer, ChatReply)] == ["one", "two"]
    server.join()
    ours_again.close()
    dying.close()
    fresh.close()


def test_without_any_broker_each_call_says_so() -> None:
    ours, dying = channels()
    client = BrokerClient(ours, patience_s=0.2)
    dying.close()
    assert all(isinstance(one, ModelUnreachableError) for one in client.chat_all([CALL, CALL]))
