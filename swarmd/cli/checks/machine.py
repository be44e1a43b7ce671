"""Checks of the machine: Python, git, disk, memory."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from swarmd.cli.checks.check import Check

__all__ = ["check_disk", "check_git", "check_memory", "check_python"]

OLDEST_PYTHON = (3, 11)
OLDEST_GIT = (2, 39)
"""git apply refuses paths outside the tree since 2.39.2 (CVE-2023-23946)."""
LEAST_DISK = 1 << 30
GOOD_DISK = 5 << 30
GOOD_MEMORY = 3 << 30
"""The default models and their contexts need about 2 GiB."""


def check_python() -> Check:
    """The interpreter that runs this."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check(
            "python", "fail", f"{version}; 3.11 or later is needed", "Install Python 3.11 and swarmd in it."
        )
    return Check("python", "ok", f"{version} at {sys.executable}")


def check_git() -> Check:
    """git, and whether it has the fixes that matter here."""
    path = shutil.which("git")
    if path is None:
        return Check("git", "fail", "there is no git", "sudo apt-get install git")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)[.\d]*", said)
    if found is None:
        return Check(
            "git", "warn", f"{path} does not tell its version", "sudo apt-get install --reinstall git"
        )
    if (int(found[1]), int(found[2])) < OLDEST_GIT:
        return Check("git", "warn", f"{found[0]} is old and lacks security fixes", "sudo apt-get install git")
    return Check("git", "ok", found[0])


def check_disk(*folders: Path) -> Check:
    """Room where the home and the weights lie."""
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in folders}
    folder, least = min(free.items(), key=lambda item: item[1])
    detail = f"{least / 2**30:.1f} GiB free at {folder}"
    fix = "Free some space, or choose another folder: --home, or weights_folder in swarmd.toml."
    if least < LEAST_DISK:
        return Check("disk", "fail", detail, fix)
    return Check("disk", "ok" if least >= GOOD_DISK else "warn", detail, "" if least >= GOOD_DISK else fix)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def check_memory() -> Check:
    """Memory for models on this machine."""
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available"
    if memory.available < GOOD_MEMORY:
        return Check("memory", "warn", detail, "End other programs, or use smaller models in swarmd.toml.")
    return Check("memory", "ok", detail)
