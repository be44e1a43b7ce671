"""A limit on processes for root, whom the kernel's per-user limit does not bind.

Best effort: where no group can be made (a container with a read-only /sys), only the runner's watch
and the kill of the whole namespace are left, which end a fork bomb after it was felt.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from swarmd.clock import short_id

__all__ = ["process_limit"]

ROOT = Path("/sys/fs/cgroup")


@contextmanager
def process_limit(most: int) -> Iterator[Path | None]:
    """A file that puts whoever writes "0" to it under a limit of ``most`` tasks, threads included.

    None for ordinary users, who have RLIMIT_NPROC, and where no control group can be made.
    """
    group = _make(most) if os.geteuid() == 0 else None
    try:
        yield group / "cgroup.procs" if group else None
    finally:
        if group:
            _remove(group)


def _make(most: int) -> Path | None:
    for parent in _parents():
        group = parent / f"swarmd-{short_id(12)}"
        try:
            group.mkdir()
        except OSError:  # read-only, or not ours
            continue
        try:
            (group / "pids.max").write_text(str(most))
        except OSError:
            _remove(group)
        else:
            return group
    return None


def _parents() -> list[Path]:
    """Our own group in the first version's tree of process limits, then those above us in the second's."""
    found: list[Path] = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own = path.lstrip("/")
            if "pids" in controllers.split(","):
                found.insert(0, ROOT / "pids" / own)
            elif not controllers:
                found += [folder for folder in ((ROOT / own), *(ROOT / own).parents) if _hands_down(folder)]
    return found


def _hands_down(folder: Path) -> bool:
    try:
        return "pids" in (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _remove(group: Path) -> None:
    for _ in range(100):
        try:
            group.rmdir()
        except FileNotFoundError:  # by the launcher, which also ends when the verifier is killed
            return
        except OSError:  # the kernel lets go of the dead a moment later
            time.sleep(0.005)
        else:
            return
