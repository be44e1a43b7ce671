"""Canaries: attempts to get out of a sandbox, made at start-up, every one of which must fail.

What counts is what arrives outside, not what the attempt says about itself.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmd.errors import SandboxError
from swarmd.sandbox import probe
from swarmd.sandbox.paths import interpreter_mounts
from swarmd.sandbox.spec import Completed, Limits, Mounts, Sandbox

__all__ = ["Canary", "canaries", "require"]

LIMITS = Limits(seconds=10, memory_mib=512, processes=16, file_mib=16)


@dataclass(frozen=True)
class Canary:
    """One attempt."""

    name: str
    held: bool
    """It was prevented; for "works": a harmless program does work."""
    detail: str


def require(sandbox: Sandbox, scratch: Path) -> None:
    """Raise SandboxError that names every canary that did not hold. All that is made on the way lies in
    ``scratch``, whose path must be short enough for sockets in it."""
    failed = [canary for canary in canaries(sandbox, scratch, sockets=scratch) if not canary.held]
    if failed:
        listed = "; ".join(f"{canary.name} ({canary.detail})" for canary in failed)
        raise SandboxError(
            f"the {sandbox.level} sandbox does not hold on this system: {listed}",
            code="E-SANDBOX-CANARY",
            hint='Set sandbox.level in swarmd.toml to the other level, and run "swarmd doctor".',
        )


def canaries(sandbox: Sandbox, scratch: Path, *, sockets: Path | None = None) -> list[Canary]:
    """Try to get out of ``sandbox``; ``scratch`` is a folder for the attempts' files, ``sockets`` one for
    sockets outside of it (default: the system's temporary folder).

    About 0.2 s. Raises SandboxError when nothing can be run in it at all.
    """
    with _outside(sockets) as outside, tempfile.TemporaryDirectory(prefix="canary-", dir=scratch) as folder:
        checkout = Path(folder) / "checkout"
        checkout.mkdir()
        shutil.copyfile(probe.__file__, checkout / "probe.py")
        key = Path(folder) / "key"
        key.write_text(secret := secrets.token_hex(16))
        key.chmod(0o600)
        targets = {
            **outside.targets,
            "outside": str(Path(folder) / "outside"),
            "key": str(key),
            "token": secrets.token_hex(16),
        }
        completed = _run(sandbox, checkout, targets)
        try:
            came: dict[str, list[Any]] = json.loads(completed.report)
        except ValueError:
            said = completed.output.decode(errors="replace")[-500:].strip()
            return [Canary("works", False, f"exit code {completed.exit_code}: {said}")]
        works = _works(sandbox.level, came, targets, checkout)
        return [works, *_judge(came, targets, outside, secret), _bomb(sandbox, checkout)]


def _run(sandbox: Sandbox, checkout: Path, targets: dict[str, Any]) -> Completed:
    python = Path(sys.executable)
    at = Path("/swarmd-canary")
    mounts = Mounts(checkout, at, read_only=tuple((path, path) for path in interpreter_mounts(python)))
    argv = [str(python), "-I", "-S", str(at / "probe.py"), json.dumps(targets)]
    return sandbox.run(argv, mounts=mounts, limits=LIMITS, env={}, secret=b"canary")


@dataclass(frozen=True)
class _Outside:
    """What a sandbox must not reach."""

    targets: dict[str, Any]
    listeners: dict[str, socket.socket]

    def reached(self, name: str) -> bool:
        """Whether anything arrived there."""
        listener = self.listeners[name]
        try:
            if listener.type == socket.SOCK_DGRAM:
                listener.recv(64)
            else:
                listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def _outside(sockets: Path | None) -> Iterator[_Outside]:
    token = secrets.token_hex(16)
    with ExitStack() as stack:
        # Not in the scratch folder, whose path may be too long for a socket.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmd-", dir=sockets))
        addresses: dict[str, tuple[int, int, Any]] = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix-path": (socket.AF_UNIX, socket.SOCK_STREAM, f"{folder}/stream"),
            "unix-abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0swarmd-{token}"),
            "unix-datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"{folder}/datagram"),
        }
        listeners = {name: stack.enter_context(_listener(*address)) for name, address in addresses.items()}
        targets = {
            "tcp": listeners["tcp"].getsockname()[1],
            "udp": listeners["udp"].getsockname()[1],
            "unix_path": addresses["unix-path"][2],
            "unix_abstract": f"swarmd-{token}",
            "unix_datagram": addresses["unix-datagram"][2],
            "signal": os.getpid(),
        }
        yield _Outside(targets, listeners)


@contextmanager
def _listener(family: int, kind: int, address: Any) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as sock:
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sock.setblocking(False)
        yield sock


def _judge(
    came: dict[str, list[Any]], targets: dict[str, Any], outside: _Outside, secret: str
) -> list[Canary]:
    told = {name: str(result) for name, (_, result) in came.items()}
    return [
        Canary("write-outside", not Path(targets["outside"]).exists(), told["write_outside"]),
        Canary("read-key", secret not in str(came), told["read_key"]),
        Canary("signal", not came["signal"][0], told["signal"]),
        *(
            Canary(name, not outside.reached(name), told[name.replace("-", "_")])
            for name in outside.listeners
        ),
    ]


def _works(level: str, came: dict[str, list[Any]], targets: dict[str, Any], checkout: Path) -> Canary:
    """The other way round: a sandbox in which nothing works would let every attempt fail."""
    written = checkout / "written-inside"
    wrote = written.is_file() and written.read_text() == targets["token"]
    works = wrote and came["works"] == [True, "canary"] and (came["loopback"][0] or level != "bwrap")
    return Canary("works", works, f"stdin: {came['works'][1]}; loopback: {came['loopback'][1] or 'open'}")


def _bomb(sandbox: Sandbox, checkout: Path) -> Canary:
    """Fork without end: it must be seen, and none of it may be left."""
    token = secrets.token_hex(16)
    completed = _run(sandbox, checkout, {"bomb": token})
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and token in _command(pid)]  # noqa: PTH208
    held = completed.limit == "processes" and not left
    return Canary("fork-bomb", held, f"ended by {completed.limit}, {len(left)} processes left")


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
