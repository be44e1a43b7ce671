"""A zygote whose workers misbehave as their type says; run as a program by test_supervision."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from swarmd.agents import processes
from swarmd.agents.zygote import Zygote
from swarmd.bus.channel import Channel


def leave_a_grandchild(home: Path) -> None:
    """A process in a session of its own whose parent has ended, as a daemon has it."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (home / "grandchild.tmp").write_text(str(os.getpid()))
            (home / "grandchild.tmp").rename(home / "grandchild")
            time.sleep(600)
        os._exit(0)
    os.wait()


def stand_still_here() -> None:
    time.sleep(600)


def entry(channels: list[Channel], args: dict[str, Any]) -> None:
    master, home, kind = channels[0], Path(args["home"]), args["agent_type"]
    if kind == "daemonising":
        leave_a_grandchild(home)
    if kind == "failing":
        sys.exit(3)
    if kind == "silent":
        time.sleep(600)
    master.send({"op": "ready", "confinement": "none"})
    progress = 0
    while True:
        received = master.receive(0.05)
        if received and received[0]["op"] == "stop":
            return
        if received and received[0]["op"] == "hang":
            stand_still_here()
        if received and received[0]["op"] == "crash":
            os.abort()
        progress += kind != "stubborn"  # which beats, but does not get on
        master.send({"op": "beat", "progress": progress, "doing": f"step {progress}"})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control-fd", type=int, required=True)
    control = parser.parse_args().control_fd
    processes.expose_to_oom()
    processes.adopt_orphans()
    return Zygote(Channel(socket.socket(fileno=control)), {"agent": entry, "verifier": entry}).serve()


if __name__ == "__main__":
    sys.exit(main())
