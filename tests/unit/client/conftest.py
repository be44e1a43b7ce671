"""A home for the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home
