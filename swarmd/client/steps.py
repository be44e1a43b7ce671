"""Waiting, step by step: for the receipt of a request, for its result, for a command."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from swarmd.audit import Follower, Line, end_offset, read_lines, tail_offset
from swarmd.client.drop import Ticket, leave
from swarmd.client.letter import Refusal
from swarmd.client.pace import Pace, Steps
from swarmd.client.presence import daemon_pid, require_daemon
from swarmd.client.state import is_known, read, result_of
from swarmd.clock import short_id
from swarmd.errors import AuditError, ConfigError, DaemonDownError, RequestError, SwarmdError
from swarmd.home import Home
from swarmd.messages import Command, Result, dump

__all__ = ["Lines", "command_file", "receipt_steps", "result_steps", "safe_steps", "tell_steps"]

SELDOM_S = 0.5
"""How often it is seen whether what is waited for can still happen."""
DAEMON_S = 2.0
"""How often it is seen whether the daemon runs."""
SAFE_S = 1.0
"""How long a durable submitter waits for the receipt before it syncs the file itself."""
VANISHED_S = 1.0
"""How long a dropped file may be gone without a trace."""
TAIL = 1024 * 1024
"""How much of the log's end is searched for lines that came before the wait, in bytes."""

ANSWERS = {
    "cancel": "request_cancelling",
    "retry": "request_reopened",
    "pause": "daemon_paused",
    "resume": "daemon_resumed",
    "reload": "settings_loaded",
}
IGNORED = "command_ignored"

Monotonic = Callable[[], float]


class Lines:
    """One request's lines at the end of the growing log."""

    def __init__(self, home: Home, request_id: str) -> None:
        self._path = home.master_log
        self._request_id = request_id
        self._stamp: tuple[int, int] | None = None
        self._follower: Follower | None = None

    def new(self) -> Iterator[Line]:
        """The lines that were added since the last call. A damaged log has none: the result is what
        counts, and "swarmd audit verify" tells of the damage."""
        with contextlib.suppress(OSError, ValueError, AuditError):
            status = self._path.stat()
            if (stamp := (status.st_ino, status.st_size)) == self._stamp:
                return
            if self._follower is None:
                self._follower = Follower(self._path, tail_offset(self._path, TAIL))
            self._stamp = stamp
            follower, self._follower = self._follower, None  # what has a gap is begun at its end again
            for line in follower.new():
                if line.get("request_id") == self._request_id:
                    yield line
            self._follower = follower


class _Daemon:
    """Sees whether the daemon runs, and for how long it has not."""

    def __init__(self, home: Home, grace_s: float | None) -> None:
        self._home = home
        self._grace_s = grace_s
        self._seen = 0.0

    def check(self, pace: Pace) -> None:
        """Raise DaemonDownError when none has run for longer than the grace."""
        if self._grace_s is None or not pace.is_due("daemon", min(DAEMON_S, max(self._grace_s, SELDOM_S))):
            return
        if daemon_pid(self._home) is not None:
            self._seen = pace.waited
        elif pace.waited - self._seen >= self._grace_s:
            raise DaemonDownError(f"no daemon runs on {self._home.root}; what it was given is kept")


def result_steps(
    home: Home,
    request_id: str,
    timeout: float | None,
    grace_s: float | None = None,
    lines: Lines | None = None,
    monotonic: Monotonic = time.monotonic,
) -> Steps[Result]:
    """Wait for the result of ``request_id``; yields its log lines, too, if ``lines`` are wanted."""
    pace, path = Pace(timeout, monotonic), home.outbox / f"{request_id}.json"
    name, folder = os.fspath(path), os.fspath(home.request_folder(request_id))
    refusal = Refusal(home, request_id, getattr(request_id, "path", None), monotonic)
    daemon, was_active = _Daemon(home, grace_s), True
    while True:
        result = read(Result, path) if os.path.exists(name) else None  # noqa: PTH110 - speed
        if result is None and pace.is_due("seldom", SELDOM_S):
            is_active = os.path.isdir(folder)  # noqa: PTH112 - speed
            if was_active and not is_active:
                result = result_of(home, request_id)
            was_active = is_active
            if not is_active and result is None:
                refusal.check()
        if lines is not None:
            yield from lines.new()
        if result is not None:
            return result
        daemon.check(pace)
        pace.check(f"{request_id} has no result")
        yield pace.pause()


