"""How messages and their open files become bytes on a unix stream socket, and messages again.

A frame is a 4-byte length, one byte that counts its file descriptors, and that many bytes of JSON.
The descriptors travel with the frame's first byte and the kernel keeps them in order, so the next
``n`` that arrived belong to the next frame that claims ``n``, however the bytes were cut on the way.

The other end may be hostile: a frame that is too long, is not a JSON object, or brings other
descriptors than it says ends the channel, and whatever was received is closed.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

from swarmd.errors import AgentError

__all__ = ["MAX_FDS", "MAX_FRAME", "ChannelClosedError", "Decoder", "Frame", "encode", "send_some"]

MAX_FRAME = 4 * 1024 * 1024
"""Longest JSON text of one frame, in bytes."""
MAX_FDS = 16
"""Most file descriptors in one frame."""

Frame = tuple[dict[str, Any], list[int]]

_HEADER = struct.Struct("!IB")
_CHUNK = 64 * 1024
_FD = array.array("i").itemsize
_ANCILLARY = socket.CMSG_SPACE((MAX_FDS + 1) * _FD)
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)


class ChannelClosedError(AgentError):
    """The process at the other end has ended or broke the protocol; start it again."""

    code = "E-CHANNEL"


def encode(message: dict[str, Any], fds: Sequence[int]) -> bytes:
    """``message`` as one frame. Raises AgentError when it is too long."""
    body = orjson.dumps(message)
    if len(body) > MAX_FRAME:
        raise AgentError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME}", code="E-CHANNEL")
    if len(fds) > MAX_FDS:
        raise AgentError(f"{len(fds)} files are more than one message may carry", code="E-CHANNEL")
    return _HEADER.pack(len(body), len(fds)) + body


def send_some(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    """Send what fits without waiting; the first byte takes ``fds`` along. Raises BlockingIOError."""
    try:
        if not fds:
            return sock.send(data, _SEND_FLAGS)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        return sock.sendmsg([data], rights, _SEND_FLAGS)
    except BlockingIOError:
        raise
    except OSError as error:
        raise ChannelClosedError(f"the channel cannot be written: {error.strerror or error}") from error


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


class Decoder:
    """Bytes and descriptors in, whole frames out."""

    def __init__(self, max_fds: int) -> None:
        self.frames: deque[Frame] = deque()
        self.ended: ChannelClosedError | None = None
        self._max_fds = max_fds
        self._buffer = bytearray()
        self._fds: deque[int] = deque()

    def read(self, sock: socket.socket) -> None:
        """Take in what ``sock`` has; set ``ended`` when nothing will follow. Raises BlockingIOError."""
        try:
            self._read(sock)
        except ChannelClosedError as error:
            self.ended = error

    def _read(self, sock: socket.socket) -> None:
        try:
            data, ancillary, flags, _ = sock.recvmsg(_CHUNK, _ANCILLARY, _RECEIVE_FLAGS)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelClosedError(f"the channel cannot be read: {error.strerror or error}") from error
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._keep(payload)
        if not data:
            where = " in the middle of a message" if self._buffer else ""
            raise ChannelClosedError(f"the other end closed the channel{where}")
        self._buffer += data
        self._cut()
        # Only now: one read may bring the end of one frame together with the files of the next.
        if flags & socket.MSG_CTRUNC or len(self._fds) > self._max_fds:
            raise ChannelClosedError("the other end sent more files than a message may carry")

    def _keep(self, payload: bytes) -> None:
        fds = array.array("i")
        fds.frombytes(payload[: len(payload) - len(payload) % _FD])
        self._fds.extend(fds)
        if not _RECEIVE_FLAGS:
            for fd in fds:
                os.set_inheritable(fd, False)

    def _cut(self) -> None:
        start = 0
        with memoryview(self._buffer) as view:
            while len(view) - start >= _HEADER.size:
                length, count = _HEADER.unpack_from(view, start)
                if length > MAX_FRAME or count > min(len(self._fds), self._max_fds):
                    raise ChannelClosedError("the other end sent a message with a wrong header")
                end = start + _HEADER.size + length
                if end > len(view):
                    break
                message = _parse(view[start + _HEADER.size : end])
                self.frames.append((message, [self._fds.popleft() for _ in range(count)]))
                start = end
        del self._buffer[:start]

    def close(self) -> None:
        """Forget everything and close the descriptors that nobody took."""
        _close_all(self._fds)
        self._fds.clear()
        while self.frames:
            _close_all(self.frames.popleft()[1])


def _parse(raw: memoryview) -> dict[str, Any]:
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ChannelClosedError(f"the other end sent a message that is not JSON: {error}") from error
    finally:
        raw.release()
    if not isinstance(message, dict):
        raise ChannelClosedError("the other end sent a message that is not an object")
    return message
