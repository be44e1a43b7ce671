"""Maildir-style with a sync at every step: the plain limit of files that are synced one by one."""

# Paths as text: the limit that is measured here should not be pathlib's.
# ruff: noqa: PTH104, PTH108, PTH123

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.folder import Arrivals, drop, put_durably, replace, sync_folder
from benchmarks.peers.peer import EachWorkerAProcess
from benchmarks.peers.slots import current, handle, index_of

__all__ = ["Maildir"]


class Maildir(EachWorkerAProcess):
    """Put: write, fsync, rename, fsync the folder. Handled: the same with the result, then unlink."""

    title = "REF Maildir, fsync at each step"
    note = "durable at put (2 fsync) and at result (2 fsync)"
    group = "reference"
    acks = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._arrivals: Arrivals | None = None

    def start(self) -> list[int]:
        for name in ("tmp", "new", "cur", "out"):
            (self.folder / name).mkdir()
        return []

    def recover(self) -> None:
        for path in (self.folder / "cur").iterdir():
            if (self.folder / "out" / path.name).exists():
                path.unlink()
            else:
                path.rename(self.folder / "new" / path.name)

    def put(self, text: str) -> None:
        put_durably(self.folder, text[:8], text.encode())

    def fill(self, texts: Iterable[str]) -> None:
        for text in texts:
            drop(self.folder, text[:8], text.encode())

    def _take(self) -> str:
        """Claim by rename: one of several workers gets the file, the others look on."""
        self._arrivals = self._arrivals or Arrivals(self.folder / "new")
        while True:
            name = self._arrivals.take(1)[0]
            try:
                os.rename(f"{self.folder}/new/{name}", f"{self.folder}/cur/{name}")
            except FileNotFoundError:
                continue
            return name

    def claim(self) -> None:
        self._take()

    def work(self, workers: int) -> None:
        while True:
            name = self._take()
            with open(f"{self.folder}/cur/{name}") as file:
                text = file.read()
            handle(text)
            replace(f"{self.folder}/tmp/{name}", f"{self.folder}/out/{name}", text.encode(), sync=True)
            sync_folder(self.folder / "out")
            os.unlink(f"{self.folder}/cur/{name}")
            current().acked(index_of(text))
