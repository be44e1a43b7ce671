"""Asking the broker: blocking for agents, asynchronous for the master.

Both outlive a broker: when it ends, open calls wait for ``replace`` and are asked again.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmd.bus.channel import AsyncChannel, Channel, ChannelClosedError
from swarmd.errors import ModelError, ModelUnreachableError
from swarmd.messages import ChatCall, ChatReply
from swarmd.models import wire

__all__ = ["AsyncBrokerClient", "BrokerClient"]

PATIENCE_S = 60.0
"""How long a call waits for a new broker."""
WAIT_S = 1.0
"""Longest time between two calls of ``on_wait``."""
OnPiece = Callable[[str | None], None]
"""Called with each piece of a reply's text as it comes; None: the reply begins anew, and the pieces before
count no more. Put together, the rest is the reply's text, but for a fence around JSON."""
COUNT_S = 60.0
"""Longest time to wait for a count: the engine may have to load its model first."""


def _no_wait() -> None:
    """Nobody wants to know."""


def _no_piece(piece: str | None) -> None:
    """Nobody wants to see it before all of it is there."""


class BrokerClient:
    """The blocking client. One call at a time; ``replace`` may come from ``on_wait`` or another thread."""

    def __init__(self, channel: Channel, *, patience_s: float = PATIENCE_S) -> None:
        self._channel: Channel | None = channel
        self._patience_s = patience_s
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()

    def replace(self, channel: Channel) -> None:
        """Use a new broker's channel. The call in flight is asked again."""
        with self._changed:
            old, self._channel = self._channel, channel
            self._changed.notify_all()
        if old is not None:
            old.close()

    def chat(
        self, call: ChatCall, *, on_wait: Callable[[], None] = _no_wait, on_piece: OnPiece | None = None
    ) -> ChatReply:
        """The model's answer. ``on_wait`` is called at least once a second until it is there, ``on_piece``
        with its text as it comes.

        Raises ModelError, as the kind that happened.
        """
        asked = call if on_piece is None else call.model_copy(update={"stream": True})
        (answer,) = self._chat_all([asked], on_wait, on_piece or _no_piece)
        if isinstance(answer, ModelError):
            raise answer
        return answer

    def chat_all(
        self, calls: Sequence[ChatCall], *, on_wait: Callable[[], None] = _no_wait
    ) -> list[ChatReply | ModelError]:
        """The answers to all ``calls``, which are asked at one time; in their order, an error where there
        is none. ``on_wait`` as for ``chat``."""
        return self._chat_all(calls, on_wait, _no_piece)

    def _chat_all(
        self, calls: Sequence[ChatCall], on_wait: Callable[[], None], on_piece: OnPiece
    ) -> list[ChatReply | ModelError]:
        names = [str(next(self._numbers)) for _ in calls]
        answers: dict[str, ChatReply | ModelError] = {}
        while open_calls := {
            name: call for name, call in zip(names, calls, strict=True) if name not in answers
        }:
            try:
                channel = self._current(on_wait)
            except ModelError as error:
                answers |= dict.fromkeys(open_calls, error)
                break
            try:
                self._ask(channel, open_calls, answers, on_wait, on_piece)
            except ChannelClosedError:
                on_piece(None)
                channel.close()
                with self._changed:
                    if self._channel is channel:
                        self._channel = None
        return [answers[name] for name in names]

    def count(self, call: ChatCall, *, on_wait: Callable[[], None] = _no_wait) -> int | None:
        """The tokens of ``call``'s prompt by its engine's tokenizer; None when nobody can tell, or not
        within COUNT_S."""
        channel, call_id = self._channel, str(next(self._numbers))
        if channel is None:
            return None
        end = time.monotonic() + COUNT_S
        try:
            channel.send(wire.count_question(call_id, call))
            while self._channel is channel and time.monotonic() < end:
                received = channel.receive(WAIT_S)
                if received and received[0].get("call") == call_id:
                    return wire.count_from(received[0])
                on_wait()
        except ChannelClosedError:
            return None  # the next call deals with it
        return None

    def _ask(
        self,
        channel: Channel,
        calls: Mapping[str, ChatCall],
        answers: dict[str, ChatReply | ModelError],
        on_wait: Callable[[], None],
        on_piece: OnPiece,
    ) -> None:
        """Ask ``calls`` and put what is answered into ``answers``, until all of them are."""
        for name, call in calls.items():
            channel.send(wire.question(name, call))
        last_wait = time.monotonic()
        while not answers.keys() >= calls.keys():
            received = channel.receive(WAIT_S)
            if received is not None:
                _note(received[0], calls, answers, on_piece)
            if received is None or time.monotonic() - last_wait >= WAIT_S / 2:
                on_wait()
                last_wait = time.monotonic()
                if self._channel is not channel:
                    raise ChannelClosedError("there is a new broker")

    def _current(self, on_wait: Callable[[], None]) -> Channel:
        end = time.monotonic() + self._patience_s
        while self._channel is None:
            on_wait()
            with self._changed:
                if self._channel is None and time.monotonic() >= end:
                    raise ModelUnreachableError("the broker is gone, and no other has come")
                if self._channel is None:
                    self._changed.wait(min(0.1, self._patience_s))
        return self._channel


