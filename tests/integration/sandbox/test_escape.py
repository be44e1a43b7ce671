"""Programs that try to get out, on both sandboxes. What counts is what happened outside."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .conftest import Box

TRY = """
import ctypes, json, os, sys
told = {}
def attempt(name, function):
    try:
        told[name] = repr(function())
    except BaseException as error:
        told[name] = f"refused: {error}"
def tell():
    print(json.dumps(told))
"""


def attempts(box: Box, program: str, *arguments: object) -> dict[str, str]:
    completed = box.python(TRY + program + "\ntell()", *arguments)
    assert completed.exit_code == 0, completed.output
    told: dict[str, str] = json.loads(completed.output)
    assert told
    return told


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the checkout, as the home with its keys is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "key").write_text("s3cr3t-key")
    (folder / "key").chmod(0o600)
    return folder


def test_nothing_outside_can_be_read(box: Box, outside: Path) -> None:
    (box.checkout / "link").symlink_to(outside / "key")
    told = attempts(
        box,
        """
key = sys.argv[1]
for path in (key, "link", f"/proc/self/root{key}", f"/proc/1/root{key}", f"/proc/{sys.argv[2]}/root{key}",
             f"../outside/key", "/etc/shadow", "/root/.bashrc", "/proc/kcore", "/dev/mem", "/dev/kmsg",
             f"/proc/{sys.argv[2]}/environ", f"/proc/{sys.argv[2]}/mem", f"/proc/{sys.argv[2]}/cmdline",
             "/sys/kernel", "/run", "/var/lib"):
    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100))
attempt("hard link", lambda: (os.link(key, "hard"), open("hard").read()))
attempt("home", lambda: os.listdir(os.path.dirname(os.path.dirname(key))))
""",
        outside / "key",
        os.getpid(),
    )
    assert {name: came for name, came in told.items() if not came.startswith("refused")} == {}
    assert "s3cr3t" not in str(told)


def test_no_process_in_sight_tells_host_paths(box: Box) -> None:
    completed = box.python("""
        import glob
        for path in glob.glob("/proc/[0-9]*/*"):
            try:
                print(path, open(path, "rb").read(1 << 16))
            except OSError:
                continue
        """)
    assert completed.exit_code == 0
    if box.level == "bwrap":
        assert b"cmdline" in completed.output, "it sees its own processes"
    mounts = [line for line in completed.output.splitlines() if b"/mount" not in line.split(b" ")[0]]
    assert str(box.checkout).encode() not in b"".join(mounts)


def test_nothing_outside_can_be_changed(box: Box, outside: Path, tmp_path: Path) -> None:
    (box.checkout / "link").symlink_to(outside / "key")
    (box.checkout / "folder").symlink_to(outside)
    before = (outside / "key").stat()
    attempts(
        box,
        """
out = sys.argv[1]
for name, function in {
    "new": lambda: open(out + "/new", "w"),
    "over": lambda: open(out + "/key", "w"),
    "link": lambda: open("link", "w"),
    "folder": lambda: open("folder/new", "w"),
    "truncate": lambda: os.truncate(out + "/key", 0),
    "rename in": lambda: (open("mine", "w").close(), os.rename("mine", out + "/key")),
    "rename out": lambda: os.rename(out + "/key", "stolen"),
    "hard link": lambda: (os.link(out + "/key", "hard"), open("hard", "w")),
    "unlink": lambda: os.unlink(out + "/key"),
    "rmdir": lambda: os.rmdir(out),
    "mkdir": lambda: os.mkdir(out + "/d"),
    "symlink": lambda: os.symlink("/etc", out + "/s"),
    "mkfifo": lambda: os.mkfifo(out + "/f"),
    "chmod": lambda: os.chmod(out + "/key", 0o777),
    "chmod link": lambda: os.chmod("link", 0o777),
    "chmod folder": lambda: os.chmod(out, 0o777),
    "chown": lambda: os.chown(out + "/key", 12, 12),
    "utime": lambda: os.utime(out + "/key", (1, 1)),
    "setxattr": lambda: os.setxattr(out + "/key", "user.x", b"x"),
    "sysctl": lambda: open("/proc/sys/kernel/core_pattern", "w").write("|/x"),
    "sysrq": lambda: open("/proc/sysrq-trigger", "w").write("h"),
    "usr": lambda: open("/usr/bin/evil", "w"),
    "etc": lambda: open("/etc/evil", "w"),
    "root": lambda: open("/evil", "w"),
    "shm": lambda: open("/dev/shm/swarmd-evil", "w"),
}.items():
    attempt(name, function)
