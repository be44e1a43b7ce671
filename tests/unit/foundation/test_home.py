"""Which folder is the home, and what making one does to what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd import home
from swarmd.errors import ConfigError
from swarmd.home import Home


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


def test_the_option_wins_over_the_variable_and_the_variable_over_the_folder(
    tmp_path: Path, env: dict[str, str]
) -> None:
    home.init(Home(tmp_path / "here"), env)
    assert home.find("/o", env | {"SWARMD_HOME": "/v"}, tmp_path / "here").root == Path("/o")
    assert home.find(None, env | {"SWARMD_HOME": "/v"}, tmp_path / "here").root == Path("/v")
    assert home.find(None, env, tmp_path / "here/bus").root == tmp_path / "here"
    assert home.find(None, env, tmp_path).root == tmp_path / "state/swarmd"


def test_a_checkout_that_carries_a_settings_file_is_no_home(tmp_path: Path, env: dict[str, str]) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "swarmd.toml").write_text('privacy = "off"\n')
    assert home.find(None, env, hostile).root == tmp_path / "state/swarmd"


def test_making_a_home_again_changes_nothing_that_is_there(tmp_path: Path, env: dict[str, str]) -> None:
    place = Home(tmp_path / "h")
    assert home.init(place, env)
    (place.agents / "coding/prompt.md").write_text("mine")
    place.settings_file.write_text("# mine\n")
    (place.agents / "docs/agent.toml").unlink()
    assert home.init(place, env) == [place.agents / "docs/agent.toml"]
    assert (place.agents / "coding/prompt.md").read_text() == "mine"
    assert place.settings_file.read_text() == "# mine\n"


def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be made"):
        home.init(Home(tmp_path / "file/home"), env)


def test_socket_paths_stay_short_however_deep_everything_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("r" * 60)))
    deep = Home(tmp_path / "/".join(["d" * 50] * 10))
    assert len(str(deep.runtime())) < 75
    assert deep.runtime() != Home(tmp_path).runtime()
