"""Running commands in this process, on a home of their own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmd.cli import main
from swarmd.home import Home, init


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its answer, as --json gives it."""
        return dict(json.loads(self.out))

    @property
    def error(self) -> dict[str, Any]:
        """Its error, as --json gives it."""
        return dict(json.loads(self.err)["error"])


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "SWARMD_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``swarmd`` with the given words."""

    def run_command(*words: str) -> Ran:
        code = main(words)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A complete home, which commands use without being told."""
    made = Home(tmp_path / "home")
    monkeypatch.setenv("SWARMD_HOME", str(made.root))
    init(made, {"XDG_STATE_HOME": str(tmp_path / "state")})
    return made
