"""Starts a daemon on the full disk that is mounted at the given folder, and gives it room later.

Prints what it saw as JSON: ``waited`` (it said what it waits for, and lived), ``ready`` (once there was
room), ``stopped`` (its exit status at SIGTERM), ``stopped_waiting`` (the same, with the disk full).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from swarmd import home as homes
from swarmd.home import Home

PATIENCE_S = 30.0


def main(folder: Path) -> None:
    home = Home(folder / "home")
    homes.init(home, {})
    fill(folder)
    process, printed = start(home, folder)
    waited = until(lambda: "waiting for room" in printed.read_text())
    alive = process.poll() is None
    (folder / "ballast").unlink()
    ready = until(lambda: b'"daemon_ready"' in home.master_log.read_bytes())
    process.send_signal(signal.SIGTERM)
    stopped = process.wait(PATIENCE_S)
    fill(folder)
    process, printed = start(home, folder)
    until(lambda: "waiting for room" in printed.read_text())
    process.send_signal(signal.SIGTERM)
    stopped_waiting = process.wait(PATIENCE_S)
    seen = {"waited": waited and alive, "ready": ready, "stopped": stopped}
    print(json.dumps({**seen, "stopped_waiting": stopped_waiting}))


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                continue


def start(home: Home, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A daemon, and where what it prints can be read: on another disk."""
    printed = folder.with_suffix(".out")
    with printed.open("wb") as file:
        command = [sys.executable, "-m", "swarmd", "--home", str(home.root), "up"]
        return subprocess.Popen(command, stdout=file, stderr=file), printed


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


main(Path(sys.argv[1]))