def _note(
    frame: Mapping[str, Any],
    calls: Mapping[str, ChatCall],
    answers: dict[str, ChatReply | ModelError],
    on_piece: OnPiece,
) -> None:
    """Put what ``frame`` answers into ``answers``; it may be of an older call, or only bring a piece."""
    name = str(frame.get("call"))
    if name not in calls:
        return
    if brought := wire.piece_from(frame):
        on_piece(*brought)
    try:
        reply = wire.reply_from(frame)
    except ModelError as error:
        answers[name] = error
    else:
        if reply is not None:
            answers[name] = reply


@dataclass(frozen=True)
class _Open:
    """One call that waits for its reply."""

    call: ChatCall
    on_piece: OnPiece
    reply: asyncio.Future[ChatReply]

    def note(self, piece: str | None) -> None:
        """Pass a piece on. What its reader raises is the call's own affair, not the other calls'."""
        if self.reply.done():
            return
        try:
            self.on_piece(piece)
        except Exception as error:
            self.reply.set_exception(error)


class AsyncBrokerClient:
    """The asynchronous client, for any number of calls at one time. Make it inside the loop."""

    def __init__(self, channel: AsyncChannel, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._numbers = itertools.count(1)
        self._open: dict[str, _Open] = {}
        self._channel = channel
        self._reader = asyncio.create_task(self._read(channel))
        self._giving_up: asyncio.TimerHandle | None = None

    async def replace(self, channel: AsyncChannel) -> None:
        """Use a new broker's channel. Calls in flight are asked again."""
        self._reader.cancel()
        self._channel.close()
        if self._giving_up:
            self._giving_up.cancel()
        self._channel = channel
        self._reader = asyncio.create_task(self._read(channel))
        for call_id, opened in list(self._open.items()):
            opened.note(None)
            await self._send(wire.question(call_id, opened.call))

    async def chat(self, call: ChatCall, *, on_piece: OnPiece | None = None) -> ChatReply:
        """The model's answer; ``on_piece`` is called with its text as it comes, and what that raises ends the
        call. Raises ModelError, as the kind that happened."""
        call_id = str(next(self._numbers))
        asked = call if on_piece is None else call.model_copy(update={"stream": True})
        opened = _Open(asked, on_piece or _no_piece, asyncio.get_running_loop().create_future())
        self._open[call_id] = opened
        try:
            await self._send(wire.question(call_id, asked))
            return await opened.reply
        except BaseException as error:
            if not isinstance(error, ModelError):  # the broker does not know that it ended
                await self._send({"call": call_id, "cancel": True})
            raise
        finally:
            del self._open[call_id]

    async def _send(self, frame: dict[str, Any]) -> None:
        try:
            await self._channel.send(frame)
        except ChannelClosedError:
            self._start_giving_up()

    async def _read(self, channel: AsyncChannel) -> None:
        try:
            while True:
                frame, _ = await channel.receive()
                self._take(frame)
        except ChannelClosedError:
            self._start_giving_up()

    def _take(self, frame: dict[str, Any]) -> None:
        opened = self._open.get(str(frame.get("call")))
        if opened is None or opened.reply.done():
            return
        if brought := wire.piece_from(frame):
            opened.note(*brought)
            return
        try:
            reply = wire.reply_from(frame)
        except Exception as error:
            opened.reply.set_exception(error)
            return
        if reply is not None:
            opened.reply.set_result(reply)

    def _start_giving_up(self) -> None:
        loop = asyncio.get_running_loop()
        if self._giving_up is None or self._giving_up.cancelled():
            self._giving_up = loop.call_later(self._patience_s, self._give_up)

    def _give_up(self) -> None:
        for opened in self._open.values():
            if not opened.reply.done():
                opened.reply.set_exception(ModelUnreachableError("the broker is gone, and no other has come"))
        self._giving_up = None

    async def close(self) -> None:
        """Let go of the channel; open calls fail."""
        self._reader.cancel()
        self._channel.close()
        if self._giving_up:
            self._giving_up.cancel()
        self._give_up()
