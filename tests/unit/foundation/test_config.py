"""Settings: where they come from, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from swarmd import config
from swarmd.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "swarmd.toml"
    path.write_text(text)
    return path


def test_no_file_means_defaults(tmp_path: Path) -> None:
    settings = config.load(tmp_path / "none", {})
    assert settings.daemon.idle_timeout_s == 300
    assert settings.daemon.max_agents == 10
    assert settings.privacy == "strict"


def test_the_environment_wins_over_the_file_and_origins_say_so(tmp_path: Path) -> None:
    path = write(tmp_path, "[daemon]\nmax_agents = 3\nmax_verifiers = 4\n")
    env = {"SWARMD_DAEMON__MAX_AGENTS": "5", "SWARMD_HOME": "/elsewhere"}
    assert config.load(path, env).daemon.max_agents == 5
    found = {name: (value, origin) for name, value, origin in config.origins(path, env)}
    assert found["daemon.max_agents"] == (5, "SWARMD_DAEMON__MAX_AGENTS")
    assert found["daemon.max_verifiers"] == (4, str(path))
    assert found["daemon.sweep_interval_s"][1] == "default"


def test_a_model_of_ones_own_is_added_to_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, '[tiers]\nfast = "mine"\n[models.mine]\nprovider = "openai"\n')
    settings = config.load(path, {})
    assert set(settings.models) == {"mine", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[daemon]\nmax_agent = 3\n", "daemon.max_agent"),
        ("[daemon]\nmax_agents = 0\n", "daemon.max_agents"),
        ("[daemon\n", "cannot be read"),
        ('[tiers]\nfast = "nobody"\n', "nobody"),
        ('privacy = "none"\n', "privacy"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        config.load(write(tmp_path, text), {})
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts_per_tier": {"fast": 0, "deep": 1, "reviewer": 1}},
        {"samples": {"fast": 1, "deep": -3, "reviewer": 1}},
        {"copies": {"fast": -1, "deep": 1, "reviewer": 1}},
    ],
)
def test_numbers_of_the_policy_have_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config.Settings.model_validate({"policy": wrong})
