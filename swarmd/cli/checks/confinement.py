"""Checks of what keeps model-written code and agents in their place."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from swarmd.audit.pretty import clean
from swarmd.cli.checks.check import Check

__all__ = ["check_confinement", "check_sandbox"]

CONFINE = """
import sys
from pathlib import Path
from swarmd.sandbox import confine
print(confine(read=[], write=[Path(sys.argv[1])]))
"""
PACKAGE_PARENT = Path(__file__).resolve().parents[3]


def check_sandbox(level: Literal["auto", "bwrap", "landlock"]) -> Check:
    """Whether gates can be run in a sandbox, and whether it holds."""
    from swarmd.sandbox import canaries, choose

    sandbox = choose(level)  # raises SandboxError, which says what to install
    with tempfile.TemporaryDirectory(prefix="swarmd-doctor-") as scratch:
        tried = canaries(sandbox, Path(scratch))
    failed = [canary for canary in tried if not canary.held]
    if failed:
        detail = f"{sandbox.level} does not hold: {failed[0].name} ({clean(failed[0].detail)})"
        return Check("sandbox", "fail", detail, "sudo apt-get install bubblewrap")
    detail = f"{sandbox.level} holds against {len(tried)} attempts"
    if sandbox.level != "bwrap" and level == "auto":
        return Check(
            "sandbox", "warn", f"{detail}; bubblewrap would be stronger", "sudo apt-get install bubblewrap"
        )
    return Check("sandbox", "ok", detail)


def check_confinement(policy: Literal["require", "best-effort"]) -> Check:
    """Whether agents can be confined: tried in a process of its own, for it cannot be undone."""
    with tempfile.TemporaryDirectory(prefix="swarmd-doctor-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", CONFINE, folder],
            cwd=PACKAGE_PARENT,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    if done.returncode == 0:
        return Check("confinement", "ok", done.stdout.strip())
    reason = clean((done.stderr.strip().splitlines() or ["it gave no reason"])[-1], 200)
    fix = "Use Linux 5.13 or later with Landlock enabled (lsm=landlock,… on the kernel's command line)."
    return Check("confinement", "fail" if policy == "require" else "warn", reason, fix)
