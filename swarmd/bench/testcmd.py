"""``python -m swarmd.bench.testcmd …``: pytest on the current folder, in the sandbox.

Another agent is given it as ``pytest``: what its model writes runs confined as swarmd's does. When
$SWARMD_BENCH_GATES names a file, a line with begin, end and exit status is added to it.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from swarmd.bench.judge import environment, sandbox_mounts
from swarmd.errors import SwarmdError
from swarmd.sandbox import Limits, choose

__all__ = ["LOG", "main", "read_log"]

LOG = "SWARMD_BENCH_GATES"
LIMITS = Limits(seconds=60.0, memory_mib=1024, processes=64, file_mib=16)
TIMEOUT_STATUS = 124
_DURATION = re.compile(rb" in \d+\.\d+s\b(?: \([\d:]+\))?")
"""It goes into the other agent's next prompt: with it, no two runs would ask the same."""


def main(arguments: Sequence[str]) -> int:
    """pytest's exit status; 124: it was ended by a limit; 2: there is no sandbox."""
    begun = time.time()
    try:
        sandbox = choose("auto")
        completed = sandbox.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            mounts=sandbox_mounts(sandbox, Path.cwd()),
            limits=LIMITS,
            env=environment(),
        )
    except SwarmdError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(_DURATION.sub(b" in 0.00s", completed.output))
    if completed.limit:
        print(f"the tests were ended: {completed.limit}")
    status = TIMEOUT_STATUS if completed.exit_code is None else completed.exit_code
    _note(begun, time.time(), status)
    return status


def _note(begun: float, ended: float, status: int) -> None:
    path = os.environ.get(LOG)
    if path:
        with suppress(OSError), Path(path).open("a") as file:
            file.write(f"{begun} {ended} {status}\n")


def read_log(path: Path) -> list[tuple[float, float, int]]:
    """Begin, end and exit status of each run; nothing when there was none."""
    found = []
    with suppress(OSError):
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                begun, ended, status = line.split()
                found.append((float(begun), float(ended), int(status)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
