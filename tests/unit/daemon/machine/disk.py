"""A disk that remembers what would survive: a real folder is the page cache, and this is what is below.

Every change below one folder passes through here, so that it can be refused (a full disk, a failed
sync, a short write), can be the last one of a process that is killed there, and can be undone by a
power loss as far as no sync has made it safe.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from swarmd import durable
from swarmd.bus.drop import Stamp

__all__ = ["Crash", "Disk", "intercepted"]

NAME_COSTS = 64
"""Bytes that a new name takes of what room there is."""

_REAL = {
    name: getattr(os, name)
    for name in [
        "open",
        "close",
        "write",
        "pwrite",
        "ftruncate",
        "fsync",
        "fdatasync",
        "rename",
        "replace",
        "link",
        "unlink",
        "remove",
        "mkdir",
        "rmdir",
        "utime",
        "scandir",
        "listdir",
    ]
}


class Crash(BaseException):
    """The process was killed at this very call, and makes no other."""


@dataclass(eq=False)
class Node:
    """One file: what is in it, and what of that is safe."""

    serial: int
    live: bytes = b""
    safe: bytes = b""
    changes: list[tuple[int, bytes | None, int]] = field(default_factory=list)
    """Since the last sync: (offset, data), or (size, None) for a new size; and when."""
    mtime: tuple[int, int] | None = None

    def change(self, at: int, data: bytes | None, when: int) -> None:
        self.changes.append((at, data, when))
        self.live = _changed(self.live, at, data)

    def sync(self, before: int) -> None:
        """What was written until then is safe."""
        if not self.changes:
            return
        if self.changes[-1][2] <= before:
            self.safe, self.changes = self.live, []
            return
        while self.changes and self.changes[0][2] <= before:
            at, data, _ = self.changes.pop(0)
            self.safe = _changed(self.safe, at, data)

    def lose(self, random: Random) -> None:
        """Keep of what is not safe some, none or all of it."""
        if not self.changes:
            return
        kind = random.choice(["nothing", "all", "some", "torn"])
        if kind == "all":
            self.safe = self.live
        elif kind != "nothing":
            kept = random.randrange(len(self.changes))
            for at, data, _ in self.changes[:kept]:
                self.safe = _changed(self.safe, at, data)
            at, data, _ = self.changes[kept]
            if kind == "torn" and data:
                self.safe = _changed(self.safe, at, data[: random.randrange(len(data))])
        self.live, self.changes = self.safe, []


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _changed(old: bytes, at: int, data: bytes | None) -> bytes:
    if data is None:
        return old[:at].ljust(at, b"\0")
    if at == len(old):
        return old + data
    return old[:at].ljust(at, b"\0") + data + old[at + len(data) :]


Names = dict[str, Node | None]
"""What is where; None: a folder."""


@dataclass(frozen=True)
class _Renaming:
    """A change of names: where nothing (None) or something was, there is something or nothing now."""

    when: int
    kind: str
    path: str
    node: Node | None = None
    target: str = ""

    def on(self, names: Names) -> None:
        """Make it so, unless what it is about is not there because an earlier change was lost."""
        above = _above(self.target or self.path)
        has_parent = above in names and names[above] is None
        match self.kind:
            case "put" if has_parent and (self.path not in names or self.node is not None):
                names[self.path] = self.node
            case "drop" if self.path in names and names[self.path] is self.node:
                if self.node is not None or not _below(names, self.path):
                    del names[self.path]
            case "move" if has_parent and self.path in names and names[self.path] is self.node:
                self._move(names)

    def _move(self, names: Names) -> None:
        if self.node is None and _below(names, self.target):
            return
        for old in [self.path, *_below(names, self.path)]:
            names[self.target + old[len(self.path) :]] = names.pop(old)


def _below(names: Names, folder: str) -> list[str]:
    return [path for path in names if path.startswith(folder + "/")]


class Disk:
    """All of the folder ``root``, and the faults that are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.busy = False
        """The process under test is running: faults are for it alone."""
        self.dead = False
        """It was killed: whatever its clean-up tries, nothing changes."""
        self.room: int | None = None
        """Bytes that are left; None: enough."""
        self.short = 0
        """So many writes take only half of what they are given."""
        self.failing_sync: int | None = None
        """The sync that fails, counted from now; 0: the next."""
        self.sync_failed = False
        """One has, in this process."""
        self.crash_in: int | None = None
        """The change at which the process is killed, counted from now; 0: the next."""
        self.crash_half = 0
        """0: in front of that change, 1: in the middle (of a write), 2: behind it."""
        self.synced_until: int | None = None
        """What is under way syncs what was there then; None: all."""
        self.changes = 0
        """How many there have been, by the process under test."""
        self.now = 0
        self._serial = 0
        self._live: Names = {self.root: None}
        self._safe: Names = {self.root: None}
        self._renamings: list[_Renaming] = []
        self._open: dict[int, tuple[str, Node | None, bool]] = {}
        self._positions: dict[int, int] = {}
        self._inodes: dict[int, Node] = {}

    # --- what a test asks --------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything there is survives from now on."""
        self.sync_all()

    def survives(self, path: Path) -> bool:
        """Whether power loss leaves the file as it is."""
        node = self._safe.get(str(path))
        return node is not None and node is self._live.get(str(path)) and not node.changes

    def source_of(self, inode: int) -> str:
        """What tells a file from every other one, also from one that gets its inode later."""
        return f"f{self._inodes[inode].serial}" if inode in self._inodes else ""

    def kill(self) -> None:
        """The process is gone; what it wrote is in the page cache."""
        for fd in list(self._open):
            os.close(fd)
        self.dead = self.busy = self.sync_failed = False
        self.crash_in = self.failing_sync = self.synced_until = None
        self.short = 0

    def lose_power(self, random: Random) -> None:
        """Undo what no sync has made safe, as ``random`` says, and be the folder that is found then."""
        self.check()
        names = dict(self._safe)
        kept = self._renamings
        match random.choice(["none", "all", "first", "any"]):
            case "none":
                kept = []
            case "first":  # a journal: what happened later is lost first
                kept = kept[: random.randrange(len(kept) + 1)]
            case "any":
                kept = [renaming for renaming in kept if random.random() < 0.5]
        for renaming in kept:
            renaming.on(names)
        for node in {id(node): node for node in [*names.values(), *self._live.values()] if node}.values():
            node.lose(random)
        self._become(names)

    def _become(self, names: Names) -> None:
        for path in sorted(self._live, reverse=True):
            if path not in names or (names[path] is None) != (self._live[path] is None):
                (_REAL["rmdir"] if self._live[path] is None else _REAL["unlink"])(path)
        first: dict[int, str] = {}
        for path in sorted(names):
            node = names[path]
            if node is None:
                if path not in self._live or self._live[path] is not None:
                    _REAL["mkdir"](path, 0o700)
                continue
            if os.path.lexists(path):
                _REAL["unlink"](path)
            if id(node) in first:
                _REAL["link"](first[id(node)], path)
                continue
            first[id(node)] = path
            self._write_anew(path, node)
        self._live, self._safe, self._renamings = dict(names), dict(names), []

    def _write_anew(self, path: str, node: Node) -> None:
        fd = _REAL["open"](path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        _REAL["write"](fd, node.live)
        self._inodes[os.fstat(fd).st_ino] = node
        _REAL["close"](fd)
        if node.mtime:
            _REAL["utime"](path, ns=node.mtime)

    def check(self) -> None:
        """The folder is what this thinks it is: no change has passed by."""
        found: dict[str, bool] = {self.root: True}
        for above, folders, files in os.walk(self.root):
            found |= {f"{above}/{name}": True for name in folders}
            found |= {f"{above}/{name}": False for name in files}
        assert found == {path: node is None for path, node in self._live.items()}
        for path, node in self._live.items():
            assert node is None or Path(path).read_bytes() == node.live, path

    # --- the calls ---------------------------------------------------------------------------------

    def path_of(self, path: Any, dir_fd: int | None = None) -> str | None:
        """``path`` in full, if it is below this folder."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        if not text.startswith("/"):
            if dir_fd is None or dir_fd not in self._open:
                return None
            text = f"{self._open[dir_fd][0]}/{text}"
        return text if text == self.root or text.startswith(self.root + "/") else None

    def _mutate(self, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Make one change, and be killed in front of it, half through it or behind it when it is time."""
        if self.dead:
            raise Crash
        if not self.busy:
            return act()
        self.changes += 1
        if self.crash_in is None:
            return act()
        self.crash_in -= 1
        if self.crash_in >= 0:
            return act()
        if self.crash_half == 1 and half is not None:
            half()
        elif self.crash_half == 2:
            act()
        self.dead = True
        raise Crash

    def _take_room(self, wanted: int) -> int:
        """How much of it there is room for. Raises ENOSPC when there is none at all."""
        if self.room is None or not self.busy or wanted <= 0:
            return wanted
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        given = min(wanted, self.room)
        self.room -= given
        return given

    def _name_room(self) -> None:
        if self._take_room(NAME_COSTS) < NAME_COSTS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _rename_names(self, kind: str, path: str, node: Node | None = None, target: str = "") -> None:
        self.now += 1
        renaming = _Renaming(self.now, kind, path, node, target)
        renaming.on(self._live)
        self._renamings.append(renaming)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = self.path_of(path, dir_fd)
        if full is None:
            return int(_REAL["open"](path, flags, mode, dir_fd=dir_fd))
        is_new = bool(flags & os.O_CREAT) and full not in self._live
        cuts = bool(flags & os.O_TRUNC) and full in self._live

        def act() -> int:
            if is_new and _above(full) in self._live:
                self._name_room()
            fd = int(_REAL["open"](path, flags, mode, dir_fd=dir_fd))
            if is_new:
                self._serial += 1
                node = Node(self._serial)
                self._inodes[os.fstat(fd).st_ino] = node
                self._rename_names("put", full, node)
            elif cuts and (cut := self._live[full]):
                self.now += 1
                cut.change(0, None, self.now)
            self._open[fd] = full, self._live.get(full), bool(flags & os.O_APPEND)
            self._positions[fd] = 0
            return fd

        return int(self._mutate(act)) if is_new or cuts else act()

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        _REAL["close"](fd)

    def write(self, fd: int, data: Any) -> int:
        if fd not in self._open:
            return int(_REAL["write"](fd, data))
        _, node, appends = self._open[fd]
        assert node is not None
        at = len(node.live) if appends else self._positions[fd]
        written = self._write(fd, node, bytes(data), at, _REAL["write"])
        self._positions[fd] = at + written
        return written

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        if fd not in self._open:
            return int(_REAL["pwrite"](fd, data, offset))
        node = self._open[fd][1]
        assert node is not None
        return self._write(fd, node, bytes(data), offset, lambda f, d: _REAL["pwrite"](f, d, offset))

    def _write(self, fd: int, node: Node, data: bytes, at: int, write: Callable[[int, bytes], int]) -> int:
        def some(size: int) -> int:
            self.now += 1
            node.change(at, data[:size], self.now)
            return write(fd, data[:size])

        def act() -> int:
            size = len(data)
            if self.busy and self.short and size > 1:
                self.short -= 1
                size //= 2
            inside = max(0, min(size, len(node.live) - at))
            if size > inside:
                size = inside + self._take_room(size - inside)
            return some(size)

        return int(self._mutate(act, lambda: some(len(data) // 2)))

    def ftruncate(self, fd: int, size: int) -> None:
        if fd not in self._open:
            _REAL["ftruncate"](fd, size)
            return
        node = self._open[fd][1]
        assert node is not None

        def act() -> None:
            self.now += 1
            _REAL["ftruncate"](fd, size)
            node.change(size, None, self.now)

        self._mutate(act)

    def fsync(self, fd: int) -> None:
        if fd not in self._open:
            _REAL["fsync"](fd)
            return
        path, node, _ = self._open[fd]

        def act() -> None:
            self._fail_sync()
            if node is not None:
                node.sync(self.now)
            else:
                self._sync_names(lambda r: path in (_above(r.path), _above(r.target)))

        self._mutate(act)

    def _fail_sync(self) -> None:
        if self.failing_sync is not None and self.busy:
            self.failing_sync -= 1
            if self.failing_sync < 0:
                self.failing_sync, self.sync_failed = None, True
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def syncfs(self, fd: int) -> None:
        """What durable.sync_file_system calls: everything that was there when it began is safe."""

        def act() -> None:
            try:
                self._fail_sync()
            except OSError as error:
                raise durable.FsyncFailedError(error.errno, "syncfs failed") from error
            self.sync_all(self.synced_until)

        self._mutate(act)

    def sync_all(self, until: int | None = None) -> None:
        until = self.now if until is None else until
        self._sync_names(lambda renaming: renaming.when <= until)
        for node in {id(node): node for node in self._live.values() if node}.values():
            node.sync(until)

    def _sync_names(self, wanted: Callable[[_Renaming], bool]) -> None:
        """Names are journaled: what came before one that is safe is safe as well."""
        last = max((number for number, r in enumerate(self._renamings) if wanted(r)), default=-1)
        for renaming in self._renamings[: last + 1]:
            renaming.on(self._safe)
        del self._renamings[: last + 1]

    def rename(
        self, source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        old, new = self.path_of(source, src_dir_fd), self.path_of(target, dst_dir_fd)
        if old is None or new is None:
            _REAL["rename"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return

        def act() -> None:
            _REAL["replace"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            self._rename_names("move", old, self._live[old], new)

        self._mutate(act)

    def link(self, source: Any, target: Any, **fds: Any) -> None:
        old, new = self.path_of(source), self.path_of(target)
        if old is None or new is None:
            _REAL["link"](source, target, **fds)
            return

        def act() -> None:
            self._name_room()
            _REAL["link"](source, target, **fds)
            self._rename_names("put", new, self._live[old])

        self._mutate(act)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._drop("unlink", path, dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._drop("rmdir", path, dir_fd)

    def _drop(self, call: str, path: Any, dir_fd: int | None) -> None:
        full = self.path_of(path, dir_fd)
        if full is None:
            _REAL[call](path, dir_fd=dir_fd)
            return

        def act() -> None:
            _REAL[call](path, dir_fd=dir_fd)
            self._rename_names("drop", full, self._live[full])

        self._mutate(act)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        full = self.path_of(path, dir_fd)
        if full is None:
            _REAL["mkdir"](path, mode, dir_fd=dir_fd)
            return
        if full in self._live:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), full)

        def act() -> None:
            if _above(full) in self._live:
                self._name_room()
            _REAL["mkdir"](path, mode, dir_fd=dir_fd)
            self._rename_names("put", full)

        self._mutate(act)

    def utime(self, path: Any, *args: Any, **options: Any) -> None:
        _REAL["utime"](path, *args, **options)
        full = self.path_of(path)
        if full and (node := self._live.get(full)):
            node.mtime = options["ns"]


class _Sorted:
    """A listing whose order does not depend on the file system."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries = iter(sorted(entries, key=lambda entry: entry.name))

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Sorted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


@contextmanager
def intercepted(disk: Disk) -> Iterator[Disk]:
    """Have every change below the disk's folder pass through it; the folder is removed in the end."""
    counter = iter(range(1, 2**40))
    calls: dict[str, Callable[..., Any]] = {
        name: getattr(disk, name)
        for name in [
            "open",
            "close",
            "write",
            "pwrite",
            "ftruncate",
            "fsync",
            "rename",
            "link",
            "unlink",
            "mkdir",
            "rmdir",
            "utime",
        ]
    }
    calls |= {"fdatasync": disk.fsync, "replace": disk.rename, "remove": disk.unlink}
    calls |= {
        "scandir": lambda path=".": _Sorted(_REAL["scandir"](path)),
        "listdir": lambda path=".": sorted(_REAL["listdir"](path)),
    }
    try:
        with ExitStack() as stack:
            for name, call in calls.items():
                stack.enter_context(mock.patch.object(os, name, call))
            stack.enter_context(mock.patch.object(durable, "_syncfs", disk.syncfs))
            stack.enter_context(
                mock.patch.object(Stamp, "source_id", property(lambda stamp: disk.source_of(stamp.inode)))
            )
            stack.enter_context(
                mock.patch("secrets.token_hex", lambda n: f"{next(counter):0{2 * n}x}"[-2 * n :])
            )
            yield disk
    finally:
        disk.kill()
        shutil.rmtree(disk.root, ignore_errors=True)
