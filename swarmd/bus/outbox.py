"""Results, and the folders of requests that have ended."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Result, dump, load

__all__ = [
    "archive",
    "done_folders",
    "find_done",
    "find_request",
    "put",
    "read",
    "result_file",
    "reunite",
    "take_back",
    "wait",
    "write",
]

_MAX_RESULT = 64 * 1024 * 1024


def result_file(home: Home, request_id: str) -> Path:
    """Where the result of ``request_id`` is, or will be."""
    return home.outbox / f"{request_id}.json"


def write(home: Home, result: Result, *, durable_write: bool = True) -> Path:
    """Write ``result``, once: the same one again is fine, another is refused.

    Raises SwarmdError, code E-RESULT-EXISTS. There is one writer, who holds the home's lock.
    """
    return put(home, result.request_id, dump(result), durable_write=durable_write)


def put(home: Home, request_id: str, data: bytes, *, durable_write: bool = False) -> Path:
    """As ``write``, with the result's bytes as they were committed."""
    path = result_file(home, request_id)
    with contextlib.suppress(OSError):
        if not durable_write:
            os.link(home.request_folder(request_id) / "result.json", path)
            return path
    try:
        if durable.read_regular(path, _MAX_RESULT) == data:
            return path
    except FileNotFoundError:
        durable.make_dirs(path.parent)
        durable.write(path, data, durable=durable_write)
        return path
    raise SwarmdError(
        f"{request_id} already has another result",
        code="E-RESULT-EXISTS",
        hint=f"A request ends once: compare {path} with the log.",
    )


def read(home: Home, request_id: str) -> Result | None:
    """The result of ``request_id``; None while there is none.

    Raises SwarmdError, code E-RESULT-UNREADABLE, when the file there is no result.
    """
    path = result_file(home, request_id)
    try:
        return load(Result, durable.read_regular(path, _MAX_RESULT))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SwarmdError(
            f"{path} is not a result",
            code="E-RESULT-UNREADABLE",
            hint="Remove it; the daemon writes it again.",
        ) from error


def wait(
    home: Home,
    request_id: str,
    timeout: float | None = None,
    *,
    poll_s: float = 0.05,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Result:
    """The result of ``request_id`` as soon as it is there. Raises TimeoutError after ``timeout`` seconds."""
    deadline = None if timeout is None else monotonic() + timeout
    while (result := read(home, request_id)) is None:
        if deadline is not None and monotonic() >= deadline:
            raise TimeoutError(f"{request_id} has no result after {timeout:g} seconds")
        sleep(poll_s)
    return result


def archive(home: Home, request_id: str, day: date) -> Path:
    """Move the folder of an ended request to bus/done/<day>/ and return where it is.

    It may be repeated: one that was moved before is found. Raises FileNotFoundError when there never
    was one, and OSError when another folder is in the way.
    """
    source, target = home.request_folder(request_id), home.done / day.isoformat() / request_id
    try:
        source.rename(target)
    except FileNotFoundError:
        if not source.is_dir():
            if earlier := find_done(home, request_id):
                return earlier
            raise
        durable.make_dirs(target.parent)
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _merge(source, target)
    return target


def _merge(source: Path, target: Path) -> None:
    """What was put back into ``source`` after power loss belongs to a folder that had moved already."""
    for entry in list(source.iterdir()):
        if entry.is_dir() and (target / entry.name).is_dir():
            _merge(entry, target / entry.name)
        else:
            entry.replace(target / entry.name)
    source.rmdir()


def reunite(home: Home, request_id: str, result: bytes) -> None:
    """After power loss: the files of an ended request that were put back into bus/active/ join those that
    had moved to bus/done/ before, and what the outbox has instead of ``result`` goes away."""
    if (done := find_done(home, request_id)) is not None:
        _merge(home.request_folder(request_id), done)
    with contextlib.suppress(FileNotFoundError):
        path = result_file(home, request_id)
        if durable.read_regular(path, _MAX_RESULT) != result:
            path.unlink()


def take_back(home: Home, request_id: str) -> None:
    """Make an ended request active again: its folder moves back and its result goes away. It may be
    repeated."""
    if (folder := find_done(home, request_id)) is not None:
        active = home.request_folder(request_id)
        if active.is_dir():  # made anew after power loss, with the files that had been written last
            _merge(active, folder)
        durable.make_dirs(home.active)
        folder.rename(active)
    durable.remove(result_file(home, request_id))
    durable.remove(home.request_folder(request_id) / "result.json")


def done_folders(home: Home) -> Iterator[Path]:
    """The folders of all requests that have ended, newest day first, one id after another."""
    if not home.done.is_dir():
        return
    for day in sorted((path for path in home.done.iterdir() if path.is_dir()), reverse=True):
        yield from sorted(path for path in day.iterdir() if path.is_dir())


def find_done(home: Home, request_id: str) -> Path | None:
    """The folder of the ended request ``request_id``; its cost grows with the days, not the requests."""
    if not home.done.is_dir():
        return None
    days = sorted(home.done.iterdir(), reverse=True)
    return next((day / request_id for day in days if (day / request_id).is_dir()), None)


def find_request(home: Home, request_id: str) -> AcceptedRequest | None:
    """The request ``request_id`` as it was accepted, whether it is active or done; None if unknown."""
    for folder in (home.request_folder(request_id), find_done(home, request_id)):
        if folder is None:
            continue
        try:
            return load(AcceptedRequest, (folder / "request.json").read_bytes())
        except (OSError, ValidationError):
            continue
    return None
