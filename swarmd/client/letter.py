"""Dead letters: why a request was refused, taking one out of the inbox, and putting one back."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from swarmd.client.drop import leave
from swarmd.client.state import is_known, read, waiting_files
from swarmd.clock import SystemClock, rfc3339, short_id
from swarmd.errors import RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import DeadLetter, Priority, dump

__all__ = ["CANCELLED", "Refusal", "letters_of", "requeue", "withdraw"]

CANCELLED = "E-REQUEST-CANCELLED"
"""The code of a letter whose request was cancelled before anybody had taken it."""

_RECORD = ".error.json"
_COMMAND = "E-COMMAND"
_PATIENCE = 20
"""A long folder is listed again only after this many times what the last listing took."""
_TICK_NS = 1_000_000_000
_NO_REPLACE = 1
"""renameat2's RENAME_NOREPLACE."""


class Refusal:
    """Looks, again and again, whether one request was refused. A look costs next to nothing."""

    def __init__(
        self,
        home: Home,
        request_id: str,
        path: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``path`` is the dropped file, where it is known: its name is what the letter is called."""
        self._home = home
        self._request_id = request_id
        self._record = home.deadletter / (path.name + _RECORD) if path else None
        self._monotonic = monotonic
        self._seen = -1
        self._due = 0.0

    def check(self) -> None:
        """Raise RequestError, with the reason, when the request was refused."""
        letter = read(DeadLetter, self._record) if self._record else self._search()
        if letter is not None:
            raise RequestError(letter.message, code=letter.code, hint=letter.hint, field=letter.field)

    def _search(self) -> DeadLetter | None:
        """For an id alone, all names are listed, but only when there are other names than before."""
        began = self._monotonic()
        changed = _changed(self._home.deadletter)
        if changed == self._seen or began < self._due:
            return None
        letters = letters_of(self._home, self._request_id)
        if letters and any(True for _ in waiting_files(self._home, self._request_id)):
            letters = []  # an earlier file of this id was refused; the one that waits may not be
        now = self._monotonic()
        # Within one tick of the file system's clock a folder can change without a new time.
        self._seen = changed if time.time_ns() - changed > _TICK_NS else -1
        self._due = now + _PATIENCE * (now - began)
        return letters[-1] if letters and not is_known(self._home, self._request_id) else None


def letters_of(home: Home, request_id: str) -> list[DeadLetter]:
    """The dead letters whose file's name begins with ``request_id``, oldest first."""
    prefix = f"{request_id}."
    try:
        names = [n for n in os.listdir(home.deadletter) if n.startswith(prefix) and n.endswith(_RECORD)]  # noqa: PTH208
    except OSError:
        return []
    letters = (read(DeadLetter, home.deadletter / name) for name in names)
    return sorted((letter for letter in letters if letter), key=lambda letter: letter.at)


def withdraw(home: Home, request_id: str) -> list[DeadLetter]:
    """Move what waits for ``request_id`` in the inbox to the dead letters, from where ``requeue`` can
    bring it back; return the letters. Raises SwarmdError E-HOME-WRITE when it cannot be moved."""
    letters = []
    for priority, path in list(waiting_files(home, request_id)):
        letter = DeadLetter(
            name=_letter_name(home, request_id, path),
            original_name=path.name,
            code=CANCELLED,
            message=f"{request_id} was cancelled before it was taken",
            hint=f'"swarmd task retry {request_id}" puts it back into the inbox.',
            at=rfc3339(SystemClock().now()),
            priority=priority,
        )
        record = home.deadletter / (letter.name + _RECORD)
        leave(home, record, dump(letter))  # first, so that no file lies there without one
        try:
            path.rename(home.deadletter / letter.name)
            letters.append(letter)
        except FileNotFoundError:  # the daemon was faster
            record.unlink(missing_ok=True)
        except OSError as error:
            record.unlink(missing_ok=True)
            raise _unmovable(path, error) from error
    return letters


def _letter_name(home: Home, request_id: str, path: Path) -> str:
    """The file's own name, by which its submitter looks for it, unless another letter has it."""
    if _exists(home.deadletter / path.name) or _exists(home.deadletter / (path.name + _RECORD)):
        return f"{request_id}.{short_id(8)}.json"
    return path.name


def requeue(home: Home, name: str, priority: Priority | None = None) -> Path:
    """Put the dead letter ``name`` back where it was dropped, to be judged again, and return its path
    there. A request goes into the inbox with ``priority`` (default: the one it had, where that is
    known, else normal); a command goes into bus/control/. Its reason goes away.

    Raises RequestError E-LETTER-UNKNOWN, or E-LETTER-NOT-A-FILE for a folder, a link or a pipe, which
    would be refused again, and SwarmdError E-HOME-WRITE when it cannot be moved.
    """
    source, record = home.deadletter / name, home.deadletter / (name + _RECORD)
    if not _is_plain_name(name) or name.endswith(_RECORD) or not _exists(source):
        raise RequestError(
            f"there is no dead letter {name!r}",
            code="E-LETTER-UNKNOWN",
            hint='"swarmd bus dead" lists them; give the name of the file in bus/deadletter/.',
        )
    if not stat.S_ISREG(source.lstat().st_mode):
        raise RequestError(
            f"{name!r} is not a file and would be refused again",
            code="E-LETTER-NOT-A-FILE",
            hint="Drop a plain file that holds the JSON.",
        )
    letter, inode = read(DeadLetter, record), _inode(record)
    is_command = letter is not None and letter.code.startswith(_COMMAND)
    wanted = priority or (letter and letter.priority) or "normal"
    try:
        target = _move_in(source, home.control if is_command else home.inbox / wanted)
    except OSError as error:
        raise _unmovable(source, error) from error
    if _inode(record) == inode:  # it may have been refused again at once, for a reason of its own
        record.unlink(missing_ok=True)
    return target


def _unmovable(path: Path, error: OSError) -> SwarmdError:
    return SwarmdError(
        f"{path.name} cannot be moved: {error.strerror or error}",
        code="E-HOME-WRITE",
        hint="Make room on the disk of the home, or see that this user may write there.",
    )


def _is_plain_name(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name and not name.startswith(".")


def _move_in(source: Path, folder: Path) -> Path:
    """Rename ``source`` into ``folder``, in one step, over nothing that is there."""
    for target in _names(folder, source.name):
        try:
            _rename_new(source, target)
        except FileExistsError:
            continue
        return target
    raise AssertionError("the names never end")


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name  # the name gives a request its id, if it has none of its own
    stem, _, suffix = name.rpartition(".")
    while True:
        yield folder / (f"{stem}-{short_id(6)}.{suffix}" if stem else f"{name}-{short_id(6)}")


def _rename_new(source: Path, target: Path) -> None:
    """Rename, but never over a file. Raises FileExistsError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        here = -100  # AT_FDCWD
        if call(here, os.fsencode(source), here, os.fsencode(target), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(target))
    if _exists(target):  # no such call on this system or file system: as near as it gets
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _inode(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_ino
    return 0


def _changed(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime_ns
    return 0
