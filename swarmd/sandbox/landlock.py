"""Landlock: the kernel's own sandbox for file access, which needs no privilege and no program.

Only the rights that the running kernel knows are asked for. What it does not know it does not
guard: no version before 10 guards UDP, none before 9 unix sockets in the file system, and none
guards a file's mode. The filters in ``seccomp`` close these.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from swarmd.errors import SandboxError

__all__ = [
    "ABI_SCOPES",
    "EXECUTE",
    "MAKE_FIFO",
    "MAKE_SOCK",
    "MAKE_SYM",
    "READ",
    "WRITE",
    "WRITE_FILE",
    "abi",
    "ruleset",
]

SYS_CREATE_RULESET, SYS_ADD_RULE = 444, 445  # equal on every architecture
RULE_PATH_BENEATH = 1
ABI_SCOPES = 6
NEWEST_ABI = 7

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
TRUNCATE = 1 << 14
MAKE_CHAR, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 6, 1 << 9, 1 << 10, 1 << 11, 1 << 12
IOCTL_DEV = 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR
WRITE = ((1 << 15) - 1) & ~(EXECUTE | READ | MAKE_CHAR | MAKE_BLOCK)
"""Write, create (no devices), rename, truncate and remove."""


def _rights(version: int) -> tuple[int, int, int]:
    """All file rights, network rights and scopes that ABI ``version`` knows."""
    files = (1 << 13) - 1
    for introduced, right in ((2, 1 << 13), (3, TRUNCATE), (5, IOCTL_DEV)):
        files |= right if version >= introduced else 0
    return files, 0b11 if version >= 4 else 0, 0b11 if version >= ABI_SCOPES else 0


def abi() -> int:
    """The kernel's Landlock version, at most 7; 0 when it is absent or switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return min(max(int(version), 0), NEWEST_ABI)


def ruleset(grants: Iterable[tuple[Path, int]], *, version: int | None = None) -> int:
    """A descriptor of rules that allow ``grants`` (a path and rights beneath it) and nothing else.

    TCP, and from ABI 6 on abstract unix sockets and signals to processes outside, are refused
    with it. A path that does not exist is left out. The caller closes the descriptor. ``version``
    is for tests: behave as on an older kernel. Raises SandboxError.
    """
    version = abi() if version is None else version
    if version < 1:
        raise SandboxError(
            "this kernel has no Landlock",
            code="E-SANDBOX-LANDLOCK",
            hint="Use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and landlock among lsm=.",
        )
    handled = _rights(version)
    attributes = struct.pack("=QQQ", *handled)[: 8 if version < 4 else 16 if version < ABI_SCOPES else 24]
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(SYS_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if fd < 0:
        raise SandboxError(f"Landlock refused the rules: {os.strerror(ctypes.get_errno())}")
    try:
        for path, rights in grants:
            _allow(libc, fd, path, rights & handled[0])
    except BaseException:
        os.close(fd)
        raise
    return int(fd)


def _allow(libc: ctypes.CDLL, ruleset_fd: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SandboxError(f"{path} cannot be opened for the sandbox: {error.strerror}") from error
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= ON_FILES
        rule = struct.pack("=Qi", rights, fd)
        if libc.syscall(SYS_ADD_RULE, ruleset_fd, RULE_PATH_BENEATH, rule, ctypes.c_uint32(0)):
            reason = os.strerror(ctypes.get_errno())
            raise SandboxError(f"Landlock refused the rule for {path}: {reason}")
    finally:
        os.close(fd)
