"""The formats that an order carries: read from the home, again when they change, never a reason to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmd.calibration import results
from swarmd.calibration.exercises import version
from swarmd.config import Settings
from swarmd.daemon.formats import Formats
from swarmd.home import Home
from swarmd.messages import Calibration, FormScore

FAST, DEEP = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"


class Office:
    """A daemon as far as formats are concerned, and what it would write into its log."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.settings = Settings()
        self.log: list[Any] = []
        self.journal = self
        self.formats = Formats(self)  # type: ignore[arg-type]

    async def commit(self, *events: Any) -> None:
        self.log += events

    def of(self, tier: str = "fast", model: str | None = None) -> list[str]:
        agent_type: Any = SimpleNamespace(model=model)
        return [*asyncio.run(self.formats.of(agent_type, tier))]  # type: ignore[arg-type]

    def measured(self, model: str, *order: str, **fields: object) -> Path:
        scores = [
            FormScore(form=form, correct=0, well_formed=0, prompt_tokens=0, completion_tokens=0, latency_ms=0)
            for form in ("symbol", "file", "replace")
        ]
        values = {
            "identity": results.identity(self.settings, model),
            "exercises": version(),
            "count": 12,
            "seed": 1,
            "measured_at": "2026-01-01T00:00:00.000Z",
            "served_by": "embedded",
            "order": list(order),
            "scores": scores,
        }
        return results.save(self.home, Calibration.model_validate(values | fields))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_each_tier_has_the_formats_of_its_model(office: Office) -> None:
    assert office.of() == office.of("deep") == []
    office.measured(FAST, "replace", "symbol", "file")
    assert office.of("fast") == ["replace", "symbol", "file"]
    assert office.of("deep") == []
    assert office.of("deep", model=FAST) == ["replace", "symbol", "file"], "the type asks for a model by name"
    assert office.of("deep", model="gone") == []
    assert office.log == []


def test_a_new_result_is_taken_up_and_a_removed_one_forgotten(office: Office) -> None:
    path = office.measured(FAST, "replace", "symbol", "file")
    assert office.of()[0] == "replace"
    office.measured(FAST, "file", "symbol", "replace")
    assert office.of()[0] == "file"
    path.unlink()
    assert office.of() == []
    office.measured(FAST, "replace", "symbol", "file")
    assert office.of()[0] == "replace"


def test_a_file_is_read_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.measured(FAST, "replace", "symbol", "file")
    read, seen = results.read, []
    monkeypatch.setattr("swarmd.daemon.formats.read", lambda path: seen.append(path) or read(path))
    assert [office.of()[0] for _ in range(3)] == ["replace"] * 3
    assert len(seen) == 1


def test_a_broken_file_is_one_warning_and_the_default(office: Office) -> None:
    path = office.measured(FAST, "replace", "symbol", "file")
    path.write_bytes(b'{"v": 1, "order"')
    assert [office.of() for _ in range(3)] == [[], [], []]
    (warning,) = office.log
    assert warning["level"] == "warning"
    assert path.name in warning["data"]["reason"]
    path.write_bytes(b"[]")
    assert office.of() == []
    assert len(office.log) == 2, "another file that is no good"
    office.measured(FAST, "file", "symbol", "replace")
    assert office.of()[0] == "file"


def test_what_was_measured_on_something_else_is_not_used(office: Office) -> None:
    office.measured(FAST, "replace", "symbol", "file", exercises="of another version")
    assert office.of() == []
    other = results.identity(office.settings, FAST).model_copy(update={"digest": "sha256:0"})
    office.measured(FAST, "replace", "symbol", "file", identity=other)
    assert (office.of(), office.log) == ([], [])
