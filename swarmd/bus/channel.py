"""Messages with open files between two processes, over a connected unix stream socket."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from swarmd.bus.framing import (
    MAX_FDS,
    MAX_FRAME,
    ChannelClosedError,
    Decoder,
    Frame,
    encode,
    send_some,
)

__all__ = ["MAX_FDS", "MAX_FRAME", "AsyncChannel", "Channel", "ChannelClosedError", "pair"]

_BACKLOG = 64
"""Frames that wait in memory before an AsyncChannel stops reading."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; neither survives an exec unless it is passed on purpose."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Channel:
    """The blocking end: for agents, verifiers and the zygote.

    ``send`` may be called by several threads, ``receive`` by one. ``max_fds`` is the most descriptors
    that a frame may bring (0: none are welcome); who receives descriptors must close them.
    """

    def __init__(self, sock: socket.socket, *, max_fds: int = MAX_FDS) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = Decoder(max_fds)
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """The socket's descriptor, for poll; -1 when closed."""
        return self._sock.fileno()

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one frame whole, waiting as long as the other end does not read.

        ``fds`` stay open here. Raises ChannelClosedError when the other end is gone, and AgentError
        (nothing is sent) for a message that is too long.
        """
        data = memoryview(encode(message, fds))
        with self._sending:
            while data:
                try:
                    data, fds = data[send_some(self._sock, data, fds) :], ()
                except BlockingIOError:
                    self._wait(select.POLLOUT, None)

    def receive(self, timeout: float | None = None) -> Frame | None:
        """The next message and its descriptors; None when ``timeout`` seconds brought none.

        Raises ChannelClosedError at the end, after everything that was sent before it.
        """
        if self._decoder.frames:
            return self._decoder.frames.popleft()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._decoder.frames:
            if self._decoder.ended:
                raise self._decoder.ended
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._wait(select.POLLIN, left):
                return None
            with contextlib.suppress(BlockingIOError):
                self._decoder.read(self._sock)
        return self._decoder.frames.popleft()

    def _wait(self, event: int, timeout: float | None) -> bool:
        """Whether ``event`` came before ``timeout`` seconds were over."""
        fd = self._sock.fileno()
        if fd < 0:
            raise ChannelClosedError("the channel is closed")
        poller = select.poll()
        poller.register(fd, event)
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def close(self) -> None:
        """Close the socket and every descriptor that was received but not taken. May be repeated."""
        self._decoder.close()
        self._sock.close()


class _Outgoing:
    """A frame on its way out."""

    __slots__ = ("begun", "data", "fds", "sent")

    def __init__(self, data: bytes, fds: Sequence[int]) -> None:
        self.data = memoryview(data)
        self.fds = fds
        self.begun = False
        self.sent: asyncio.Future[None] | None = None
        """Somebody waits for it."""

    def end(self, error: ChannelClosedError | None) -> None:
        """It is out, or will never be."""
        if self.sent is None or self.sent.done():
            return
        if error is None:
            self.sent.set_result(None)
        else:
            self.sent.set_exception(error)


class AsyncChannel:
    """The asyncio end: for the master and the broker. Make it inside the loop that uses it.

    A peer that does not read delays only who sends to it; a peer that floods is read no further than
    a few dozen frames ahead. ``max_fds`` as for ``Channel``.
    """

    def __init__(self, sock: socket.socket, *, max_fds: int = MAX_FDS) -> None:
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._decoder = Decoder(max_fds)
        self._receivers: list[asyncio.Future[None]] = []
        self._reading = False
        self._writing = False
        self._outgoing: deque[_Outgoing] = deque()
        self._write_error: ChannelClosedError | None = None
        self._resume()

    async def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one frame whole, in the order of the calls, waiting while the other end does not read.

        ``fds`` stay open here and must be kept until this returns. A cancelled send is either not
        sent at all or still completed behind the caller's back, never cut. Raises as
        ``Channel.send`` does.
        """
        frame = self._enqueue(encode(message, fds), tuple(fds))
        if frame is None:
            if self._write_error:
                raise self._write_error
            return
        frame.sent = self._loop.create_future()
        try:
            await frame.sent
        except asyncio.CancelledError:
            # Once the first byte is out, the descriptors are too, and the rest must follow.
            if not frame.begun and frame in self._outgoing:
                self._outgoing.remove(frame)
            raise

    def post(self, message: dict[str, Any]) -> None:
        """As ``send`` without descriptors, but nobody waits: what a dead peer does not get is dropped.

        Raises AgentError for a message that is too long. For short messages only: what the other end
        does not read stays in memory.
        """
        self._enqueue(encode(message, ()), ())

    def _enqueue(self, data: bytes, fds: Sequence[int]) -> _Outgoing | None:
        """Write a frame; what cannot be written yet comes back and waits its turn."""
        if self._write_error:
            return None
        frame = _Outgoing(data, fds)
        self._outgoing.append(frame)
        if len(self._outgoing) == 1:
            self._flush()
        return frame if self._outgoing else None

    def _flush(self) -> None:
        """Write what fits. Errors go to the frames' senders."""
        try:
            while self._outgoing:
                frame = self._outgoing[0]
                count = send_some(self._sock, frame.data, () if frame.begun else frame.fds)
                frame.begun, frame.data = True, frame.data[count:]
                if not frame.data:
                    self._outgoing.popleft()
                    frame.end(None)
        except BlockingIOError:
            if not self._writing:
                self._loop.add_writer(self._sock, self._flush)
                self._writing = True
        except ChannelClosedError as error:
            self._stop_writing(error)
        else:
            self._rest()

    def _rest(self) -> None:
        """Nothing is left to be written."""
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _stop_writing(self, error: ChannelClosedError) -> None:
        # Reading goes on: what the other end sent before it died still counts.
        self._write_error = self._write_error or error
        self._rest()
        while self._outgoing:
            self._outgoing.popleft().end(error)

    async def receive(self) -> Frame:
        """The next message and its descriptors; a cancelled call loses none.

        Raises ChannelClosedError at the end, after everything that was sent before it.
        """
        while not self._decoder.frames:
            if self._decoder.ended:
                raise self._decoder.ended
            waiter = self._loop.create_future()
            self._receivers.append(waiter)
            await waiter
        frame = self._decoder.frames.popleft()
        if not self._reading and not self._decoder.ended and len(self._decoder.frames) < _BACKLOG:
            self._resume()
        return frame

    def _resume(self) -> None:
        if not self._reading:
            self._loop.add_reader(self._sock, self._on_readable)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._sock)
            self._reading = False

    def _on_readable(self) -> None:
        try:
            self._decoder.read(self._sock)
        except BlockingIOError:
            return
        if self._decoder.ended or len(self._decoder.frames) >= _BACKLOG:
            self._pause()
        if self._decoder.ended or self._decoder.frames:
            self._wake()

    def _wake(self) -> None:
        receivers, self._receivers = self._receivers, []
        for waiter in receivers:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Close the socket and every descriptor that was received but not taken. May be repeated.

        Waiting senders and receivers get ChannelClosedError.
        """
        error = ChannelClosedError("the channel was closed here")
        self._pause()
        self._stop_writing(error)
        self._decoder.close()
        self._decoder.ended = self._decoder.ended or error
        self._wake()
        self._sock.close()
