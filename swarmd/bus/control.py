"""Commands to the running daemon, as files in bus/control/."""

from __future__ import annotations

from dataclasses import dataclass

from swarmd.bus import deadletter
from swarmd.bus.inbox import Candidate, Inbox, Place
from swarmd.bus.validation import parse
from swarmd.bus.watching import FolderWatch
from swarmd.clock import Clock
from swarmd.config import DaemonSettings
from swarmd.errors import RequestError
from swarmd.home import Home
from swarmd.messages import Command, DeadLetter

__all__ = ["Control", "Received", "parse_command"]

_CODE = "E-COMMAND"
_HINT = 'Write a file such as {"command": "cancel", "request_id": "login"} into bus/control/.'


@dataclass(frozen=True)
class Received:
    """A command and the file it came in."""

    command: Command
    candidate: Candidate


def parse_command(data: bytes) -> Command:
    """The command in ``data``. Raises RequestError, whose code begins with E-COMMAND-."""
    try:
        command = parse(Command, data, _CODE)
    except RequestError as error:
        raise RequestError(error.message, code=error.code, hint=_HINT, field=error.field) from error
    if command.command in ("cancel", "retry") and command.request_id is None:
        raise RequestError(
            f'"{command.command}" needs a "request_id"',
            code=f"{_CODE}-MISSING",
            hint=_HINT,
            field="request_id",
        )
    return command


class Control:
    """The folder bus/control/, read like the inbox: whole files, in the order of their arrival."""

    def __init__(
        self, home: Home, settings: DaemonSettings, clock: Clock, watch: FolderWatch | None = None
    ) -> None:
        self.inbox = Inbox([Place(home.control, "normal")], settings, clock, watch, code=_CODE)
        self._home = home
        self._clock = clock

    async def start(self) -> None:
        """List the folder once, then keep watching it until ``stop``."""
        await self.inbox.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self.inbox.stop()

    async def next_command(self) -> Received | DeadLetter:
        """Wait for the next command, or for a file that is none and was moved to the dead letters.

        End each command with ``done``. Raises OSError when a dead letter cannot be written.
        """
        return self._judge(await self.inbox.next_ready())

    def take(self) -> Received | DeadLetter | None:
        """As ``next_command``, but without waiting."""
        candidate = self.inbox.take()
        return None if candidate is None else self._judge(candidate)

    def done(self, received: Received) -> None:
        """The command was carried out: remove its file."""
        self.inbox.done(received.candidate)

    def _judge(self, candidate: Candidate) -> Received | DeadLetter:
        try:
            if candidate.refusal:
                raise candidate.refusal
            return Received(parse_command(candidate.data), candidate)
        except RequestError as error:
            letter = deadletter.bury(self._home, candidate.path, error, self._clock.now())
            self.inbox.refused(candidate)
            return letter
