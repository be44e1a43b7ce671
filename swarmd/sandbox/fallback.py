"""The second choice, where bubblewrap cannot be had: Landlock, a strict filter, resource limits.

It shows less of an illusion: the checkout stays at its own path, there is no loopback, no shared
memory under /dev/shm (so no ``multiprocessing.Lock``), and changes of file modes have no effect.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from swarmd.errors import SandboxError
from swarmd.sandbox import landlock, paths, runner
from swarmd.sandbox.cgroup import process_limit
from swarmd.sandbox.seccomp import assemble, socketless_rules
from swarmd.sandbox.spec import Completed, Limits, Mounts, nothing
from swarmd.sandbox.syscalls import machine

__all__ = ["LandlockSandbox"]

LEAST_ABI = 4
"""Older ones let files outside be truncated, or TCP through."""
DEVICES = ("null", "zero", "full", "random", "urandom")
PROC = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys/kernel/osrelease")


class LandlockSandbox:
    """Runs programs under Landlock and seccomp."""

    level = "landlock"

    def __init__(self) -> None:
        """Raises SandboxError where the kernel's Landlock is too old."""
        self._abi = landlock.abi()
        if self._abi < LEAST_ABI:
            raise SandboxError(
                f"this kernel's Landlock has version {self._abi}; a sandbox needs {LEAST_ABI}",
                code="E-SANDBOX-LANDLOCK",
                hint='Install bubblewrap ("apt-get install bubblewrap"), or use Linux 6.7 or newer.',
            )
        rules = socketless_rules(signals_scoped=self._abi >= landlock.ABI_SCOPES)
        self._filter = assemble(rules, machine())

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
        """See ``Sandbox.run``. Absolute paths under ``mounts.at`` in ``argv`` and ``env`` are moved."""
        paths.check(mounts)
        threads = limits.processes * runner.THREADS
        with (
            _private_folder() as private,
            _links(mounts),
            _ruleset(mounts, private) as rules,
            process_limit(threads) as group,
        ):
            moved = {name: _moved(value, mounts) for name, value in env.items()}
            launch = runner.Launch(
                level=self.level,
                argv=[_moved(word, mounts) for word in argv],
                cwd=mounts.root,
                env=runner.environment(moved, private / "home", private),
                limits=limits,
                rlimits={**runner.resource_limits(limits), resource.RLIMIT_NPROC: _own_threads() + threads},
                filter=self._filter,
                ruleset=rules,
                private=private,
                process_group=group,
                # Only root may make one just like that, and root needs it most (see cgroup).
                pid_namespace=os.geteuid() == 0,
                own_processes=1 if os.geteuid() == 0 else 0,
            )
            return runner.run(launch, secret=secret, on_wait=on_wait)


def _own_threads() -> int:
    """The threads that this user already has: the kernel counts them with those of the run."""
    own = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                if entry.stat().st_uid == os.geteuid():
                    own += Path(entry.path, "task").stat().st_nlink - 2
    return own


def _moved(text: str, mounts: Mounts) -> str:
    """``text`` with every path under ``mounts.at``, alone or in a list like PATH, at its real place."""
    at, root = str(mounts.at), str(mounts.root)
    parts = text.split(os.pathsep)
    return os.pathsep.join(
        root + part[len(at) :] if part == at or part.startswith(at + os.sep) else part for part in parts
    )


@contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"swarmd-run-{os.getpid()}-")).resolve()
    try:
        (folder / "home").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _links(mounts: Mounts) -> Iterator[None]:
    """Symlinks in the checkout, in the place of mounts over it."""
    made: list[Path] = []
    try:
        for host, place in paths.mount_points(mounts):
            if place.exists():
                raise SandboxError(
                    f"{place} exists, and only bubblewrap can lay {host} over it",
                    code="E-SANDBOX-MOUNT",
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(host)
            made.append(place)
        yield
    finally:
        for place in made:
            if place.is_symlink():
                place.unlink()


@contextmanager
def _ruleset(mounts: Mounts, private: Path) -> Iterator[int]:
    look = landlock.READ | landlock.EXECUTE
    change = look | landlock.WRITE
    grants = [
        *((Path(name), look) for name in ("/usr", *paths.SYSTEM_FOLDERS)),
        *((Path("/etc") / name, look) for name in paths.ETC),
        *((Path("/proc") / name, landlock.READ) for name in PROC),
        *((Path("/dev") / name, landlock.READ | landlock.WRITE) for name in DEVICES),
        *((host, look) for host, _ in mounts.read_only),
        (mounts.root, change if mounts.writable else look),
        (private, change),
    ]
    fd = landlock.ruleset(grants)
    try:
        yield fd
    finally:
        os.close(fd)
