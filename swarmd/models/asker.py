"""One attached asker of the broker: its questions, checked; its calls, begun, aborted and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from swarmd.bus.channel import AsyncChannel, ChannelClosedError
from swarmd.errors import ModelError, ModelReplyError, ModelUnreachableError, SwarmdError
from swarmd.messages import CallContext, ChatCall
from swarmd.models import wire
from swarmd.models.calls import AbortedError, Calls
from swarmd.models.providers.base import OnPiece

__all__ = ["Asker"]

MAX_CALLS = 32
"""Calls of one asker at one time; one that asks for more is refused the rest."""


class Asker:
    """One asker: its channel and its calls. It may be hostile, and can only hurt itself."""

    def __init__(self, name: str, channel: AsyncChannel, calls: Calls, *, is_master: bool = False) -> None:
        """``is_master``: what it says of its calls is believed."""
        self._name = name
        self._is_master = is_master
        self._about: CallContext | None = None
        self._channel = channel
        self._calls = calls
        self._running: dict[str, tuple[asyncio.Task[None], str | None]] = {}
        """Task and request id of each open call."""
        self._reader = asyncio.create_task(self._read())

    def assign(self, about: CallContext) -> None:
        """Its next calls are part of ``about``."""
        self._about = about

    def _part_of(self, call: ChatCall) -> CallContext:
        """What ``call`` is part of. What an agent says of that is not looked at while it has an order, and
        gets it least when it has none."""
        if not self._is_master and self._about is not None:
            return self._about
        if self._is_master and call.about is not None:
            return call.about
        privacy = call.privacy if self._is_master else "strict"
        return CallContext(
            request_id=call.request_id, task_id=call.task_id, attempt=call.attempt, privacy=privacy
        )

    async def _read(self) -> None:
        """Start a task for each question; a client that goes away takes its calls with it."""
        try:
            while True:
                frame, _ = await self._channel.receive()
                await self._accept(frame)
        except ChannelClosedError:
            await self._end_calls()
            self._channel.close()

    async def _accept(self, frame: Mapping[str, Any]) -> None:
        call_id = str(frame.get("call", ""))[:64]
        if "cancel" in frame:
            if call_id in self._running:
                self._running[call_id][0].cancel()
            return
        try:
            call = self._checked(call_id, frame)
        except ModelError as error:
            await self._send({"call": call_id, "error": wire.error_to(error)})
            return
        about = self._part_of(call)
        counts = "count" in frame
        work = self._count(call_id, call, about) if counts else self._answer(call_id, call, about)
        task = asyncio.create_task(work)
        self._running[call_id] = (task, about.request_id)
        task.add_done_callback(lambda ended: self._running.pop(call_id, None))

    def _checked(self, call_id: str, frame: Mapping[str, Any]) -> ChatCall:
        too_many = len(self._running) >= MAX_CALLS and not self._is_master
        if call_id in self._running or too_many:
            problem = f"{self._name} has {len(self._running)} calls open, {call_id} may be one of them"
            raise ModelError(problem, code="E-MODEL-CALL")
        try:
            return ChatCall.model_validate(frame.get("count") or frame.get("chat"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"not a call: {where}: {first['msg']}", code="E-MODEL-CALL") from error

    async def _answer(self, call_id: str, call: ChatCall, about: CallContext) -> None:
        try:
            reply = await self._calls.chat(call, self._name, self._pieces(call_id, call), about)
            frame: dict[str, Any] = {"call": call_id, "reply": reply.model_dump(mode="json")}
        except SwarmdError as error:
            frame = {"call": call_id, "error": wire.error_to(error)}
        except asyncio.CancelledError:
            frame = {"call": call_id, "error": wire.error_to(AbortedError("the call was aborted"))}
        except Exception as error:  # one call must not take the broker along
            unexpected = ModelUnreachableError(f"the broker failed: {type(error).__name__}: {error}")
            frame = {"call": call_id, "error": wire.error_to(unexpected)}
        await self._send(frame)

    def _pieces(self, call_id: str, call: ChatCall) -> OnPiece:
        """Passes each piece on, if the call asks for that. Nobody waits for it to be read: all of them
        together are not longer than a reply may be."""
        return lambda piece: self._channel.post(wire.piece_to(call_id, piece)) if call.stream else None

    async def _count(self, call_id: str, call: ChatCall, about: CallContext) -> None:
        """Whatever goes wrong is no answer: the asker can do without."""
        tokens: int | None = None
        try:
            with suppress(Exception):
                tokens = await self._calls.count(call, about)
        finally:
            await self._send({"call": call_id, "tokens": tokens})

    async def _send(self, frame: dict[str, Any]) -> None:
        with suppress(ChannelClosedError):  # _read sees it too, and ends this client
            try:
                await self._channel.send(frame)
            except ChannelClosedError:
                raise
            except SwarmdError as error:  # it is longer than a frame may be
                too_long = ModelReplyError(f"the answer cannot be sent: {error.message}")
                await self._channel.send({"call": frame["call"], "error": wire.error_to(too_long)})

    def abort(self, request_id: str) -> None:
        """End the calls of one request; their askers get AbortedError."""
        for task, of in self._running.values():
            if of == request_id:
                task.cancel()

    async def _end_calls(self) -> None:
        tasks = [task for task, _ in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """End its calls and let it go. It is told of no end: it may ask the next broker."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._channel.close()
        await self._end_calls()
