"""Reading how much memory there is."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from swarmd.models.memory import Gpu, MachineMemory, Reading, oom_kills

GIB = 1024**3


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB, available=9 * GIB))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def groups(tmp_path: Path, own: str, files: dict[str, str]) -> MachineMemory:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return MachineMemory(tmp_path / "cgroup", tmp_path / "own")


def test_without_limits_it_is_the_machines(tmp_path: Path) -> None:
    assert MachineMemory(tmp_path / "none", tmp_path / "none").read() == Reading(16 * GIB, 9 * GIB)
    unlimited = groups(tmp_path, "0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "5\n"})
    assert unlimited.read() == Reading(16 * GIB, 9 * GIB)


def test_a_control_group_limits_and_its_caches_of_files_do_not_count(tmp_path: Path) -> None:
    files = {
        "a/memory.max": f"{4 * GIB}\n",
        "a/memory.current": f"{3 * GIB}\n",
        "a/memory.stat": f"anon 1\ninactive_file {GIB}\n",
        "a/b/memory.max": "max\n",
    }
    reading = groups(tmp_path, "0::/a/b\n", files).read()
    assert (reading.total, reading.free) == (4 * GIB, 2 * GIB)
    assert reading.limited_by.endswith("/a"), "the limit of a parent holds for its children"


def test_version_1_and_a_path_that_is_the_hosts(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "memory/memory.usage_in_bytes": f"{GIB}\n",
        "memory/memory.stat": "total_inactive_file 0\n",
    }
    reading = groups(tmp_path, "4:cpu:/x\n3:memory,hugetlb:/docker/abc\n", files).read()
    assert (reading.total, reading.free) == (2 * GIB, GIB)
    files["memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert groups(tmp_path, "3:memory:/\n", files).read().total == 16 * GIB


@pytest.mark.parametrize("own", ["", "garbage\n", "0::/../../etc\n", "x:y\n"])
def test_what_cannot_be_read_does_not_limit(tmp_path: Path, own: str) -> None:
    assert groups(tmp_path, own, {"memory.max": "much\n"}).read() == Reading(16 * GIB, 9 * GIB)


class FakeNvml(SimpleNamespace):
    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: tuple[str, int, int], driver: bool = True) -> None:
        super().__init__(shut=0)
        self._gpus, self._driver = gpus, driver

    def nvmlInit(self) -> None:
        if not self._driver:
            raise self.NVMLError

    def nvmlShutdown(self) -> None:
        self.shut += 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> Any:
        if not self._gpus[number][1]:
            raise self.NVMLError
        return self._gpus[number]

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> SimpleNamespace:
        return SimpleNamespace(total=handle[1], free=handle[2])

    def nvmlDeviceGetName(self, handle: Any) -> str:
        return str(handle[0])


def test_gpus_by_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(("a", 8 * GIB, 5 * GIB), ("b", 8 * GIB, 7 * GIB))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    reading = MachineMemory(tmp_path, tmp_path / "none").read()
    assert reading.gpus == (Gpu("a", 8 * GIB, 5 * GIB), Gpu("b", 8 * GIB, 7 * GIB))
    assert reading.gpu == reading.gpus[1]
    assert nvml.shut == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert MachineMemory(tmp_path, tmp_path / "none").read().gpus == ()


@pytest.mark.parametrize("nvml", [FakeNvml(driver=False), FakeNvml(("a", 0, 0))])
def test_a_gpu_that_cannot_be_asked_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert MachineMemory(tmp_path, tmp_path / "none").read().gpu is None


def test_the_kernels_count_of_processes_that_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "vmstat"
    path.write_text("pgfault 12\noom_kill 3\n")
    assert oom_kills(path) == 3
    assert oom_kills(tmp_path / "none") == 0
