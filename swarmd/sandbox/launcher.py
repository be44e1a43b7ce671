"""The process between a verifier and what it runs: ``python -I -S launcher.py PLAN_FD``.

It exists for four reasons. It is single-threaded, so what it forks may run Python before the exec.
Its main thread lives as long as the run, so a parent-death signal means what it says. It adopts
orphans (subreaper), so a process that daemonises is still found and ended. And it ends everything
when its lifeline, a pipe that only the verifier holds open, closes: also after ``kill -9`` of the
verifier.

It is run by its path and must start fast: standard library only, and nothing of that which is slow.
"""

# ruff: noqa: PTH106, PTH120, PTH123, PTH208 - pathlib would double the time that it takes to start

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

__all__ = ["REPORT_FD", "descendants", "lock_down", "main"]

REPORT_FD, FILTER_FD, STATUS_FD, OPTIONS_FD = 3, 4, 5, 6
"""Where the started program finds its descriptors; all but the first are for bubblewrap only."""

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
SECCOMP_MODE_FILTER, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
SYS_LANDLOCK_RESTRICT_SELF = 446
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWPID = 0x20000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    if _libc().prctl(option, *map(ctypes.c_ulong, (value, pointer, 0, 0))):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def lock_down(ruleset: int, program: bytes) -> None:
    """Confine the calling thread for good: no capability, Landlock ``ruleset``, seccomp ``program``.

    Raises OSError naming the step that the kernel refused.
    """
    _drop_capabilities()
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if _libc().syscall(SYS_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)):
        number = ctypes.get_errno()
        raise OSError(number, f"landlock_restrict_self: {os.strerror(number)}")
    steps = ctypes.create_string_buffer(program, len(program))
    filled = _Program(len(program) // 8, ctypes.addressof(steps))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filled))


def _drop_capabilities() -> None:
    """Make root an ordinary user who happens to own root's files."""
    with suppress(OSError):  # ends at the first capability that the kernel does not know
        for capability in range(64):
            _prctl(PR_CAPBSET_DROP, capability)
    with suppress(OSError):  # Linux before 4.3
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if _libc().capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)):
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


def descendants(pid: int, most: int = 1 << 20) -> list[int]:
    """The processes below ``pid``; the search ends once it has found more than ``most``.

    One that is being forked or re-parented may be missed: ask again.
    """
    found: list[int] = []
    queue = [pid]
    while queue and len(found) <= most:
        children = _children(queue.pop())
        found += children
        queue += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):  # it may end at any time
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
    return children


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _end_all() -> None:
    """Kill and reap until nothing is left. Orphans come to us, so "no child" means "no descendant".

    Children first: the one that holds a process namespace takes all the others with it.
    """
    while True:
        _signal(_children(os.getpid()), signal.SIGKILL)
        _signal(descendants(os.getpid()), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _reap(child: int) -> int | None:
    """Reap what has ended; the wait status of ``child`` when it is among that."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return status
            if not pid:
                return None
    except ChildProcessError:
        return None


def _exit_code(status: int) -> int:
    """As a shell has it: 128 and the signal's number for a program that a signal ended."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def main() -> None:
    """Run the plan on descriptor ``argv[1]``, report how it ended, leave nothing running."""
    with open(int(sys.argv[1]), "rb") as file:
        plan = marshal.loads(file.read())  # noqa: S302 - written by our own parent into a memfd
    fds = {name: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for name, fd in plan["fds"].items()}
    for fd in plan["fds"].values():
        os.close(fd)
    try:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        if plan["pid_namespace"] and _libc().unshare(CLONE_NEWPID):
            plan["pid_namespace"] = False  # as in a container: the kill of one after the other must do
        child = os.fork()
    except OSError as error:
        os.write(fds["status"], f"error {error}\n".encode())
        return
    if child == 0:
        (_be_init if plan["pid_namespace"] else _become)(plan, fds)
    os.write(fds["status"], _supervise(child, plan, fds["lifeline"], woken))


def _supervise(child: int, plan: dict[str, Any], lifeline: int, woken: int) -> bytes:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(woken, select.POLLIN)
    status = None
    while status is None:
        if lifeline in dict(poll.poll()):
            break
        with suppress(BlockingIOError):
            os.read(woken, 4096)
        status = _reap(child)
    _end_all()
    _clean_up(plan, ended=status is None)
    return b"ended\n" if status is None else f"exit {_exit_code(status)}\n".encode()


def _clean_up(plan: dict[str, Any], *, ended: bool) -> None:
    """Remove what the verifier made for the run, in case it was itself killed."""
    for _ in range(100 if plan["process_group"] else 0):
        try:
            os.rmdir(os.path.dirname(plan["process_group"]))
        except FileNotFoundError:
            break
        except OSError:  # the kernel lets go of the dead a moment later
            time.sleep(0.002)
        else:
            break
    if ended and plan["private"]:
        import shutil  # slow to load, so only when it is needed

        shutil.rmtree(plan["private"], ignore_errors=True)


def _be_init(plan: dict[str, Any], fds: dict[str, int]) -> NoReturn:
    """Process 1 of a process namespace: when it exits, the kernel kills all that is in there."""
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value)
        target = os.fork()
        if target == 0:
            _become(plan, fds)
        signal.set_wakeup_fd(-1)
        os.closerange(0, 1 << 16)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == target:
                os._exit(_exit_code(status))
    finally:
        os._exit(126)


def _become(plan: dict[str, Any], fds: dict[str, int]) -> NoReturn:
    """Turn this process into the program."""
    try:
        _prepare(plan, fds)
        try:
            os.execvpe(plan["argv"][0], plan["argv"], plan["env"])  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(2, f"{plan['argv'][0]}: {error.strerror}\n".encode())
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    except BaseException as error:
        os.write(fds["status"], f"error {error}\n".encode())
    finally:
        os._exit(126)


def _prepare(plan: dict[str, Any], fds: dict[str, int]) -> None:
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    os.chdir(plan["cwd"])
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when memory runs out, this goes first
    if plan["process_group"]:
        with open(plan["process_group"], "w") as file:
            file.write("0")
    for limit, most in plan["rlimits"].items():
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    os.dup2(fds["report"], REPORT_FD)
    if plan["bwrap"]:
        os.dup2(fds["filter"], FILTER_FD)
        os.dup2(fds["status"], STATUS_FD)
        os.dup2(fds["options"], OPTIONS_FD)
    else:
        lock_down(fds["ruleset"], plan["filter"])


if __name__ == "__main__":
    main()