""",
        outside,
    )
    after = (outside / "key").stat()
    assert (outside / "key").read_text() == "s3cr3t-key"
    assert sorted(path.name for path in outside.iterdir()) == ["key"]
    same = ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_nlink", "st_ino", "st_size")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert outside.stat().st_mode & 0o777 != 0o777
    for path in ("/usr/bin/evil", "/etc/evil", "/evil", "/dev/shm/swarmd-evil"):
        assert not Path(path).exists(), path


@pytest.fixture
def listeners() -> Iterator[dict[str, socket.socket]]:
    """Something to reach, of every kind, outside."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmd-"))
        found: dict[str, socket.socket] = {}
        for name, family, kind, address in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("path", socket.AF_UNIX, socket.SOCK_STREAM, f"{folder}/s"),
            ("datagram", socket.AF_UNIX, socket.SOCK_DGRAM, f"{folder}/d"),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0swarmd-test-{os.getpid()}"),
            ("abstract datagram", socket.AF_UNIX, socket.SOCK_DGRAM, f"\0swarmd-test-d-{os.getpid()}"),
        ):
            sock = stack.enter_context(socket.socket(family, kind))
            sock.bind(address)
            if kind == socket.SOCK_STREAM:
                sock.listen()
            sock.setblocking(False)
            found[name] = sock
        yield found


def test_no_listener_outside_can_be_reached(box: Box, listeners: dict[str, socket.socket]) -> None:
    attempts(
        box,
        """
import socket
tcp, udp, path, datagram, pid = sys.argv[1:6]
def send(family, kind, address, protocol=0):
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(1)
        return sock.sendto(b"x", address) if kind == socket.SOCK_DGRAM else sock.connect(address)
local = ("127.0.0.1", int(tcp))
attempt("tcp", lambda: send(socket.AF_INET, socket.SOCK_STREAM, local))
attempt("mptcp", lambda: send(socket.AF_INET, socket.SOCK_STREAM, local, 262))
attempt("tcp6", lambda: send(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", int(tcp))))
attempt("udp", lambda: send(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", int(udp))))
attempt("path", lambda: send(socket.AF_UNIX, socket.SOCK_STREAM, path))
attempt("datagram", lambda: send(socket.AF_UNIX, socket.SOCK_DGRAM, datagram))
attempt("abstract", lambda: send(socket.AF_UNIX, socket.SOCK_STREAM, f"\\0swarmd-test-{pid}"))
attempt("abstract datagram", lambda: send(socket.AF_UNIX, socket.SOCK_DGRAM, f"\\0swarmd-test-d-{pid}"))
for name, address in (("datagram", datagram), ("abstract datagram", f"\\0swarmd-test-d-{pid}")):
    pair = lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    attempt("pair " + name, lambda: pair()[0].sendto(b"x", address))
attempt("stream pair", lambda: socket.socketpair()[0].connect(path))
""",
        listeners["tcp"].getsockname()[1],
        listeners["udp"].getsockname()[1],
        listeners["path"].getsockname(),
        listeners["datagram"].getsockname(),
        os.getpid(),
    )
    for name, sock in listeners.items():
        with pytest.raises(BlockingIOError):  # nothing arrived
            sock.recv(10) if sock.type == socket.SOCK_DGRAM else sock.accept()
        assert sock, name


def test_addresses_beyond_this_machine_cannot_be_reached(box: Box) -> None:
    told = attempts(
        box,
        """
import socket
def send(family, kind, address, protocol=0):
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(1)
        return sock.sendto(b"x", address) if kind == socket.SOCK_DGRAM else sock.connect(address)
attempt("tcp", lambda: send(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 443)))
attempt("udp", lambda: send(socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53)))
attempt("name", lambda: socket.getaddrinfo("example.com", 443))
attempt("hypervisor", lambda: send(40, socket.SOCK_STREAM, (2, 1024)))
attempt("packet", lambda: socket.socket(17, socket.SOCK_RAW))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("kernel crypto", lambda: socket.socket(38, socket.SOCK_SEQPACKET))
""",
    )
    assert {name: came for name, came in told.items() if not came.startswith("refused")} == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls by x86_64's numbers")
