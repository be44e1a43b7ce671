"""Results, and the folders of requests that have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Result, dump, load

__all__ = ["archive", "done_folders", "find_done", "find_request", "read", "result_file", "wait", "write"]

_MAX_RESULT = 64 * 1024 * 1024


def result_file(home: Home, request_id: str) -> Path:
    """Where the result of ``request_id`` is, or will be."""
    return home.outbox / f"{request_id}.json"


def write(home: Home, result: Result, *, durable_write: bool = True) -> Path:
    """Write ``result``, once: the same one again is fine, another is refused.

    Raises SwarmdError, code E-RESULT-EXISTS. There is one writer, who holds the home's lock.
    """
    path, data = result_file(home, result.request_id), dump(result)
    durable.make_dirs(path.parent)
    try:
        if durable.read_regular(path, _MAX_RESULT) == data:
            return path
    except FileNotFoundError:
        durable.write(path, data, durable=durable_write)
        return path
    raise SwarmdError(
        f"{result.request_id} already has another result",
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
    source = home.request_folder(request_id)
    if not source.is_dir() and (earlier := find_done(home, request_id)):
        return earlier
    target = home.done / day.isoformat() / request_id
    durable.make_dirs(target.parent)
    source.rename(target)
    return target


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
