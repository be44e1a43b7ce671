"""Names of files that appear in folders, as soon as the kernel knows them.

Events are hints: some file systems send none, and a full queue loses them. Whoever uses them also
lists the folder from time to time.

This sits on watchdog's inotify reader, below its observer: the observer holds back every file that
is moved out of a folder for half a second to pair it with an arrival, says nothing of lost events,
and starts one thread for each folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swarmd.bus.filesystem import FileSystem, identify
from swarmd.config import WatchMode

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, WatchDescriptor

__all__ = ["FolderWatch"]

_MOST_POSTED = 16_384
"""Names that may wait for the loop; beyond it the folder is listed instead, which is cheaper."""
_SLICE_S = 0.002
"""How long names are handed over before the loop may turn."""
_RESTART_S = 30.0
"""How often a reader that could not be had, or has died, is asked for again."""


@dataclass(eq=False, slots=True)
class _Listener:
    """What watchdog's thread calls for one folder; everything is handed to the loop."""

    watch: FolderWatch
    on_name: Callable[[str], None]
    on_lost: Callable[[], None]
    inode: tuple[int, int]
    descriptor: WatchDescriptor | None = None

    def on_event(self, event: InotifyEvent) -> None:
        if event.name:
            self.watch._post(self, event.name)
        elif event.is_move_self:
            self.on_watch_deleted(event.wd)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        if wd == self.descriptor:
            self.inode = (0, 0)
            self.watch._post(self, None)

    def on_queue_overflow(self) -> None:
        self.watch._post(self, None)


class FolderWatch:
    """Watches folders, not what lies below them. Make and use it inside the loop.

    With ``mode`` sweep it watches nothing. ``error`` says why no events come: no inotify here, its
    limits are used up, or the file system has none.
    """

    def __init__(
        self, mode: WatchMode = "auto", *, file_system: Callable[[Path], FileSystem] = identify
    ) -> None:
        self._mode = mode
        self._file_system = file_system
        self._loop = asyncio.get_running_loop()
        self._reader: InotifyFD | None = None
        self._started = False
        self._start_error = "the watch was not started"
        self._retry_at = 0.0
        self._listeners: dict[Path, _Listener] = {}
        self._errors: dict[Path, str] = {}
        self._posted: deque[tuple[_Listener, bytes]] = deque()
        self._lost: set[_Listener] = set()
        self._woken = False

    @property
    def error(self) -> str:
        """Why events do not come, for all folders or for the first of some; empty while they do."""
        return self._start_error or next(iter(self._errors.values()), "")

    def error_of(self, folder: Path) -> str:
        """Why events do not come for ``folder``; empty while they do."""
        if self._start_error or folder in self._errors:
            return self._start_error or self._errors[folder]
        return "" if folder in self._listeners else f"{folder} is not watched yet"

    def start(self) -> None:
        """Begin. Where it cannot be had, ``error`` says so; it is tried again from time to time."""
        if self._mode == "sweep":
            self._start_error = 'folders are not watched: daemon.watch is "sweep"'
            return
        self._started = True
        self._open_reader()

    def _open_reader(self) -> None:
        self._retry_at = self._loop.time() + _RESTART_S
        try:
            from watchdog.observers.inotify_c import InotifyFD

            reader = InotifyFD()
        except (ImportError, OSError, AttributeError) as error:
            self._start_error = f"folders cannot be watched here: {error}"
            return
        reader.start()
        self._reader, self._start_error = reader, ""

    def stop(self) -> None:
        """End the watching and its thread. Nothing is called any more."""
        self._started = False
        self._start_error = "the watch was stopped"
        self._close_reader()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        self._listeners.clear()
        self._errors.clear()
        if reader is not None:
            reader.stop()
            reader.join(5)
        self._posted.clear()
        self._lost.clear()

    def add(self, folder: Path, on_name: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        """Call ``on_name`` for each file that is created in, closed in or moved into ``folder``, and
        ``on_lost`` when events were lost or the folder went away: list the folder then, and add it
        again. Adding a folder that is still watched costs one stat. Raises OSError if it is absent.
        """
        if not self._has_reader():
            return
        status = folder.stat()
        inode = (status.st_dev, status.st_ino)
        listener = self._listeners.get(folder)
        if listener is not None and listener.inode == inode:
            return
        self._drop(folder)
        listener = _Listener(self, on_name, on_lost, inode)
        system = self._file_system(folder)
        if not system.events:
            self._errors[folder] = f"{folder} is on {system.kind}, which does not tell of every change"
            self._listeners[folder] = listener  # asked once for each folder
            return
        try:
            self._listen(folder, listener)
        except OSError as error:
            self._errors[folder] = f"{folder} cannot be watched: {error}"
        else:
            self._listeners[folder] = listener

    def _has_reader(self) -> bool:
        if self._reader is not None and not self._reader.is_alive():
            self._close_reader()
            self._start_error = "the reader of events has died"
        if self._reader is None and self._started and self._loop.time() >= self._retry_at:
            self._open_reader()
        return self._reader is not None

    def _listen(self, folder: Path, listener: _Listener) -> None:
        from watchdog.observers.inotify_c import InotifyConstants, Mask

        assert self._reader is not None
        # Nothing that leaves: only what appears, and the folder's own move.
        mask = (
            InotifyConstants.IN_CREATE
            | InotifyConstants.IN_CLOSE_WRITE
            | InotifyConstants.IN_MOVED_TO
            | InotifyConstants.IN_MOVE_SELF
            | InotifyConstants.IN_ONLYDIR
        )
        descriptor = self._reader.add_callback(os.fsencode(folder), Mask(mask), listener, _key(listener))
        if descriptor < 0:  # watchdog passes over a refusal
            raise PermissionError(f"no permission to watch {folder}")
        listener.descriptor = descriptor

    def _drop(self, folder: Path) -> None:
        old = self._listeners.pop(folder, None)
        self._errors.pop(folder, None)
        if old is not None and self._reader is not None and old.descriptor is not None:
            self._reader.remove_callbacks([(old.descriptor, _key(old))])

    def _post(self, listener: _Listener, name: bytes | None) -> None:
        """From any thread: tell of ``name``, or with None of lost events; one wake-up for a storm."""
        posted = self._posted
        if name is None or len(posted) >= _MOST_POSTED:
            self._lost.add(listener)
        elif not posted or posted[-1] != (listener, name):  # created and closed: one file
            posted.append((listener, name))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all interest
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._lost:
            self._lost.pop().on_lost()
        end = time.perf_counter() + _SLICE_S
        while self._posted and time.perf_counter() < end:
            listener, name = self._posted.popleft()
            listener.on_name(os.fsdecode(name))
        if self._posted and not self._woken:
            self._woken = True
            self._loop.call_soon(self._deliver)


def _key(listener: _Listener) -> CallbackId:
    from watchdog.observers.inotify_c import CallbackId

    return CallbackId(id(listener))
