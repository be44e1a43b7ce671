"""Starting the daemon in the background, and knowing that it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import orjson

from swarmd import durable
from swarmd.audit import end_offset, read_lines
from swarmd.audit.pretty import clean
from swarmd.cli.exit_codes import ExitCode
from swarmd.daemon import presence
from swarmd.daemon.presence import Presence
from swarmd.errors import SwarmdError
from swarmd.home import Home

__all__ = ["launch"]

POLL_S = 0.05
TAIL_BYTES = 4096


def launch(home: Home, env: Mapping[str, str], timeout: float) -> tuple[Presence, bool]:
    """Have a daemon run on ``home`` and return it when it is ready; the second value is whether this
    call started it.

    Raises SwarmdError E-DAEMON-START, with the end of what it printed, when it ends or is not ready
    within ``timeout`` seconds; it is ended then.
    """
    running = presence.read(home)
    if running:
        return running, False
    offset = end_offset(home.master_log)  # the daemon cuts off a torn last line when it starts
    process = _spawn(home, env)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = presence.read(home)
        if running and running.pid == process.pid and _is_ready(home.master_log, offset):
            return running, True
        if process.poll() is not None:
            if process.returncode == ExitCode.HOME_LOCKED and running:
                return running, False  # another "up" was faster
            raise _failed(home, f"the daemon ended at once with status {process.returncode}")
        time.sleep(POLL_S)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    raise _failed(home, f"the daemon was not ready within {timeout:g} s and was ended")


def _spawn(home: Home, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The daemon in a session of its own. ``-P`` keeps the current folder, which may be a hostile
    checkout, out of its import path."""
    durable.make_dirs(home.logs)
    with home.console_log.open("wb") as console:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "swarmd", "--home", str(home.root), "up", "-q"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env=_with_this_package(env),
        )


def _with_this_package(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` in which a new interpreter finds this very package, installed or not."""
    parent = str(Path(__file__).resolve().parents[2])
    if parent in sysconfig.get_paths().values():
        return dict(env)
    paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**env, "PYTHONPATH": os.pathsep.join([parent, *paths])}


def _is_ready(log: Path, offset: int) -> bool:
    try:
        return any(line.get("event") == "daemon_ready" for line, _ in read_lines(log, offset=offset))
    except orjson.JSONDecodeError:
        return False


def _failed(home: Home, message: str) -> SwarmdError:
    try:
        printed = home.console_log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    except OSError:
        printed = ""
    last = [clean(line) for line in printed.splitlines() if line.strip()][-3:]
    said = f": {' | '.join(last)}" if last else ""
    return SwarmdError(
        message + said,
        code="E-DAEMON-START",
        hint=f'Read {home.console_log}, or run "swarmd up" in the foreground to watch it.',
    )
