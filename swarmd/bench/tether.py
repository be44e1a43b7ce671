"""``python -m swarmd.bench.tether PID PROGRAM …``: become PROGRAM, and end when the process PID ends.

So that nothing goes on with a bench's work when the bench itself was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["command", "main"]

PR_SET_PDEATHSIG = 1


def command(argv: Sequence[str]) -> list[str]:
    """``argv``, tethered to this process. Linux only; elsewhere it is not held."""
    return [sys.executable, "-P", "-m", "swarmd.bench.tether", str(os.getpid()), *argv]


def main(argv: Sequence[str]) -> int:
    """Never returns unless PROGRAM cannot be started (127) or PID has ended already (0)."""
    parent, *program = argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # it outlives exec
    if os.getppid() != int(parent):
        return 0
    try:
        os.execvp(program[0], program)  # noqa: S606 - a fixed argument list
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
