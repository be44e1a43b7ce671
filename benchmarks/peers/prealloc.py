"""Group commit on a preallocated write-ahead log: the sync writes no metadata."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.folder import Arrivals, syncfs
from benchmarks.peers.groups import GROUP, Folders
from benchmarks.peers.hands import Hands

__all__ = ["Prealloc"]

_BYTES = 16 * 1024 * 1024


class _Log:
    """Zero-filled once, then overwritten in place; full, the file system is synced and it starts again."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(self._fd, bytes(_BYTES))
        os.fsync(self._fd)
        self._end = 0

    def write(self, data: bytes) -> None:
        """One record; kill -9 does not undo it, power loss does until ``sync``."""
        if self._end + len(data) > _BYTES:
            syncfs(self._fd)
            self._end = 0
        self._end += os.pwrite(self._fd, data, self._end)

    def sync(self) -> None:
        """What was written survives power loss."""
        os.fdatasync(self._fd)


class Prealloc(Folders):
    """Per batch: the requests in the log, fdatasync; each result in the log, fdatasync; then the outbox
    files, which power loss may take, for they can be rebuilt."""

    title = "REF plain mv, preallocated write-ahead log"
    note = "durable at ingest, not at put; 2 fdatasync per batch of up to 64; dispatcher for 4 workers"

    def work(self, workers: int) -> None:
        hands, arrivals = Hands(workers), Arrivals(self.folder / "new")
        log = _Log(self.folder / "wal")
        while True:
            texts = [self._read(name) for name in arrivals.take(GROUP)]
            log.write("".join(texts).encode())
            log.sync()
            for text in hands.run(texts):
                log.write(text.encode())
            log.sync()
            for text in texts:
                self._result(text)
                self._remove(text)
