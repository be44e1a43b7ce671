"""What a sandbox is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

__all__ = ["Completed", "LimitName", "Limits", "Mounts", "Sandbox", "nothing"]

LimitName = Literal["timeout", "memory", "processes"]


def nothing() -> None:
    """The default ``on_wait``."""


@dataclass(frozen=True)
class Limits:
    """What one run may use. Beyond the first three, everything it started is killed."""

    seconds: float
    """Wall time."""
    memory_mib: int
    """Resident memory of all its processes together; looked at about every 20 ms."""
    processes: int
    """Processes alive at one time."""
    file_mib: int
    """Largest file it may write."""


@dataclass(frozen=True)
class Mounts:
    """Which host folders a run sees, and where."""

    root: Path
    """The checkout, on the host."""
    at: Path
    """Where it appears: the user's own project path. Landlock has no mounts: it stays at ``root``."""
    writable: bool = True
    read_only: tuple[tuple[Path, Path], ...] = ()
    """(host path, path inside) of what is visible but cannot be changed: an environment, an
    interpreter. May lie over the checkout."""


@dataclass(frozen=True)
class Completed:
    """How a run ended. Nothing of it is alive any more."""

    exit_code: int | None
    """As a shell has it, 128 and the signal's number for a signal; None: ended by a limit."""
    output: bytes
    """stdout and stderr in order; of more than 1 MiB the middle is left out."""
    seconds: float
    limit: LimitName | None
    level: str
    report: bytes
    """What was written to the descriptor that $SWARMD_REPORT_FD named; at most 16 MiB."""


class Sandbox(Protocol):
    """Runs a program that is not trusted."""

    @property
    def level(self) -> str:
        """bwrap or landlock."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Mounts,
        limits: Limits,
        env: Mapping[str, str],
        secret: bytes = b"",
        on_wait: Callable[[], None] = nothing,
    ) -> Completed:
        """Run ``argv`` (never through a shell) in ``mounts.at`` and wait for its end.

        ``env`` is all that it gets besides HOME, TMPDIR and defaults for PATH and LANG. ``secret``
        comes on its standard input, which then ends. ``on_wait`` is called about twice a second.
        Raises SandboxError when the sandbox could not be set up; a program that cannot be started
        is no such error, but exit code 126 or 127.
        """
        ...
