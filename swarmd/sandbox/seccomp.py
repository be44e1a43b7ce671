"""System-call filters: a small assembler for seccomp's classic BPF, and the three filters.

A filter lets everything pass but what a rule names. That is a weaker form than a list of what is
allowed, and the right one here: test suites of other people's projects must run, the namespaces
or Landlock do the confining, and the filter takes away the kernel's rarely used and dangerous
parts. Calls newer than the table are refused as unknown (ENOSYS), which programs fall back from.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from swarmd.sandbox.syscalls import AUDIT_ARCH, NEWEST, X32_BIT, number

__all__ = ["Arg", "Rule", "agent_rules", "assemble", "gate_rules", "socketless_rules"]

LOAD, JUMP_EQ, JUMP_GE, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NR_OFFSET, ARCH_OFFSET, ARGS_OFFSET = 0, 4, 16

CLONE_THREAD = 0x00010000
# NEWTIME NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
CLONE_NEW = 0x80 | 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_SEQPACKET, SOCK_NONBLOCK, SOCK_CLOEXEC = 1, 5, 0x800, 0x80000


@dataclass(frozen=True)
class Arg:
    """A condition on one argument's low 32 bits, which is all that the kernel reads of an int."""

    index: int
    test: Literal["in", "not in", "any bit of", "no bit of"]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """Refuse ``syscall`` with ``error`` (0: pretend that it worked), always or only ``when``."""

    syscall: str
    error: int = errno.EPERM
    when: Arg | None = None