def test_the_kernels_dangerous_calls_are_refused(box: Box) -> None:
    told = attempts(
        box,
        """
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    came = libc.syscall(number, *(ctypes.c_long(value) for value in arguments))
    return came, os.strerror(ctypes.get_errno())
EPERM, ENOSYS = os.strerror(1), os.strerror(38)
for name, number, *arguments in (
    ("ptrace", 101, 0, 0, 0, 0), ("mount", 165, 0, 0, 0, 0, 0), ("umount2", 166, 0, 0),
    ("unshare", 272, 0x10000000),
    ("setns", 308, 0, 0), ("keyctl", 250, 0, -4), ("add_key", 248, 0, 0, 0, 0, -4), ("bpf", 321, 0, 0, 0),
    ("perf_event_open", 298, 0, 0, -1, -1, 0), ("userfaultfd", 323, 0), ("io_uring_setup", 425, 1, 0),
    ("memfd_create", 319, 0, 0), ("kexec_load", 246, 0, 0, 0, 0), ("open_by_handle_at", 304, 0, 0, 0),
    ("pidfd_getfd", 438, 0, 0, 0), ("fsopen", 430, 0, 0), ("open_tree", 428, -100, 0, 0),
    ("clone newuser", 56, 0x10000000 | 17, 0, 0, 0, 0), ("clone3", 435, 0, 0), ("chroot", 161, 0),
    ("ioctl TIOCSTI", 16, 0, 0x5412, 0), ("shmget", 29, 0, 4096, 0o1600),
    ("process_vm_readv", 310, 1, 0, 0, 0, 0, 0),
    ("newer than known", 463, 0, 0, 0, 0, 0, 0), ("x32", 0x40000000 | 39,),
):
    came, why = call(number, *arguments)
    told[name] = "refused" if came == -1 and why in (EPERM, ENOSYS) else f"{came} {why}"
""",
    )
    assert {name: came for name, came in told.items() if came != "refused"} == {}


def test_other_processes_cannot_be_touched(box: Box) -> None:
    pid, limits = os.getpid(), os.sched_getaffinity(0)
    nice = os.getpriority(os.PRIO_PROCESS, pid)
    told = attempts(
        box,
        """
import resource
pid = int(sys.argv[1])
attempt("kill", lambda: os.kill(pid, 0))
attempt("kill parent", lambda: os.kill(os.getppid(), 9) if os.getppid() > 1 else 1 / 0)
attempt("kill group", lambda: os.killpg(pid, 0))
attempt("prlimit", lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)))
attempt("renice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
attempt("affinity", lambda: os.sched_setaffinity(pid, {0}))
attempt("pidfd", lambda: __import__("signal").pidfd_send_signal(os.pidfd_open(pid), 0))
import fcntl
def own():
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, pid)
attempt("own", own)
""",
        pid,
    )
    assert {name: came for name, came in told.items() if not came.startswith("refused")} == {}
    assert os.sched_getaffinity(0) == limits
    assert os.getpriority(os.PRIO_PROCESS, pid) == nice


def test_root_has_no_capability_and_cannot_regain_one(box: Box) -> None:
    completed = box.python("""
        import ctypes, subprocess
        libc = ctypes.CDLL(None)
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, data) == 0
        print(list(data))
        print([libc.prctl(23, n, 0, 0, 0) for n in range(38)].count(1))
        print(libc.prctl(39, 0, 0, 0, 0))
        """)
    held, could_hold, no_new_privileges = completed.output.split(b"\n")[:3]
    assert held == b"[0, 0, 0, 0, 0, 0]"
    assert no_new_privileges == b"1"
    assert could_hold == b"0" or os.geteuid() != 0, "only root can drop what it could hold"


def test_git_metadata_in_the_checkout_cannot_be_rewritten_under_bubblewrap(bubblewrap: Box) -> None:
    """Landlock cannot take back a part of what it grants; that is why checkouts carry no .git."""
    box = bubblewrap
    (box.checkout / ".git").mkdir()
    (box.checkout / ".git/config").write_text("mine")
    attempts(
        box,
        """
import shutil
attempt("write", lambda: open(".git/config", "w"))
attempt("hook", lambda: open(".git/hook", "w"))
attempt("move", lambda: os.rename(".git", "git"))
attempt("remove", lambda: shutil.rmtree(".git"))
""",
    )
    assert (box.checkout / ".git/config").read_text() == "mine"
    assert [path.name for path in (box.checkout / ".git").iterdir()] == ["config"]


def test_the_memory_that_is_in_no_process_is_bounded_under_bubblewrap(bubblewrap: Box) -> None:
    box = bubblewrap
    told = attempts(
        box,
        """
for path in ("/x", "/dev/x", "/src/x", "/etc/x", "/tmp/home/../../x"):
    attempt(path, lambda: open(path, "w"))
""",
    )
    assert {name: came for name, came in told.items() if not came.startswith("refused")} == {}
    sizes = box.python(
        "import os; print([os.statvfs(p).f_blocks * os.statvfs(p).f_frsize >> 20"
        " for p in ('/tmp', '/dev/shm')])"
    )
    assert sizes.output == b"[512, 256]\n"
