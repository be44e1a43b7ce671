"""Group commit on plain files: whatever is due, up to 64, shares one syncfs."""

# Paths as text: the limit that is measured here should not be pathlib's.
# ruff: noqa: PTH108, PTH123

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.folder import Arrivals, drop, replace, syncfs
from benchmarks.peers.hands import Hands
from benchmarks.peers.peer import Peer
from benchmarks.peers.slots import current, index_of

__all__ = ["Groups"]

GROUP = 64


class Folders(Peer):
    """Files are moved into ``new/`` and nothing else is asked of the producer."""

    group = "reference"
    acks = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._arrivals: Arrivals | None = None

    def start(self) -> list[int]:
        for name in ("tmp", "new", "out"):
            (self.folder / name).mkdir()
        return []

    def put(self, text: str) -> None:
        drop(self.folder, text[:8], text.encode())

    def claim(self) -> None:
        self._arrivals = self._arrivals or Arrivals(self.folder / "new")
        self._read(self._arrivals.take(1)[0])

    def recover(self) -> None:
        for path in (self.folder / "new").iterdir():
            if (self.folder / "out" / path.name).exists():
                path.unlink()

    def _read(self, name: str) -> str:
        with open(f"{self.folder}/new/{name}") as file:
            return file.read()

    def _result(self, text: str) -> None:
        """Written beside and renamed; not synced."""
        name = text[:8]
        replace(f"{self.folder}/tmp/{name}.out", f"{self.folder}/out/{name}", text.encode())

    def _remove(self, text: str) -> None:
        os.unlink(f"{self.folder}/new/{text[:8]}")
        current().acked(index_of(text))


class Groups(Folders):
    """Per batch: one syncfs makes the dropped files durable, a second one the results."""

    title = "REF group commit on files (syncfs per batch of up to 64)"
    note = "durable at ingest, not at put; 2 syncfs per batch; dispatcher for 4 workers"

    def work(self, workers: int) -> None:
        hands, arrivals = Hands(workers), Arrivals(self.folder / "new")
        disk = os.open(self.folder, os.O_RDONLY)
        while True:
            texts = [self._read(name) for name in arrivals.take(GROUP)]
            syncfs(disk)
            for text in hands.run(texts):
                self._result(text)
            syncfs(disk)
            for text in texts:
                self._remove(text)
