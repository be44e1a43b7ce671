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
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, WatchDescriptor

__all__ = ["FolderWatch"]


@dataclass(eq=False)
class _Listener:
    """What watchdog's thread calls for one folder; everything is handed to the loop."""

    post: Callable[..., None]
    on_name: Callable[[str], None]
    on_lost: Callable[[], None]
    inode: tuple[int, int] = (0, 0)
    descriptor: WatchDescriptor | None = None

    def on_event(self, event: InotifyEvent) -> None:
        if event.name:
            self.post(self.on_name, os.fsdecode(event.name))
        elif event.is_move_self:
            self.on_watch_deleted(event.wd)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        if wd == self.descriptor:
            self.inode = (0, 0)
            self.post(self.on_lost)

    def on_queue_overflow(self) -> None:
        self.post(self.on_lost)


class FolderWatch:
    """Watches folders, not what lies below them. Make and use it inside the loop.

    ``error`` says why no events come (no inotify here, its limits are used up); empty while they do.
    """

    def __init__(self) -> None:
        self.error = "the watch was not started"
        self._loop = asyncio.get_running_loop()
        self._reader: InotifyFD | None = None
        self._listeners: dict[Path, _Listener] = {}
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False

    def start(self) -> None:
        """Begin. Where it cannot be had, ``error`` says so and ``add`` has no effect."""
        try:
            from watchdog.observers.inotify_c import InotifyFD

            self._reader = InotifyFD()
        except (ImportError, OSError, AttributeError) as error:
            self.error = f"folders cannot be watched here: {error}"
            return
        self._reader.start()
        self.error = ""

    def stop(self) -> None:
        """End the watching and its thread."""
        reader, self._reader = self._reader, None
        self.error = "the watch was stopped"
        self._listeners.clear()
        if reader is not None:
            reader.stop()
            reader.join(5)

    def add(self, folder: Path, on_name: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        """Call ``on_name`` for each file that is created in, closed in or moved into ``folder``, and
        ``on_lost`` when events were lost or the folder went away: list the folder then, and add it
        again. Adding a folder that is still watched costs one stat. Raises OSError if it is absent.
        """
        if self._reader is None:
            return
        status = folder.stat()
        inode = (status.st_dev, status.st_ino)
        listener = self._listeners.get(folder)
        if listener is not None and listener.inode == inode:
            return
        self._drop(folder)
        try:
            self._listeners[folder] = self._listen(folder, _Listener(self._post, on_name, on_lost, inode))
            self.error = ""
        except OSError as error:
            self.error = f"{folder} cannot be watched: {error}"

    def _listen(self, folder: Path, listener: _Listener) -> _Listener:
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
        listener.descriptor = self._reader.add_callback(
            os.fsencode(folder), Mask(mask), listener, _key(listener)
        )
        return listener

    def _drop(self, folder: Path) -> None:
        old = self._listeners.pop(folder, None)
        if old is not None and self._reader is not None and old.descriptor is not None:
            self._reader.remove_callbacks([(old.descriptor, _key(old))])

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        """From any thread: call ``function`` in the loop, with one wake-up for a whole storm."""
        self._posted.append((function, args))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all interest
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        for _ in range(len(self._posted)):
            function, args = self._posted.popleft()
            function(*args)


def _key(listener: _Listener) -> CallbackId:
    from watchdog.observers.inotify_c import CallbackId

    return CallbackId(id(listener))
