"""Settings that are read again: what changes at once, what only a start changes, what the broker needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd import durable
from swarmd.agents.spec import Types
from swarmd.config import Settings
from swarmd.daemon.context import Context
from swarmd.daemon.journal import Journal
from swarmd.daemon.reload import AT_START, reload
from swarmd.daemon.state import State
from swarmd.errors import ConfigError
from swarmd.home import Home
from swarmd.testing import FakeClock


@pytest.fixture
def context(tmp_path: Path) -> Context:
    home, clock = Home(tmp_path), FakeClock()
    durable.make_dirs(*home.folders(), home.agents)
    state = State(lambda request_id, name: b"")
    return Context(home, Settings(), clock, Journal(home, clock, state.apply), state, Types({}, {}))


def test_what_only_a_start_can_change_stays_as_it_is_and_is_told(context: Context) -> None:
    context.home.settings_file.write_text('[daemon]\ndurability = "off"\nmax_agents = 3\n')
    data = reload(context)["data"]
    assert context.settings.daemon.max_agents == 3
    assert context.settings.daemon.durability == "power", "the journal goes on as it began"
    assert (data["changed"], data["after_restart"]) == (["daemon.max_agents"], ["daemon.durability"])
    assert not context.broker_is_outdated


@pytest.mark.parametrize(
    "text",
    ['[tiers]\nfast = "qwen2.5-coder-1.5b"\n', "[policy.concurrency]\nfast = 2\ndeep = 1\nreviewer = 1\n"],
)
def test_what_the_broker_goes_by_asks_for_a_new_one(context: Context, text: str) -> None:
    context.home.settings_file.write_text(text)
    reload(context)
    assert context.broker_is_outdated


def test_wrong_settings_change_nothing(context: Context) -> None:
    before = context.settings
    context.home.settings_file.write_text("[daemon]\nmax_agents = 0\n")
    with pytest.raises(ConfigError):
        reload(context)
    assert context.settings is before


def test_every_name_is_one_of_a_setting() -> None:
    known = Settings().model_dump()
    for section, name in (dotted.split(".") for dotted in AT_START):
        assert name in known[section]
