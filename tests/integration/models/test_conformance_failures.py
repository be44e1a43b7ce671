"""How every provider takes servers that refuse, ask to wait, hang or go away."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.errors import ModelError, ModelRefusedError, ModelTimeoutError
from swarmd.messages import ChatReply
from swarmd.models.providers import Provider, TransientError
from tests.integration.models.conformance_server import MODEL, Answer, Asked, Hang
from tests.integration.models.providers import KINDS, ask, call, served, with_provider

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def folder(runtime: Path) -> Path:
    return runtime


def in_a_minute() -> str:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=50)
    return email.utils.format_datetime(later, usegmt=True)


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (503, "Loading model", "E-MODEL-LOADING"),
        (503, "server busy, please try again.  maximum pending requests exceeded", "E-MODEL-BUSY"),
        (429, "rate limit reached", "E-MODEL-BUSY"),
        (529, "Overloaded", "E-MODEL-BUSY"),
    ],
)
def test_a_server_that_asks_to_wait_is_asked_later(
    kind: str, folder: Path, status: int, said: str, code: str
) -> None:
    waits = []
    for header in ({}, {"retry_after": "7"}, {"retry_after": in_a_minute()}, {"retry_after": "soon"}):
        with served(kind, folder, lambda asked, more=header: asked.fails(status, said, **more)) as server:  # type: ignore[misc]
            error, _ = ask(kind, server)
        assert isinstance(error, TransientError), error
        assert (error.code, error.busy, error.broken) == (code, True, False)
        assert len(server.chats) == 1, "the one retry loop is the broker's"
        waits.append(error.retry_after)
    assert waits[:2] == [None, 7.0]
    assert 1 < (waits[2] or 0) <= 60
    assert waits[3] is None


@pytest.mark.parametrize(
    ("status", "kind_", "code"),
    [
        (400, ModelRefusedError, "E-MODEL-REFUSED"),
        (401, ModelRefusedError, "E-MODEL-REFUSED"),
        (403, ModelRefusedError, "E-MODEL-REFUSED"),
        (418, ModelRefusedError, "E-MODEL-REFUSED"),
        (307, ModelRefusedError, "E-MODEL-REDIRECT"),
        (500, TransientError, "E-MODEL-DOWN"),
        (502, TransientError, "E-MODEL-DOWN"),
    ],
)
@pytest.mark.parametrize("envelope", ["own", '{"object":"error","message":"because"}', "because\n"])
def test_a_status_is_an_error_of_its_kind(
    kind: str, folder: Path, status: int, kind_: type[ModelError], code: str, envelope: str
) -> None:
    def fails(asked: Asked) -> Answer:
        answer = asked.fails(status, "because", "x", location="/elsewhere")
        return answer if envelope == "own" else (*answer[:2], [envelope.encode()])

    with served(kind, folder, fails) as server:
        error, _ = ask(kind, server)
    assert (type(error), error.code) == (kind_, code), error  # type: ignore[union-attr]
    assert status == 307 or error.message.endswith("because")  # type: ignore[union-attr]
    assert len(server.chats) == 1
    assert not [route for route, _, _ in server.asked if "elsewhere" in route]


def test_a_connection_that_is_closed_without_a_word_may_be_made_again(kind: str, folder: Path) -> None:
    with served(kind, folder, lambda asked: (0, {}, [])) as server:
        error, _ = ask(kind, server)
    assert isinstance(error, TransientError), error
    assert (error.code, error.busy, error.broken) == ("E-MODEL-DOWN", False, False)


def test_nobody_there_may_come_back(kind: str, folder: Path) -> None:
    with served(kind, folder) as server:
        pass
    error, _ = ask(kind, server)
    assert isinstance(error, TransientError), error
    assert (error.code, error.busy, error.broken) == ("E-MODEL-DOWN", False, False)


# Servers that hang


def hangs_before(asked: Asked) -> Answer:
    return 200, asked.dialect.stream_headers, [Hang]


def hangs_between(asked: Asked) -> Answer:
    return asked.answer(["he", Hang])


def drips(asked: Asked) -> Answer:
    def parts() -> Iterator[Any]:
        while True:
            time.sleep(0.02)
            yield asked.dialect.piece("a", MODEL)

    return 200, asked.dialect.stream_headers, parts()


@pytest.mark.parametrize(
    ("behaviour", "deadline"),
    [
        (hangs_before, {"first_token_s": 0.2}),
        (hangs_between, {"between_tokens_s": 0.2}),
        (drips, {"call_s": 0.4}),
    ],
)
def test_a_server_that_hangs_is_left(kind: str, folder: Path, behaviour: Any, deadline: Any) -> None:
    with served(kind, folder, behaviour) as server:
        error, _ = ask(kind, server, **deadline)
        assert server.lost.wait(5), "the connection is closed, which frees the place"
    assert isinstance(error, ModelTimeoutError), error
    assert error.code == "E-MODEL-TIMEOUT"


def test_a_model_that_thinks_does_not_hang(kind: str, folder: Path) -> None:
    def thinks(asked: Asked) -> Answer:
        def parts() -> Iterator[Any]:
            begin, *_ = asked.parts([], finish=None)
            yield begin
            for _ in range(8):
                time.sleep(0.05)
                yield asked.dialect.thought("hm", MODEL)
            yield from list(asked.parts(["done"]))[1:]

        return 200, asked.dialect.stream_headers, parts()

    with served(kind, folder, thinks) as server:
        reply, pieces = ask(kind, server, first_token_s=0.3, between_tokens_s=0.3)
    assert isinstance(reply, ChatReply), reply
    assert pieces == ["done"]


def test_a_cancelled_call_frees_its_place(kind: str, folder: Path) -> None:
    async def cancelled(provider: Provider) -> None:
        first = asyncio.Event()
        task = asyncio.create_task(provider.chat(call(), lambda piece: first.set()))
        async with asyncio.timeout(20):
            await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.lost.wait, 5)

    with served(kind, folder, hangs_between) as server:
        with_provider(kind, server, cancelled)
