"""No worker is started into a lack of memory, nor a second one into a busy machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmd.config import DaemonSettings
from swarmd.daemon import resources
from swarmd.daemon.resources import Resources
from swarmd.testing import FakeClock


def machine(monkeypatch: pytest.MonkeyPatch, *, free_mib: int, load: float) -> None:
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=free_mib << 20))
    monkeypatch.setattr(resources.os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)


def resources_now(clock: FakeClock | None = None) -> Resources:
    limits = DaemonSettings(min_free_memory_mib=512, max_load_per_core=4.0)
    return Resources(clock or FakeClock(), lambda: limits)


@pytest.mark.parametrize(
    ("free_mib", "load", "first", "may"),
    [
        (600, 1.0, False, True),
        (511, 1.0, True, False),
        (600, 8.1, False, False),
        (600, 8.1, True, True),
        (600, 8.0, False, True),
    ],
)
def test_whether_one_more_may_start(
    monkeypatch: pytest.MonkeyPatch, free_mib: int, load: float, first: bool, may: bool
) -> None:
    machine(monkeypatch, free_mib=free_mib, load=load)
    assert (resources_now().refusal(first=first) is None) == may


def test_it_is_looked_at_anew_after_a_second_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    machine(monkeypatch, free_mib=100, load=0.0)
    now = resources_now(clock)
    assert "100 MiB" in (now.refusal(first=True) or "")
    machine(monkeypatch, free_mib=1000, load=0.0)
    clock.advance(0.5)
    assert now.refusal(first=True) is not None
    clock.advance(0.6)
    assert now.refusal(first=True) is None
