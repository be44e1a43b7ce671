"""Who handles: this process itself, or forked workers behind a dispatcher."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator, Sequence

from benchmarks.peers.processes import die_with_parent
from benchmarks.peers.slots import handle

__all__ = ["Hands"]

_AHEAD = 4
"""Messages that a worker has before it: it need not wait for the dispatcher after each."""


class Hands:
    """``workers`` forked processes; with one, the caller handles by itself."""

    def __init__(self, workers: int) -> None:
        self._sockets = [self._fork() for _ in range(workers)] if workers > 1 else []

    @staticmethod
    def _fork() -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():
            theirs.close()
            return ours
        die_with_parent()
        ours.close()
        while text := theirs.recv(65536).decode():
            handle(text)
            theirs.send(text.encode())  # the result: as long as the message
        os._exit(0)

    def run(self, texts: Sequence[str]) -> Iterator[str]:
        """Have each handled once; the results in the order in which they come."""
        if not self._sockets:
            for text in texts:
                handle(text)
                yield text
            return
        left, busy = list(reversed(texts)), dict.fromkeys(self._sockets, 0)
        for _ in range(_AHEAD):
            for sock in self._sockets:
                self._send(sock, left, busy)
        while any(busy.values()):
            for sock in select.select([sock for sock in busy if busy[sock]], [], [])[0]:
                result = sock.recv(65536).decode()
                busy[sock] -= 1
                self._send(sock, left, busy)
                yield result

    @staticmethod
    def _send(sock: socket.socket, left: list[str], busy: dict[socket.socket, int]) -> None:
        if left:
            sock.send(left.pop().encode())
            busy[sock] += 1
