"""Which sandbox this machine can have."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from swarmd.errors import SandboxError
from swarmd.sandbox.bwrap import BubblewrapSandbox
from swarmd.sandbox.fallback import LandlockSandbox
from swarmd.sandbox.spec import Limits, Mounts, Sandbox

__all__ = ["choose"]

LIMITS = Limits(seconds=10, memory_mib=256, processes=16, file_mib=1)


def choose(level: Literal["auto", "bwrap", "landlock"], scratch: Path | None = None) -> Sandbox:
    """The sandbox of ``level``; auto: bubblewrap, else Landlock. Each is tried once before, in a folder
    in ``scratch`` (default: the system's temporary one).

    Raises SandboxError with what to install: nothing runs unconfined.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"there is no sandbox for {sys.platform}",
            hint="Run swarmd on Linux, in a virtual machine or under WSL2.",
        )
    makers: dict[str, Callable[[], Sandbox]] = {"bwrap": BubblewrapSandbox, "landlock": LandlockSandbox}
    wanted = list(makers) if level == "auto" else [level]
    failed: list[SandboxError] = []
    for name in wanted:
        try:
            return _tried(makers[name](), scratch)
        except SandboxError as error:
            failed.append(error)
    raise SandboxError("; ".join(error.message for error in failed), code=failed[0].code, hint=failed[0].hint)


def _tried(sandbox: Sandbox, scratch: Path | None) -> Sandbox:
    with tempfile.TemporaryDirectory(prefix="canary-", dir=scratch) as folder:
        mounts = Mounts(root=Path(folder), at=Path("/swarmd-trial"))
        completed = sandbox.run(["true"], mounts=mounts, limits=LIMITS, env={})
    if completed.exit_code != 0:
        said = completed.output.decode(errors="replace").strip()
        raise SandboxError(f"the {sandbox.level} sandbox cannot run a program: {said or completed.limit}")
    return sandbox