def assemble(rules: Iterable[Rule], arch: str) -> bytes:
    """The filter program for ``arch``, as ``struct sock_filter`` entries, eight bytes each.

    Rules on one system call are tried in order. A caller of another architecture is killed: the
    numbers would mean other calls there.
    """
    by_number: dict[int, list[Rule]] = {}
    for rule in rules:
        nr = number(rule.syscall, arch)
        if nr is not None:
            by_number.setdefault(nr, []).append(rule)
    code = [
        _op(LOAD, ARCH_OFFSET),
        _op(JUMP_EQ, AUDIT_ARCH[arch], yes=1),
        _op(RETURN, KILL_PROCESS),
        _op(LOAD, NR_OFFSET),
        _op(JUMP_GE, X32_BIT, no=1),
        _op(RETURN, ERRNO | errno.ENOSYS),
        _op(JUMP_GE, NEWEST + 1, no=1),
        _op(RETURN, ERRNO | errno.ENOSYS),
    ]
    for nr, group in sorted(by_number.items()):
        block = [step for rule in group for step in _steps(rule)]
        if group[-1].when is not None:
            block.append(_op(RETURN, ALLOW))
        code += [_op(JUMP_EQ, nr, no=len(block)), *block]
    code.append(_op(RETURN, ALLOW))
    return b"".join(code)


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; ``yes`` and ``no`` say how many to leap over when its test holds or not."""
    return struct.pack("=HBBI", code, yes, no, value)


def _steps(rule: Rule) -> list[bytes]:
    refuse = _op(RETURN, ERRNO | rule.error)
    if rule.when is None:
        return [refuse]
    values, count = rule.when.values, len(rule.when.values)
    if rule.when.test in ("any bit of", "no bit of"):
        hit = rule.when.test == "any bit of"
        test = [_op(JUMP_SET, values[0], yes=0 if hit else 1, no=1 if hit else 0)]
    elif rule.when.test == "not in":
        test = [_op(JUMP_EQ, value, yes=count - at) for at, value in enumerate(values)]
    else:
        test = [_op(JUMP_EQ, value, yes=count - 1 - at) for at, value in enumerate(values[:-1])]
        test.append(_op(JUMP_EQ, values[-1], no=1))
    return [_op(LOAD, ARGS_OFFSET + 8 * rule.when.index), *test, refuse]


def _refuse(names: str, error: int = errno.EPERM) -> list[Rule]:
    return [Rule(name, error) for name in names.split()]


def _common() -> list[Rule]:
    """What neither a test suite nor an agent has any use for."""
    return [
        *_refuse("ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp"),
        *_refuse("mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick"),
        *_refuse("pidfd_getfd mount_setattr setns unshare name_to_handle_at open_by_handle_at fanotify_init"),
        *_refuse("bpf perf_event_open userfaultfd keyctl add_key request_key lookup_dcookie modify_ldt"),
        *_refuse("kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff"),
        *_refuse("settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname acct"),
        *_refuse("quotactl quotactl_fd syslog vhangup iopl ioperm uselib nfsservctl"),
        *_refuse("move_pages migrate_pages"),
        # io_uring makes system calls that no filter sees.
        *_refuse("io_uring_setup io_uring_enter io_uring_register", errno.ENOSYS),
        # Memory that no process's resident size shows would escape the memory limit.
        *_refuse("memfd_create memfd_secret shmget", errno.ENOSYS),
        # A filter cannot read clone3's arguments, which lie in memory; libc falls back to clone.
        Rule("clone3", errno.ENOSYS),
        Rule("clone", when=Arg(0, "any bit of", (CLONE_NEW,))),
        # Both type into the terminal; the other two aim a signal at any process.
        Rule("ioctl", when=Arg(1, "in", (TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP))),
        Rule("personality", when=Arg(0, "not in", (0, 0xFFFFFFFF))),
    ]


def gate_rules() -> list[Rule]:
    """For gates under bubblewrap, whose namespaces hide every other process and network.

    Sockets stay, for the loopback; of the address families only those that a network namespace
    confines: vsock, for one, would reach the machine's hypervisor.
    """
    families = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)
    return [*_common(), Rule("socket", errno.EAFNOSUPPORT, Arg(0, "not in", families))]


def _alone() -> list[Rule]:
    """No socket, and no hand on other processes of this user, where no namespace hides them."""
    flags = (0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC)
    streams = tuple(kind | flag for kind in (SOCK_STREAM, SOCK_SEQPACKET) for flag in flags)
    return [
        *_refuse("socket connect bind listen accept accept4", errno.EACCES),
        # A datagram pair can still send to any unix socket by name; a stream pair cannot.
        Rule("socketpair", errno.EACCES, Arg(1, "not in", streams)),
        Rule("prlimit64", when=Arg(0, "not in", (0,))),
        Rule("setpriority", when=Arg(0, "not in", (0,))),
        Rule("setpriority", when=Arg(1, "not in", (0,))),
        Rule("ioprio_set", when=Arg(0, "not in", (1,))),
        Rule("ioprio_set", when=Arg(1, "not in", (0,))),
        *[Rule(f"sched_{what}", when=Arg(0, "not in", (0,))) for what in _SCHEDULING],
        Rule("fcntl", when=Arg(1, "in", (F_SETOWN, F_SETSIG, F_SETOWN_EX))),
        *_refuse("shmat semget msgget mq_open", errno.ENOSYS),
    ]


_SCHEDULING = ("setaffinity", "setattr", "setparam", "setscheduler")
_OWNERSHIP = "chown fchown lchown fchownat"
_MODES = "chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat"
_LABELS = "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"


def socketless_rules(*, signals_scoped: bool) -> list[Rule]:
    """For gates under Landlock, which guards neither file modes nor, before ABI 6, signals.

    A change of mode or time reports success and does nothing: to refuse it would break every
    ``shutil.copy``, to allow it would let tests make the user's files unreadable.
    """
    return [
        *_common(),
        *_alone(),
        *_refuse(_OWNERSHIP),
        *_refuse(_MODES, 0),
        *_refuse(_LABELS, errno.ENOTSUP),
        *([] if signals_scoped else _signals(0)),
    ]


def agent_rules(pid: int) -> list[Rule]:
    """For the agent with process id ``pid``: its inherited sockets, its files, and nothing else.

    It may start threads, but no process and no program; its signals reach only itself.
    """
    common = [rule for rule in _common() if rule.syscall != "clone"]
    return [
        *common,
        *[rule for rule in _alone() if rule.syscall != "socketpair"],
        *_refuse("socketpair", errno.EACCES),
        *_refuse("execve execveat fork vfork truncate inotify_add_watch"),
        *_refuse(f"{_OWNERSHIP} {_MODES} {_LABELS}"),
        Rule("clone", when=Arg(0, "no bit of", (CLONE_THREAD,))),
        Rule("clone", when=Arg(0, "any bit of", (CLONE_NEW,))),
        *_signals(pid),
    ]


def _signals(pid: int) -> Sequence[Rule]:
    """Only ``kill`` and ``tgkill`` with ``pid`` (0: the caller's own process group) remain."""
    return [
        Rule("kill", when=Arg(0, "not in", (pid,))),
        Rule("tgkill", when=Arg(0, "not in", (pid,))),
        *_refuse("tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal"),
    ]
