"""A journaled file system to measure on, and what the one at hand is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Disk", "at_hand", "journaled"]

_IMAGE_MIB = 3 * 1024
"""Written in full: in a sparse file, the first to write a block would pay for its allocation."""


@dataclass(frozen=True)
class Disk:
    """Where the rows are measured."""

    folder: Path
    kind: str
    """The file system in words, for the table."""


def at_hand(folder: Path) -> Disk:
    """The file system that ``folder`` is on."""
    device, kind = _mount(folder)
    name = device.rpartition("/")[2]
    words = f"{kind} on {device}"
    if kind == "ext4":
        journals = Path("/proc/fs/jbd2")
        has = journals.is_dir() and any(entry.name.startswith(f"{name}-") for entry in journals.iterdir())
        words = f"{'journaled ext4' if has else 'ext4 WITHOUT a journal'} on {device}"
    return Disk(folder, words)


def _mount(folder: Path) -> tuple[str, str]:
    found = ("?", "?")
    longest = -1
    for line in Path("/proc/mounts").read_text().splitlines():
        device, where, kind, *_ = line.split()
        where = where.replace("\\040", " ")
        if folder.resolve().is_relative_to(where) and len(where) >= longest:
            longest, found = len(where), (device, kind)
    return found


@contextmanager
def journaled() -> Iterator[Disk]:
    """An ext4 with a journal in an image file, on a loop device; unmounted and removed at the end.

    Raises OSError when this user may not, or a program for it is missing. The image lies on the disk
    of the temporary folder, so each sync reaches what that disk calls durable.
    """
    for program in ("mkfs.ext4", "mount", "umount"):
        if not shutil.which(program):
            raise OSError(f"{program} is not installed (apt-get install e2fsprogs util-linux)")
    if os.getuid() != 0:
        raise OSError("only root may mount a loop device")
    with tempfile.TemporaryDirectory(prefix="bus-disk-") as name:
        image, folder = Path(name) / "image", Path(name) / "d"
        folder.mkdir()
        with image.open("wb") as file:
            for _ in range(_IMAGE_MIB):
                file.write(bytes(1024 * 1024))
            os.fsync(file.fileno())
        _run(
            "mkfs.ext4",
            "-q",
            "-F",
            "-O",
            "has_journal",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
            str(image),
        )
        _run("mount", "-o", "loop,data=ordered", str(image), str(folder))  # umount frees the loop device
        try:
            yield Disk(folder, f"{at_hand(folder).kind}, a loop device over {at_hand(Path(name)).kind}")
        finally:
            _unmount(folder)


def _unmount(folder: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)  # a process that was just killed still holds a file
    _run("umount", "--lazy", str(folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
