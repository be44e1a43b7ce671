"""Confinement of an agent: called in its own process, after the fork, and never undone."""

from __future__ import annotations

import os
import resource
import socket
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from swarmd.errors import SandboxError
from swarmd.sandbox import landlock, launcher
from swarmd.sandbox.seccomp import agent_rules, assemble
from swarmd.sandbox.syscalls import machine

__all__ = ["confine"]

PACKAGE = Path(__file__).resolve().parents[1]
SHARED_DATA = (
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
)


def confine(*, read: Sequence[Path], write: Sequence[Path]) -> str:
    """Take away from this process all that an agent has no use for; the level's name comes back.

    It can read ``read``, ``write``, and what Python imports from; change files in ``write`` (no
    symlinks); use the sockets that it holds. It cannot make or reach a socket, start a process or
    a program, signal, trace or limit another process, or change a file's mode. Raises SandboxError
    when the kernel cannot do it all, or the process has more than one thread.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:  # both mechanisms bind only the calling thread
        raise SandboxError(f"a process with {threads} threads cannot be confined")
    program = assemble(agent_rules(os.getpid()), machine())
    rules = landlock.ruleset(_grants(read, write))
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        launcher.lock_down(rules, program)
    except OSError as error:
        raise SandboxError(f"an agent cannot be confined: {error}", code="E-SANDBOX-AGENT") from error
    finally:
        os.close(rules)
    _prove()
    return f"landlock-abi{landlock.abi()}+seccomp"


def _grants(read: Sequence[Path], write: Sequence[Path]) -> list[tuple[Path, int]]:
    change = landlock.READ | (landlock.WRITE & ~(landlock.MAKE_SYM | landlock.MAKE_SOCK | landlock.MAKE_FIFO))
    return [
        *((path, landlock.READ) for path in (*_python_folders(), *map(Path, SHARED_DATA), *read)),
        *((Path("/dev") / name, landlock.READ | landlock.WRITE_FILE) for name in ("null", "urandom")),
        *((path, change) for path in write),
    ]


def _python_folders() -> list[Path]:
    """The standard library, installed packages and this package.

    Not all of sys.path: a source checkout that is its own home stands there with its keys.
    """
    found = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    shared = Path(sys.base_prefix) / "lib"  # conda keeps there what extension modules load
    installed = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return [PACKAGE, shared, *{*installed, *(Path(found[name]) for name in names)}]


def _prove() -> None:
    """The kernel said yes; see that it meant it."""
    try:
        socket.socket().close()
    except OSError:
        pass
    else:
        raise SandboxError("the confinement does not hold: a socket could be made")
    try:
        os.close(os.open("/etc/passwd", os.O_RDONLY))
    except OSError:
        return
    raise SandboxError("the confinement does not hold: /etc/passwd could be read")
