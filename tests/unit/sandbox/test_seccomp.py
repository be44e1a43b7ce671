"""The filters, run by a small interpreter of classic BPF, as the kernel would run them."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.sandbox.seccomp import Arg, Rule, agent_rules, assemble, gate_rules, socketless_rules
from swarmd.sandbox.syscalls import AUDIT_ARCH, NEWEST, NUMBERS, number

ALLOW = "allow"
KILL = "kill"
ARCHES = sorted(AUDIT_ARCH)


def interpret(program: bytes, nr: int, *args: int, arch: int) -> str | int:
    """What the kernel would do: allow, kill, or the error number that the caller gets."""
    data = struct.pack(
        "=IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *(a & 0xFFFFFFFFFFFFFFFF for a in (*args, *[0] * 6)[:6])
    )
    steps = list(struct.iter_unpack("=HBBI", program))
    assert len(steps) <= 4096
    accumulator = at = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            kinds = {0x7FFF0000: ALLOW, 0x80000000: KILL}
            return value & 0xFFFF if value & 0xFFFF0000 == 0x00050000 else kinds[value]
        else:
            held = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += yes if held else no


def verdict(rules: list[Rule], name: str, *args: int, arch: str = "x86_64") -> str | int:
    nr = number(name, arch)
    assert nr is not None
    return interpret(assemble(rules, arch), nr, *args, arch=AUDIT_ARCH[arch])


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("rules", [gate_rules(), socketless_rules(signals_scoped=True), agent_rules(77)])
def test_every_filter_refuses_the_kernels_dangerous_parts(rules: list[Rule], arch: str) -> None:
    names = [
        "ptrace",
        "process_vm_writev",
        "mount",
        "umount2",
        "pivot_root",
        "move_mount",
        "fsopen",
        "open_tree",
        "setns",
        "unshare",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "memfd_create",
        "open_by_handle_at",
        "pidfd_getfd",
        "reboot",
        "swapon",
        "settimeofday",
        "clone3",
        "shmget",
    ]
    for name in names:
        assert verdict(rules, name, arch=arch) in (errno.EPERM, errno.ENOSYS), name
    assert verdict(rules, "ioctl", 0, 0x5412, arch=arch) == errno.EPERM
    assert verdict(rules, "ioctl", 0, 0x541C, arch=arch) == errno.EPERM
    assert verdict(rules, "ioctl", 0, 0x5401, arch=arch) == ALLOW
    for namespace in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(rules, "clone", namespace | 0x10000 | 17, arch=arch) == errno.EPERM, hex(namespace)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("rules", [gate_rules(), socketless_rules(signals_scoped=True), agent_rules(77)])
def test_unknown_and_foreign_calls_are_refused(rules: list[Rule], arch: str) -> None:
    program, here = assemble(rules, arch), AUDIT_ARCH[arch]
    assert interpret(program, NEWEST, arch=here) == ALLOW
    assert interpret(program, NEWEST + 1, arch=here) == errno.ENOSYS
    assert interpret(program, -1, arch=here) == errno.ENOSYS
    assert interpret(program, 0x40000000 | 41, arch=here) == errno.ENOSYS, "x32's socket()"
    i386 = 0x40000003
    assert interpret(program, 1, arch=i386) == KILL
    other = AUDIT_ARCH[next(name for name in ARCHES if name != arch)]
    assert interpret(program, 1, arch=other) == KILL


@pytest.mark.parametrize("arch", ARCHES)
def test_gates_under_bubblewrap_keep_loopback_sockets_but_not_the_hypervisors(arch: str) -> None:
    for family in (1, 2, 10, 16):
        assert verdict(gate_rules(), "socket", family, 1, arch=arch) == ALLOW
    for family in (0, 17, 38, 40, 0xFFFFFFFF):  # none, packet, kernel crypto, vsock, -1
        assert verdict(gate_rules(), "socket", family, 1, arch=arch) == errno.EAFNOSUPPORT
    assert verdict(gate_rules(), "clone", 17, arch=arch) == ALLOW
    assert verdict(gate_rules(), "execve", arch=arch) == ALLOW


@pytest.mark.parametrize("arch", ARCHES)
def test_without_namespaces_no_socket_and_no_hand_on_other_processes(arch: str) -> None:
    rules = socketless_rules(signals_scoped=True)
    assert verdict(rules, "socket", 1, 1, arch=arch) == errno.EACCES
    cloexec = 0x80000
    assert verdict(rules, "socketpair", 1, 1 | cloexec, arch=arch) == ALLOW
    assert verdict(rules, "socketpair", 1, 2, arch=arch) == errno.EACCES, "a datagram pair sends anywhere"
    assert verdict(rules, "socketpair", 1, 2 | cloexec, arch=arch) == errno.EACCES
    assert verdict(rules, "prlimit64", 0, 7, arch=arch) == ALLOW
    assert verdict(rules, "prlimit64", 1234, 0, arch=arch) == errno.EPERM
    assert verdict(rules, "setpriority", 0, 0, arch=arch) == ALLOW
    assert verdict(rules, "setpriority", 0, 1234, arch=arch) == errno.EPERM
    assert verdict(rules, "setpriority", 2, 0, arch=arch) == errno.EPERM, "all processes of the user"
    assert verdict(rules, "fcntl", 3, 8, 1234, arch=arch) == errno.EPERM, "SIGIO to anyone"
    assert verdict(rules, "fcntl", 3, 1, arch=arch) == ALLOW
    assert verdict(rules, "fchmodat", arch=arch) == 0, "pretends, because shutil.copy needs it"
    assert verdict(rules, "kill", 1234, 15, arch=arch) == ALLOW, "Landlock scopes it"


def test_signals_are_filtered_where_landlock_does_not_scope_them() -> None:
    rules = socketless_rules(signals_scoped=False)
    assert verdict(rules, "kill", 0, 15) == ALLOW
    for pid in (1, 1234, -1, -1234):
        assert verdict(rules, "kill", pid, 9) == errno.EPERM
    for name in ("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"):
        assert verdict(rules, name, 1234) == errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_an_agent_may_thread_but_neither_fork_nor_execute_nor_signal_others(arch: str) -> None:
    rules = agent_rules(77)
    thread = 0x3D0F00
    assert verdict(rules, "clone", thread, arch=arch) == ALLOW
    assert verdict(rules, "clone", 17, arch=arch) == errno.EPERM
    for name in ("execve", "execveat", "truncate", "inotify_add_watch", "fchmod", "fchownat"):
        assert verdict(rules, name, arch=arch) == errno.EPERM
    for name in ("socket", "connect", "bind", "listen", "accept", "accept4", "socketpair"):
        assert verdict(rules, name, 1, 1, arch=arch) == errno.EACCES
    assert verdict(rules, "kill", 77, 6, arch=arch) == ALLOW
    assert verdict(rules, "tgkill", 77, 78, 6, arch=arch) == ALLOW
    assert verdict(rules, "kill", 78, 6, arch=arch) == errno.EPERM
    assert verdict(rules, "tgkill", 78, 78, 6, arch=arch) == errno.EPERM


@given(
    test=st.sampled_from(["in", "not in", "any bit of", "no bit of"]),
    values=st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=12, unique=True),
    argument=st.integers(0, 2**64 - 1),
    pick=st.booleans(),
)
def test_conditions_mean_what_they_say(test: str, values: list[int], argument: int, pick: bool) -> None:
    values = values[:1] if "bit" in test else values
    low = values[-1] if pick else argument & 0xFFFFFFFF
    meant = {
        "in": low in values,
        "not in": low not in values,
        "any bit of": bool(low & values[0]),
        "no bit of": not low & values[0],
    }[test]
    rules = [Rule("kill", 11, Arg(1, test, tuple(values))), Rule("ptrace", 12)]  # type: ignore[arg-type]
    argument = argument & ~0xFFFFFFFF | low  # the upper half must not matter
    assert verdict(rules, "kill", 5, argument) == (11 if meant else ALLOW)
    assert verdict(rules, "ptrace") == 12


def test_two_conditions_on_one_call_are_both_tried() -> None:
    rules = [Rule("kill", 1, Arg(0, "not in", (5,))), Rule("kill", 2, Arg(1, "in", (9,)))]
    assert verdict(rules, "kill", 5, 9) == 2
    assert verdict(rules, "kill", 6, 9) == 1
    assert verdict(rules, "kill", 5, 8) == ALLOW


@pytest.mark.parametrize(
    ("arch", "header", "pattern"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)"),
        ("aarch64", "/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
    ],
)
def test_the_numbers_are_the_systems_own(arch: str, header: str, pattern: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"no {header} to compare with")
    system = {name: int(nr) for name, nr in re.findall(pattern, Path(header).read_text())}
    newer = {"fchmodat2"}
    for name in NUMBERS.keys() - newer:
        assert number(name, arch) == system.get(name), name
