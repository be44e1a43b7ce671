"""How much memory there is for models: RAM by psutil and the control group, GPU memory by NVML.

NVML is asked through nvidia-ml-py where that is installed (extra ``gpu``); without it, or without its driver,
no GPU is planned for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Gpu", "MachineMemory", "MemorySource", "Reading", "oom_kills"]

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
"""Version 1 of control groups says so where there is no limit (9223372036854771712)."""


@dataclass(frozen=True)
class Gpu:
    """One GPU's memory, in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True)
class Reading:
    """The machine's memory at one moment, in bytes."""

    total: int
    """RAM, or what the control group is allowed if that is less."""
    free: int
    """What may be taken without pushing anything out but caches of files."""
    gpus: tuple[Gpu, ...] = ()
    limited_by: str = ""
    """What holds ``total`` below the machine's RAM; empty: nothing."""

    @property
    def gpu(self) -> Gpu | None:
        """The one with most memory free: a model is planned for one."""
        return max(self.gpus, key=lambda gpu: gpu.free, default=None)


class MemorySource(Protocol):
    """Who says how much memory there is."""

    def read(self) -> Reading:
        """The memory now."""
        ...


class MachineMemory:
    """This machine's."""

    def __init__(self, cgroup: Path = CGROUP, own: Path = Path("/proc/self/cgroup")) -> None:
        self._cgroup = cgroup
        self._own = own

    def read(self) -> Reading:
        """The memory now. What cannot be read does not limit."""
        import psutil

        machine = psutil.virtual_memory()
        total, free, limited_by = int(machine.total), int(machine.available), ""
        for folder, limit, used in self._limits():
            if limit < total:
                total, limited_by = limit, str(folder)
            free = min(free, max(0, limit - used))
        return Reading(total, free, tuple(_gpus()), limited_by)

    def _limits(self) -> Iterator[tuple[Path, int, int]]:
        """Folder, limit and use of every control group that this process is in and that has a limit, its
        parents' included. Caches of files, which the kernel can drop, are no use."""
        for folder, names in _groups(self._cgroup, self._own):
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is None or used is None or limit >= UNLIMITED:
                continue
            # An engine that has ended leaves its weights' pages among the active ones.
            caches = sum(_stat(folder / "memory.stat", name) for name in names[2:])
            yield folder, limit, max(0, used - caches)


V2 = ("memory.max", "memory.current", "inactive_file", "active_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")


def _groups(cgroup: Path, own: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if controllers == "":
            yield from ((folder, V2) for folder in _upwards(cgroup, path))
        elif "memory" in controllers.split(","):
            yield from ((folder, V1) for folder in _upwards(cgroup / "memory", path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The folder of group ``path`` and those above it. In a container the path may be one of the host's, and
    only ``root`` is there."""
    folder = root / path.strip("/")
    while True:
        yield folder
        if folder == root or root not in folder.parents:
            return
        folder = folder.parent


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())  # "max" is no number: no limit
    except (OSError, ValueError):
        return None


def _stat(path: Path, name: str) -> int:
    """The number behind ``name`` in a file of such pairs; 0 if it is not there."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), 0)
    except (OSError, ValueError):
        return 0


def _gpus() -> Iterator[Gpu]:
    """The GPUs that NVML tells of and that $CUDA_VISIBLE_DEVICES does not hide."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return
    try:
        import pynvml
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return
    try:
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = pynvml.nvmlDeviceGetName(handle)
            yield Gpu(str(name), int(memory.total), int(memory.free))
    except pynvml.NVMLError:
        return
    finally:
        pynvml.nvmlShutdown()


def oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel has ended since the boot because memory ran out; 0 where it does not
    say."""
    return _stat(vmstat, "oom_kill")
