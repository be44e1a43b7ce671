"""One attached asker of the broker: its questions, checked; its calls, begun, aborted and answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from swarmd.bus.channel import AsyncChannel, ChannelClosedError
from swarmd.errors import ModelError, ModelUnreachableError, SwarmdError
from swarmd.messages import ChatCall
from swarmd.models import wire
from swarmd.models.calls import AbortedError, Calls

__all__ = ["Asker"]

MAX_CALLS = 32
"""Calls of one asker at one time; one that asks for more is refused the rest."""
PROGRESS_S = 0.5


class Asker:
    """One asker: its channel and its calls. It may be hostile, and can only hurt itself."""

    def __init__(self, name: str, channel: AsyncChannel, calls: Calls) -> None:
        self._name = name
        self._channel = channel
        self._calls = calls
        self._running: dict[str, tuple[asyncio.Task[None], str | None]] = {}
        """Task and request id of each open call."""
        self._reader = asyncio.create_task(self._read())

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
        work = self._count(call_id, call) if "count" in frame else self._answer(call_id, call)
        task = asyncio.create_task(work)
        self._running[call_id] = (task, call.request_id)
        task.add_done_callback(lambda ended: self._running.pop(call_id, None))

    def _checked(self, call_id: str, frame: Mapping[str, Any]) -> ChatCall:
        if call_id in self._running or len(self._running) >= MAX_CALLS:
            problem = f"{self._name} has {len(self._running)} calls open, {call_id} may be one of them"
            raise ModelError(problem, code="E-MODEL-CALL")
        try:
            return ChatCall.model_validate(frame.get("count") or frame.get("chat"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"not a call: {where}: {first['msg']}", code="E-MODEL-CALL") from error

    async def _answer(self, call_id: str, call: ChatCall) -> None:
        progress = _Progress(self._channel, call_id)
        try:
            reply = await self._calls.chat(call, self._name, progress.note)
            frame: dict[str, Any] = {"call": call_id, "reply": reply.model_dump(mode="json")}
        except SwarmdError as error:
            frame = {"call": call_id, "error": wire.error_to(error)}
        except asyncio.CancelledError:
            frame = {"call": call_id, "error": wire.error_to(AbortedError("the call was aborted"))}
        except Exception as error:  # one call must not take the broker along
            unexpected = ModelUnreachableError(f"the broker failed: {type(error).__name__}: {error}")
            frame = {"call": call_id, "error": wire.error_to(unexpected)}
        finally:
            await progress.close()
        await self._send(frame)

    async def _count(self, call_id: str, call: ChatCall) -> None:
        """Whatever goes wrong is no answer: the asker can do without."""
        tokens: int | None = None
        try:
            with suppress(Exception):
                tokens = await self._calls.count(call)
        finally:
            await self._send({"call": call_id, "tokens": tokens})

    async def _send(self, frame: dict[str, Any]) -> None:
        with suppress(ChannelClosedError):  # _read sees it too, and ends this client
            await self._channel.send(frame)

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
        """End its calls and let it go."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._end_calls()
        self._channel.close()


class _Progress:
    """Tells an asker how many tokens there are, about twice a second."""

    def __init__(self, channel: AsyncChannel, call_id: str) -> None:
        self._channel = channel
        self._call_id = call_id
        self._last = time.monotonic()
        self._sending: asyncio.Task[None] | None = None

    def note(self, tokens: int) -> None:
        now = time.monotonic()
        if now - self._last < PROGRESS_S or (self._sending and not self._sending.done()):
            return
        self._last = now
        self._sending = asyncio.create_task(self._send(tokens))

    async def _send(self, tokens: int) -> None:
        with suppress(ChannelClosedError):
            await self._channel.send({"call": self._call_id, "progress": tokens})

    async def close(self) -> None:
        """Wait for what is on its way, so that the reply comes after it."""
        if self._sending:
            await asyncio.gather(self._sending, return_exceptions=True)
