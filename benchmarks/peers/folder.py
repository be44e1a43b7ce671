"""A folder as a queue, in a few lines: files appear by rename, inotify says so, a heap orders them."""

# Paths as text: the limit that is measured here should not be pathlib's.
# ruff: noqa: PTH104, PTH208

from __future__ import annotations

import ctypes
import heapq
import os
import select
import struct
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Arrivals", "drop", "put_durably", "replace", "sync_folder", "syncfs"]

_IN_MOVED_TO, _IN_CREATE, _IN_Q_OVERFLOW = 0x80, 0x100, 0x4000
_EVENT = struct.Struct("iIII")


def replace(temporary: str, path: str, data: bytes, sync: bool = False) -> None:
    """Write ``data`` beside and rename it to ``path``."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)
    os.rename(temporary, path)


def sync_folder(path: str | Path) -> None:
    """fsync of the folder: the names in it survive."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def drop(folder: Path, name: str, data: bytes) -> None:
    """What ``mv`` from the same file system does: nothing is synced."""
    replace(f"{folder}/tmp/{name}", f"{folder}/new/{name}", data)


def put_durably(folder: Path, name: str, data: bytes) -> None:
    """The same with the file and the folder synced: it survives power loss on return."""
    replace(f"{folder}/tmp/{name}", f"{folder}/new/{name}", data, sync=True)
    sync_folder(folder / "new")


def syncfs(fd: int) -> None:
    """Sync the whole file system that ``fd`` is on."""
    if ctypes.CDLL(None, use_errno=True).syncfs(fd):
        raise OSError(ctypes.get_errno(), "syncfs failed")


class Arrivals:
    """The names in a folder, in order; listed once, and again when events were lost."""

    def __init__(self, folder: Path, *, linked: bool = False) -> None:
        """``linked``: files appear under their name in other ways than by rename, too."""
        self._folder = folder
        mask = _IN_MOVED_TO | (_IN_CREATE if linked else 0)
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._heap: list[str] = []
        self._known: set[str] = set()
        self._add(os.listdir(folder))

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._known:
                self._known.add(name)
                heapq.heappush(self._heap, name)

    def _events(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        offset, names = 0, []
        while offset < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            if mask & _IN_Q_OVERFLOW:
                self._add(os.listdir(self._folder))
            else:
                names.append(os.fsdecode(data[offset - length : offset].rstrip(b"\0")))
        self._add(names)

    def take(self, limit: int) -> list[str]:
        """Wait for at least one; at most ``limit`` that are there now."""
        self._events()
        while not self._heap:
            select.select([self._fd], [], [])
            self._events()
        names = [heapq.heappop(self._heap) for _ in range(min(limit, len(self._heap)))]
        self._known.difference_update(names)
        return names
