"""One careful look at a dropped file, whatever it turns out to be, and what is claimed then."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from swarmd.bus.validation import is_cut_off, is_whole
from swarmd.errors import RequestError
from swarmd.messages import Priority

__all__ = ["Candidate", "Look", "Stamp", "look", "stamp"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is replaced, written or made readable."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def content(self) -> tuple[int, int, int, int]:
        """The part that only another content changes, not a change of rights or of links."""
        return (self.device, self.inode, self.size, self.mtime_ns)

    @property
    def source_id(self) -> str:
        """A short name for this very file."""
        return f"{self.device:x}-{self.inode:x}-{self.ctime_ns:x}"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. Neither ``refusal`` nor ``cut_off`` need last: it may still be written."""

    stamp: Stamp
    data: bytes = b""
    whole: bool = False
    """It is one whole JSON object."""
    cut_off: bool = False
    """It could be the beginning of one."""
    refusal: RequestError | None = None
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dropped file that is ready to be judged. The file still lies there: see ``Inbox.done``."""

    path: Path
    priority: Priority
    arrival: int
    """When it was written, in nanoseconds."""
    data: bytes
    refusal: RequestError | None
    """Why it cannot be read, or is not whole; then ``data`` is what there is of it."""
    stamp: Stamp
    place: int

    @property
    def source_id(self) -> str:
        """A short name for this very file (for ``intake.accept``)."""
        return self.stamp.source_id


def stamp(status: os.stat_result) -> Stamp:
    """The stamp in ``status``."""
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def look(path: Path, limit: int, code: str = "E-REQUEST") -> Look | None:
    """Look at ``path`` without following a link or waiting for a pipe; None when it is gone.

    At most ``limit`` bytes are read. Raises OSError only for a shortage here (descriptors, memory).
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return Look(stamp(status), refusal=_not_a_file(status, code))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return Look(stamp(status), refusal=_not_a_file(status, code))
            data = _read(fd, status.st_size + 1) if status.st_size <= limit else b""
            after = os.fstat(fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(path, error, code)
    if status.st_size > limit:
        return Look(stamp(status), refusal=_too_large(status.st_size, limit, code))
    if (
        stamp(after) != stamp(status) or len(data) != status.st_size
    ):  # written meanwhile: the stamp would not be that of these bytes
        return Look(stamp(after), data, cut_off=True)
    whole = is_whole(data)
    return Look(stamp(status), data, whole, cut_off=not whole and is_cut_off(data))


def _read(fd: int, limit: int) -> bytes:
    parts = []
    while limit and (part := os.read(fd, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _not_a_file(status: os.stat_result, code: str) -> RequestError:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return RequestError(
        f"it is {kind}, not a file", code=f"{code}-NOT-A-FILE", hint="Drop a plain file that holds the JSON."
    )


def _too_large(size: int, limit: int, code: str) -> RequestError:
    return RequestError(
        f"the file is larger than {limit} bytes ({size})",
        code=f"{code}-TOO-LARGE",
        hint="Put large material into the repository and name it in the request.",
    )


def _unreadable(path: Path, error: OSError, code: str) -> Look | None:
    if error.errno in _SHORTAGES:
        raise error
    try:
        status = path.lstat()
    except OSError:
        return None
    if error.errno == errno.ELOOP:
        return Look(stamp(status), refusal=_not_a_file(status, code))
    if isinstance(error, PermissionError):
        refusal = RequestError(
            "the daemon has no permission to read the file",
            code=f"{code}-PERMISSION",
            hint="Make the file readable for the user that runs swarmd (chmod, chown) and drop it again.",
        )
    else:
        refusal = RequestError(f"the file cannot be read: {error.strerror}", code=f"{code}-UNREADABLE")
    return Look(stamp(status), refusal=refusal)
