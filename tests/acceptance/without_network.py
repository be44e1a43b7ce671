"""Run by test_strict_proof.py in a network namespace without a route: a request, and who connected.

``python -m tests.acceptance.without_network FOLDER TRACE…``: TRACE is the tracer's command, up to the option
that names its output. What came of it is written to FOLDER/came.json.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, make_repository, own_tests_pass, scripted_settings
from tests.acceptance.projects import COUNTER, COUNTER_REQUEST, GOOD_COUNTER, answers

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
REAL = "qwen2.5-coder-0.5b"

CONTROL = """
import subprocess, sys
tcp = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('192.0.2.1', 80))"
udp = '''
import contextlib, socket
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("2001:db8::1", 53))
'''
for code in (tcp, udp):
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
"""
"""Grandchildren that try to leave: a trace which does not show it proves nothing."""


def raise_loopback() -> None:
    """The namespace's own: the scripted model listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def no_way_out() -> bool:
    """Whether the kernel knows no way to another machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.connect_ex(("192.0.2.1", 9)) == errno.ENETUNREACH


def serve_a_request(folder: Path, under: list[str]) -> dict[str, object]:
    """One request from the drop to the branch, by a strict daemon that the tracer runs."""
    repository = make_repository(folder / "words", COUNTER)
    with ScriptedModel(answers(GOOD_COUNTER)) as model:
        daemon = Daemon(folder / "d", f'privacy = "strict"\n{scripted_settings(model)}')
        try:
            daemon.start(under)
            daemon.drop("one", COUNTER_REQUEST | {"workspace": str(repository)})
            result = daemon.result("one", 240)
            daemon.stop()
        finally:
            daemon.close()
    return {
        "status": result["status"],
        "tail": "" if result["status"] == "succeeded" else daemon.tail(),
        "passes": own_tests_pass(repository, "swarm/one", folder / "clone"),
        "isolated": len(daemon.events("broker_isolated")),
        "port": model.port,
        "asked": len(model.calls),
    }


def main(argv: list[str]) -> int:
    """Do it all."""
    folder, trace = Path(argv[1]), argv[2:]
    raise_loopback()
    came: dict[str, object] = {"no way out": no_way_out()}
    came["request"] = serve_a_request(folder, [*trace, str(folder / "daemon.trace")])
    control = [*trace, str(folder / "control.trace"), sys.executable, "-c", CONTROL]
    came["control"] = subprocess.run(control).returncode
    if os.environ.get("SWARMD_WEIGHTS_FOLDER"):
        home = {
            **os.environ,
            "SWARMD_HOME": str(folder / "d/home"),
            "XDG_STATE_HOME": str(folder / "d/state"),
        }
        engine = [sys.executable, "-m", "swarmd", "model", "test", REAL]
        done = subprocess.run(
            [*trace, str(folder / "engine.trace"), *engine], env=home, capture_output=True, text=True
        )
        came["engine"] = [done.returncode, done.stdout + done.stderr]
    (folder / "came.json").write_text(json.dumps(came))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
