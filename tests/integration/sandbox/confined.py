"""Run by test_confine.py in a process of its own: confine it, then try everything."""

from __future__ import annotations

import array
import ctypes
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from swarmd.sandbox import confine

read, write, outside, inherited = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
parent = os.getppid()
channel = socket.socket(fileno=inherited)
libc = ctypes.CDLL(None, use_errno=True)
fork = os.fork


def call(number: int, *arguments: int) -> int:
    """A system call by its x86_64 number."""
    came = libc.syscall(number, *(ctypes.c_long(value) for value in arguments))
    if came == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(came)


def forked() -> None:
    """Not a true exit in a child: it must not tell in our name."""
    if fork() == 0:
        os._exit(0)


def pass_descriptor() -> None:
    with (read / "snapshot.py").open("rb") as file:
        rights = array.array("i", [file.fileno()]).tobytes()
        channel.sendmsg([b"a descriptor"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def run_thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def replace() -> None:
    (write / "new.tmp").write_text("proposal")
    (write / "new.tmp").replace(write / "new.json")
    (write / "folder").mkdir()
    (write / "gone").touch()
    (write / "gone").unlink()


def import_late() -> None:
    import decimal
    import difflib
    import sqlite3  # a shared library of its own

    import pydantic

    assert decimal
    assert difflib
    assert sqlite3
    assert pydantic


MUST_WORK: dict[str, Callable[[], object]] = {
    "read the snapshot": lambda: (read / "snapshot.py").read_text(),
    "write the spool": replace,
    "read the spool": lambda: (write / "new.json").read_text(),
    "send": lambda: channel.sendall(b"hello"),
    "pass a descriptor": pass_descriptor,
    "thread": run_thread,
    "import": import_late,
    "random": lambda: os.urandom(8),
    "null": lambda: Path(os.devnull).write_text("x"),
    "signal oneself": lambda: os.kill(os.getpid(), 0),
}

MUST_FAIL: dict[str, Callable[[], object]] = {
    "read a key": lambda: (outside / "key").read_text(),
    "read through a symlink": lambda: (read / "link").read_text(),
    "list outside": lambda: list(outside.iterdir()),
    "list /": lambda: list(Path("/").iterdir()),
    "passwd": lambda: Path("/etc/passwd").read_text(),
    "the parent's environment": lambda: Path(f"/proc/{parent}/environ").read_text(),
    "the parent's command line": lambda: Path(f"/proc/{parent}/cmdline").read_text(),
    "the parent's memory": lambda: Path(f"/proc/{parent}/mem").write_bytes(b"x"),
    "write outside": lambda: (outside / "new").write_text("x"),
    "write the snapshot": lambda: (read / "snapshot.py").write_text("x"),
    "remove from the snapshot": lambda: (read / "snapshot.py").unlink(),
    "truncate outside": lambda: os.truncate(outside / "key", 0),
    "rename out": lambda: (write / "new.json").rename(outside / "new.json"),
    "hard link in": lambda: os.link(outside / "key", write / "hard"),
    "symlink": lambda: (write / "s").symlink_to("/etc"),
    "fifo": lambda: os.mkfifo(write / "f"),
    "chmod outside": lambda: (outside / "key").chmod(0o777),
    "chown outside": lambda: os.chown(outside / "key", 12, 12),
    "utime outside": lambda: os.utime(outside / "key", (1, 1)),
    "xattr outside": lambda: os.setxattr(outside / "key", "user.x", b"x"),
    "tcp": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[5]))),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "connect the inherited": lambda: channel.connect(str(outside / "socket")),
    "accept": lambda: channel.accept(),
    "listen": lambda: channel.listen(),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "execute by descriptor": lambda: os.execve(os.open("/usr/lib/os-release", os.O_RDONLY), ["x"], {}),
    "fork": forked,
    "vfork": lambda: call(58),
    "clone3": lambda: call(435, 0, 0),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "kill the parent": lambda: os.kill(parent, 0),
    "kill the group": lambda: os.kill(0, 0),
    "kill everyone": lambda: os.kill(-1, 0),
    "signal by descriptor": lambda: call(424, os.pidfd_open(parent), 0, 0, 0),
    "limit the parent": lambda: __import__("resource").prlimit(parent, 4, (0, 0)),
    "renice the parent": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "ptrace the parent": lambda: call(101, 16, parent, 0, 0),
    "read the parent's memory": lambda: call(310, parent, 0, 0, 0, 0, 0),
    "io_uring": lambda: call(425, 1, 0),
    "memfd": lambda: os.memfd_create("x"),
    "watch": lambda: call(254, 0, 0, 0),
    "unshare": lambda: call(272, 0x10000000),
    "keys": lambda: call(250, 0, -4, 0),
    "bpf": lambda: call(321, 0, 0, 0),
}


def came(function: Callable[[], object]) -> str:
    try:
        function()
    except OSError as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"raised {error!r}"
    return "worked"


if sys.argv[6:] == ["threads"]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
level = confine(read=[read], write=[write])
told = {
    "level": level,
    "must work": {name: came(function) for name, function in MUST_WORK.items()},
    "must fail": {name: came(function) for name, function in MUST_FAIL.items()},
}
print(json.dumps(told))
