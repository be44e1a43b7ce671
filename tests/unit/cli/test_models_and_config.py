"""``swarmd model``, ``swarmd agent list``, ``swarmd config show`` and ``swarmd init``."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmd.cli import agent_list, model_pull
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.model_names import model_named, weights_named, weights_of_tiers
from swarmd.config import ModelSettings, Settings, TierSettings
from swarmd.council.registry import ActiveAgent
from swarmd.errors import ModelUnreachableError, UsageError, WeightsError
from swarmd.home import Home

from .conftest import Run

SMALL, LARGE = "qwen2.5-coder-0.5b-instruct-q4_k_m", "qwen2.5-coder-1.5b-instruct-q4_k_m"


def test_what_people_call_a_model() -> None:
    settings = Settings()
    assert (
        model_named(settings, "fast") == model_named(settings, "qwen2.5-coder-0.5b") == "qwen2.5-coder-0.5b"
    )
    assert weights_named(settings, "fast") == weights_named(settings, SMALL) == SMALL
    assert weights_of_tiers(settings) == [SMALL, LARGE]
    for name in (model_named, weights_named):
        with pytest.raises(UsageError, match="nope") as caught:
            name(settings, "nope")
        assert "qwen2.5-coder-0.5b" in caught.value.hint


def test_a_model_of_another_server_has_nothing_to_pull() -> None:
    models = {"mine": ModelSettings(provider="openai", base_url="http://127.0.0.1:1/v1")}
    settings = Settings(models=models, tiers=TierSettings(fast="mine", deep="mine", reviewer="mine"))
    assert weights_of_tiers(settings) == []
    with pytest.raises(UsageError, match="no weights"):
        weights_named(settings, "mine")


def test_model_list_needs_no_weights_and_no_home(run: Run, tmp_path: Path) -> None:
    document = run("model", "list", "--json").document
    assert [tier["tier"] for tier in document["tiers"]] == ["fast", "deep", "reviewer"]
    assert {weights["state"] for weights in document["weights"]} == {"absent"}
    assert "absent" in run("model", "list").out


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names that were asked for; nothing is fetched."""
    names: list[str] = []

    def pull(self: Any, name: str, on_progress: Any) -> Path:
        names.append(name)
        for percent in range(101):
            on_progress(percent, 100, "a source")
        (tmp_path / name).write_bytes(b"GGUF")
        return tmp_path / name

    monkeypatch.setattr(model_pull.Store, "pull", pull)
    return names


def test_pull_fetches_what_the_tiers_need_and_tells_a_pipe_now_and_then(run: Run, pulled: list[str]) -> None:
    ran = run("model", "pull")
    assert pulled == [SMALL, LARGE]
    assert ran.out.count("ready") == 2
    assert 2 <= len([line for line in ran.err.splitlines() if SMALL in line]) <= 11
    assert run("model", "pull", "deep", LARGE, "-q").err == ""
    assert pulled[2:] == [LARGE]
    assert [entry["name"] for entry in run("model", "pull", "fast", "--json").document["weights"]] == [SMALL]


def test_pull_that_fails_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, name: str, on_progress: Any) -> Path:
        raise WeightsError("no source has it")

    monkeypatch.setattr(model_pull.Store, "pull", fail)
    ran = run("model", "pull", "fast", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.MODEL_DOWN, "E-WEIGHTS")


def test_model_test_shows_speed_and_failure(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def try_model(settings: Settings, home: Home, name: str) -> Any:
        if name == "qwen2.5-coder-1.5b":
            raise ModelUnreachableError("nobody answers")
        usage = SimpleNamespace(prompt_tokens=9, completion_tokens=40)
        reply = SimpleNamespace(text="one,\ntwo", provider="embedded", usage=usage, latency_ms=2000)
        return SimpleNamespace(reply=reply, load_ms=1500, tokens_per_second=20.0)

    monkeypatch.setattr("swarmd.models.trial.try_model", try_model)
    good = run("model", "test", "fast")
    assert good.code == 0
    assert "20.0 tokens/s, 2.0 s, loaded in 1.5 s  'one, two'" in good.out
    both = run("model", "test", "--json")
    assert both.code == ExitCode.MODEL_DOWN
    assert [(model["model"], model["ok"]) for model in both.document["models"]] == [
        ("qwen2.5-coder-0.5b", True),
        ("qwen2.5-coder-1.5b", False),
    ]
    assert "E-MODEL-DOWN: nobody answers" in run("model", "test", "deep").out


def write_type(home: Home, name: str, toml: str, prompt: str = "Do it.") -> None:
    folder = home.agents / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.toml").write_text(toml)
    (folder / "prompt.md").write_text(prompt)


def test_agent_list_shows_types_problems_and_the_living(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_type(home, "poetry", 'description = "Writes verse."\naccepts = ["docs"]\ntier = "deep"\n')
    write_type(home, "broken", "description = 3\n")
    living = ActiveAgent(
        agent_id="poetry.1",
        agent_type="poetry",
        pid=7,
        start_ticks=1,
        status="working",
        started_at="2026-11-21T14:00:00.000Z",
        heartbeat_at="2026-11-21T14:00:00.000Z",
        rss_bytes=30 << 20,
        request_id="login",
        task_id="task-001",
    )
    monkeypatch.setattr(agent_list, "active_agents", lambda home: [living])
    ran = run("agent", "list")
    assert ran.code == ExitCode.FAILED
    assert "poetry" in ran.out
    assert "broken/agent.toml: description" in ran.out
    assert "poetry.1  working  7    30 MiB  0%   login/task-001" in ran.out
    document = run("agent", "list", "--json").document
    assert "broken" in [problem["type"] for problem in document["problems"]]
    assert document["alive"][0]["agent_id"] == "poetry.1"


def test_agents_of_a_daemon_that_has_ended_are_not_shown(run: Run, home: Home) -> None:
    home.active_agents_file.write_text('{"v":1,"updated_at":"x","agents":{}}')
    assert run("agent", "list", "--json").document["alive"] == []


def test_config_show_tells_values_and_origins(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.settings_file.write_text("[daemon]\nmax_agents = 3\n")
    monkeypatch.setenv("SWARMD_PRIVACY", "balanced")
    found = {
        one["name"]: (one["value"], one["origin"])
        for one in run("config", "show", "--json").document["settings"]
    }
    assert found["daemon.max_agents"] == (3, str(home.settings_file))
    assert found["privacy"] == ("balanced", "SWARMD_PRIVACY")
    assert found["limits.seconds"] == (3600, "default")
    assert str(home.settings_file) in run("config", "show", "--origin").out


def test_config_show_names_what_is_wrong(run: Run, home: Home) -> None:
    home.settings_file.write_text("[daemon]\nmax_agent = 3\n")
    ran = run("config", "show", "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-CONFIG")
    assert "daemon.max_agent" in ran.error["message"]


def test_init_makes_a_home_and_changes_nothing_that_exists(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = run("init", str(folder), "--json").document
    assert "swarmd.toml" in first["added"]
    (folder / "swarmd.toml").write_text("# mine\n")
    second = run("init", str(folder))
    assert (second.code, "complete" in second.out) == (0, True)
    assert (folder / "swarmd.toml").read_text() == "# mine\n"
    assert f"swarmd up -d --home {folder}" in second.err
    assert run("init", str(folder), "--home", "/elsewhere").code == ExitCode.USAGE


def test_init_where_nothing_can_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("init", str(tmp_path / "file" / "home"), "--json")
    assert (ran.code, ran.error["code"]) == (ExitCode.USAGE, "E-CONFIG")
