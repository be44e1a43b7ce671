"""A network namespace of one's own: a process that enters it has no network at all.

Not even the loopback interface is up in there. What stays reachable are unix sockets that have a path, and
whatever was open before. Files, devices (a GPU) and the user's own identity stay as they are; only root in a
container loses what it could do to users that the container does not know.

It costs 1 ms: two system calls in the calling process (a program that is started in one by bubblewrap takes
4 ms more). ``python -m swarmd.models.netns`` tries it and says what came of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["IsolationError", "enter", "main", "why_not"]

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_V3 = 0x20080522
OF_FILES = (0, 1, 2, 3, 5)
"""CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL: what root needs for files and children of its own."""

PROC = Path("/proc/self")
TRY_S = 10.0
FIX = "Allow user namespaces: kernel.apparmor_restrict_unprivileged_userns=0, or a profile for this Python."


class IsolationError(OSError):
    """The system does not allow it. Nothing has changed for the process then."""


def enter() -> None:
    """Move this process, which must have one thread, into a network namespace of its own, for good.

    It is in a user namespace, too, in which everybody keeps the number they have; it keeps no privilege by
    which it could come back. Raises IsolationError when the system does not allow it.
    """
    if not sys.platform.startswith("linux"):
        raise IsolationError(f"there are no network namespaces on {sys.platform}")
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - user namespaces want one thread
        raise IsolationError("the process has more than one thread")
    _try()
    before = (PROC / "ns/net").stat().st_ino
    _separate()
    _shed()
    routes = (PROC / "net/route").read_text().splitlines()[1:]
    if (PROC / "ns/net").stat().st_ino == before or routes:
        raise IsolationError("the kernel said yes, and there is a network all the same")


def why_not() -> str | None:
    """Why a process here cannot have a namespace of its own; None: it can. Tried in another process."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "swarmd.models.netns"],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRY_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stdout.strip() or "it could not be tried"


def _try() -> None:
    """Do it in a child first: a half-made move cannot be taken back."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _separate()
            code = 0
        except OSError as error:
            code = min(error.errno or 1, 255)
        finally:
            os._exit(code)
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        reason = os.strerror(code) if code > 0 else f"signal {-code}"
        raise IsolationError(f"user and network namespaces are not allowed here: {reason}")


def _separate() -> None:
    """Unshare, and give everybody in the new user namespace the number that they have outside."""
    uid, gid = os.geteuid(), os.getegid()
    helper = _mapper() if uid == 0 else None
    try:
        _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET))
    except OSError:
        if helper:
            os.kill(helper[0], signal.SIGKILL)
        raise
    finally:
        if helper:
            os.close(helper[1])
            mapped = os.waitpid(helper[0], 0)[1] == 0
    if not (helper and mapped):  # an ordinary user may give only the own number
        (PROC / "setgroups").write_text("deny")
        (PROC / "uid_map").write_text(f"{uid} {uid} 1")
        (PROC / "gid_map").write_text(f"{gid} {gid} 1")


def _mapper() -> tuple[int, int]:
    """A child that, as soon as the returned descriptor is closed, maps all users and groups of this
    process's namespace: only root outside of the new one may do that, and without it root could not read
    what belongs to others. Its pid, and that descriptor."""
    target, numbers = Path(f"/proc/{os.getpid()}"), {}
    for name in ("uid_map", "gid_map"):
        lines = (line.split() for line in (PROC / name).read_text().splitlines())
        numbers[name] = "".join(f"{inside} {inside} {count}\n" for inside, _, count in lines)
    begin, hold = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(hold)
            os.read(begin, 1)
            for name, text in numbers.items():
                (target / name).write_text(text)
            code = 0
        except OSError:
            code = 1
        finally:
            os._exit(code)
    os.close(begin)
    return child, hold


def _shed() -> None:
    """Give up every capability but those for files, for this process and all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    kept = sum(1 << number for number in OF_FILES) if os.geteuid() == 0 else 0
    header = (ctypes.c_uint32 * 2)(CAPABILITY_V3, 0)
    held = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; then 32 to 63
    _check(libc.capset(header, held))


def _check(came: int) -> None:
    if came != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> int:
    """Try it, and say why it cannot be. Exit status 0 when it can."""
    try:
        enter()
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
