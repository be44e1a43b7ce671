"""Daemons on fresh homes. Everything that a test started is ended with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.testing import ScriptedModel
from tests.acceptance.harness import Daemon, scripted_settings


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons on fresh homes under the test's folder."""
    daemons: list[Daemon] = []

    def make(settings: str = "", name: str = "d") -> Daemon:
        daemons.append(Daemon(tmp_path / name, settings))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def scripted(make_daemon: Callable[..., Daemon]) -> Iterator[Callable[..., tuple[Daemon, ScriptedModel]]]:
    """Makes a daemon whose models are one scripted server on loopback."""
    with contextlib.ExitStack() as stack:

        def make(rules: list[dict[str, Any]], settings: str = "") -> tuple[Daemon, ScriptedModel]:
            model = stack.enter_context(ScriptedModel(rules))
            return make_daemon(scripted_settings(model) + settings), model

        yield make