def receipt_steps(
    home: Home,
    request_id: str,
    timeout: float | None,
    grace_s: float | None,
    monotonic: Monotonic = time.monotonic,
) -> Steps[None]:
    """Wait until the daemon has acknowledged the request: its file is gone and its id is known."""
    pace, path = Pace(timeout, monotonic), getattr(request_id, "path", None)
    daemon = _Daemon(home, grace_s)
    receipt = _FileReceipt(home, request_id, path, pace) if path else _IdReceipt(home, request_id, pace)
    while not receipt.is_there():
        daemon.check(pace)
        pace.check(f"{request_id} was not acknowledged")
        yield pace.pause()


class _FileReceipt:
    """The receipt of one dropped file."""

    def __init__(self, home: Home, request_id: str, path: Path, pace: Pace) -> None:
        self._home, self._request_id, self._path, self._pace = home, request_id, path, pace
        self._refusal = Refusal(home, request_id, path)
        self._gone_at: float | None = None

    def is_there(self) -> bool:
        """Raises RequestError when the file was refused, or has gone without a trace."""
        if os.path.lexists(self._path):
            if self._pace.is_due("seldom", SELDOM_S):
                self._refusal.check()  # it was refused, but could not be moved
            return False
        self._refusal.check()
        if is_known(self._home, self._request_id):
            return True
        now = self._pace.waited
        self._gone_at = now if self._gone_at is None else self._gone_at
        if now - self._gone_at > VANISHED_S:
            raise _vanished(self._path)
        return False


class _IdReceipt:
    """The receipt of whatever was dropped under an id."""

    def __init__(self, home: Home, request_id: str, pace: Pace) -> None:
        self._active = os.fspath(home.request_folder(request_id))
        self._result = os.fspath(home.outbox / f"{request_id}.json")
        self._was_known, self._pace = is_known(home, request_id), pace
        self._refusal = Refusal(home, request_id, monotonic=lambda: pace.waited)

    def is_there(self) -> bool:
        """Raises RequestError when what was dropped was refused."""
        if self._was_known or os.path.isdir(self._active) or os.path.exists(self._result):  # noqa: PTH110, PTH112
            return True
        if self._pace.is_due("seldom", SELDOM_S):
            self._refusal.check()
        return False


def _vanished(path: Path) -> RequestError:
    return RequestError(
        f"{path.name} has gone from the inbox, and nobody took it",
        code="E-REQUEST-VANISHED",
        hint="Somebody else removed or moved it; submit it again.",
    )


def safe_steps(home: Home, ticket: Ticket, monotonic: Monotonic = time.monotonic) -> Steps[bool]:
    """Wait a moment for the receipt; false when the submitter must sync the file itself."""
    if daemon_pid(home) is None:
        return False
    try:
        yield from receipt_steps(home, ticket, SAFE_S, 0.0, monotonic)
    except (TimeoutError, DaemonDownError):  # paused, busy, or gone
        return False
    return True


def command_file(home: Home, order: Command) -> Path:
    """Leave ``order`` in bus/control/. Raises ConfigError when ``home`` is none, SwarmdError
    E-HOME-WRITE when there is no room or no right."""
    if not home.control.is_dir():
        raise ConfigError(f"{home.root} is not a home", hint='Make one with "swarmd init".')
    path = home.control / f"{order.command}.{short_id(8)}.json"
    leave(home, path, dump(order))
    return path


def tell_steps(
    home: Home, order: Command, timeout: float | None, monotonic: Monotonic = time.monotonic
) -> Steps[Line | None]:
    """Have the daemon carry ``order`` out; return the line in which it said so, if the log has one."""
    require_daemon(home, f'"{order.command}" is for one that does')
    pace = Pace(timeout, monotonic)
    offset = _log_end(home)
    path = command_file(home, order)
    refusal, daemon = Refusal(home, "", path), _Daemon(home, 1.0)
    while os.path.lexists(path):
        daemon.check(pace)
        pace.check(f'the daemon has not carried out "{order.command}"')
        yield pace.pause()
    refusal.check()
    answer = _answer(home, order, offset)
    if answer is not None and answer.get("event") == IGNORED:
        raise SwarmdError(
            f'the daemon did not carry out "{order.command}": {answer["data"]["reason"]}',
            code="E-COMMAND-IGNORED",
            hint='"swarmd status" and "swarmd task list" show how things stand.',
        )
    return answer


def _log_end(home: Home) -> int | None:
    with contextlib.suppress(OSError, ValueError, AuditError):
        return end_offset(home.master_log)
    return None


def _answer(home: Home, order: Command, offset: int | None) -> Line | None:
    """The last line since ``offset`` that speaks of such an order."""
    found = None
    if offset is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AuditError):
            for line, _ in read_lines(home.master_log, offset=offset):
                ignored = line.get("event") == IGNORED and line["data"]["command"] == order.command
                if line.get("request_id") == order.request_id and (
                    ignored or line.get("event") == ANSWERS[order.command]
                ):
                    found = line
    return found
