"""What the exit status of a command means."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MEANINGS", "ExitCode"]


class ExitCode(IntEnum):
    """Every exit status of ``swarmd``, except those of ``swarmd audit verify`` (see there)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DAEMON_DOWN = 3
    NEEDS_HUMAN = 4
    MODEL_DOWN = 5
    HOME_LOCKED = 6
    PENDING = 8
    TIMEOUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "it worked",
    ExitCode.FAILED: "the work failed, or a check of doctor did",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.DAEMON_DOWN: "no daemon runs on this home",
    ExitCode.NEEDS_HUMAN: "it waits for a person, or one should look at it before it is used",
    ExitCode.MODEL_DOWN: "a model could not answer",
    ExitCode.HOME_LOCKED: "another daemon runs on this home",
    ExitCode.PENDING: "it has not ended yet",
    ExitCode.TIMEOUT: "it took longer than --timeout",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
    ExitCode.TERMINATED: "ended by SIGTERM",
}
