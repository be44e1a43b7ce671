"""Strict privacy, proven: a request is served where there is no way out, and a trace of every system call of
the whole process tree shows who connected to what."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.models import netns
from swarmd.models.store import default_folder

ROOT = Path(__file__).resolve().parents[2]
SENDS = "connect,sendto,sendmsg,sendmmsg,io_uring_setup"
TRACE = ["strace", "-D", "-f", "-qq", "-s", "1", "--seccomp-bpf", "-e", f"trace={SENDS}", "-o"]
IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]

WITHIN = {"AF_UNIX", "AF_LOCAL", "AF_NETLINK"}
"""Address families that no packet can leave the machine by."""
FAMILY = re.compile(r"sa_family=(\w+)")
ADDRESS = re.compile(r'inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)"')


def why_not() -> str | None:
    """Why this machine cannot trace, or cannot make a namespace."""
    for program in ("strace", "unshare"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if reason := netns.why_not():
        return reason
    done = subprocess.run([*TRACE, "/dev/null", "true"], capture_output=True, text=True)
    return done.stderr.strip() or None if done.returncode else None


WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"nothing can be proven here: {WHY_NOT}")


def departures(trace: str) -> list[str]:
    """The calls in ``trace`` that are meant for another machine, or cannot be told."""
    found = []
    for line in trace.splitlines():
        families = FAMILY.findall(line)
        addresses = [four or six for four, six in ADDRESS.findall(line)]
        inet = [family for family in families if family not in WITHIN]
        if (
            "io_uring_setup(" in line
            or any(family not in ("AF_INET", "AF_INET6", "AF_UNSPEC") for family in inet)
            or any(not ip_address(address).is_loopback for address in addresses)
            or len([family for family in inet if family != "AF_UNSPEC"]) > len(addresses)
        ):
            found.append(line)
    return found


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One run of all, in a namespace; its folder, and what came of it."""
    folder = tmp_path_factory.mktemp("strict")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SWARMD_")}
    env["SWARMD_WEIGHTS_FOLDER"] = os.environ.get("SWARMD_WEIGHTS_FOLDER") or str(default_folder(Settings()))
    script = [sys.executable, "-m", "tests.acceptance.without_network", str(folder), *TRACE]
    done = subprocess.run(
        [*IN_A_NAMESPACE, *script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads((folder / "came.json").read_text())


def test_a_request_is_served_where_there_is_no_way_out(came: tuple[Path, dict[str, Any]]) -> None:
    _, said = came
    assert said["no way out"], "the namespace of the test has a route"
    request = said["request"]
    assert request["status"] == "succeeded", request["tail"]
    assert request["passes"]
    assert request["asked"] > 0
    assert request["isolated"] == 1, "the broker has a namespace of its own within"


def test_nobody_in_the_whole_tree_connected_to_another_machine(came: tuple[Path, dict[str, Any]]) -> None:
    folder, said = came
    trace = (folder / "daemon.trace").read_text()
    assert not departures(trace), "\n".join(departures(trace)[:20])
    # It has seen both ends of the way to the model: the relay's, and the broker's, in its own namespace.
    assert f"sin_port=htons({said['request']['port']})" in trace
    assert re.search(r'sun_path="[^"]*/relay-\w+\.sock"', trace)


def test_the_trace_would_have_shown_it(came: tuple[Path, dict[str, Any]]) -> None:
    folder, said = came
    assert said["control"] == 0
    seen = "\n".join(departures((folder / "control.trace").read_text()))
    assert "192.0.2.1" in seen, "a grandchild's connect"
    assert "2001:db8::1" in seen, "a grandchild's datagram"


def test_a_real_engine_stays_here_too(came: tuple[Path, dict[str, Any]]) -> None:
    """llama.cpp itself, which is not Python: no guard of ours sees what it does."""
    folder, said = came
    code, text = said["engine"]
    assert code == 0, text
    trace = (folder / "engine.trace").read_text()
    assert not departures(trace), "\n".join(departures(trace)[:20])
    assert re.search(r'sun_path="[^"]*/engine-[^"]*\.sock"', trace)


@pytest.mark.parametrize(
    ("line", "leaves"),
    [
        ('7 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0', False),
        (
            '7 connect(3, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
            False,
        ),
        ('7 connect(3, {sa_family=AF_INET6, inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0', False),
        ('7 sendto(3, "x"..., 5, MSG_NOSIGNAL, NULL, 0) = 5', False),
        ("7 sendto(3, [], 20, 0, {sa_family=AF_NETLINK, nl_pid=0}, 12) = 20", False),
        ('7 connect(3, {sa_family=AF_INET, sin_addr=inet_addr("10.0.0.1")}, 16 <unfinished ...>', True),
        ('7 sendto(3, "x", 1, 0, {sa_family=AF_INET6, inet_pton(AF_INET6, "2001:db8::1")}, 28) = 1', True),
        ('7 sendmsg(3, {msg_name={sa_family=AF_INET, sin_addr=inet_addr("1.1.1.1")}}, 0) = 1', True),
        ("7 connect(3, {sa_family=AF_INET, sa_data=...}, 16) = 0", True),
        ("7 connect(3, {sa_family=AF_VSOCK, svm_cid=2}, 16) = 0", True),
        ("7 sendto(3, 1, 1, 0, {sa_family=AF_PACKET}, 20) = 1", True),
        ("7 io_uring_setup(8, {flags=0}) = 3", True),
    ],
)
def test_it_is_known_what_leaves(line: str, leaves: bool) -> None:
    assert bool(departures(line)) is leaves
