"""What doctor says of privacy."""

from __future__ import annotations

import pytest

from swarmd.cli.checks import privacy
from swarmd.config import ModelSettings, OllamaSettings, Settings
from swarmd.models import netns


@pytest.fixture(autouse=True)
def namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "why_not", lambda: None)


def test_strict_with_a_namespace_is_well_and_names_the_ways_out() -> None:
    check = privacy.check_privacy(Settings())
    assert (check.state, check.fix) == ("ok", "")
    assert "no network but relays to 127.0.0.1:11434" in check.detail


def test_without_namespaces_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "why_not", lambda: "not allowed here: Operation not permitted")
    check = privacy.check_privacy(Settings())
    assert check.state == "warn"
    assert "Operation not permitted" in check.detail
    assert check.fix


def test_an_address_that_is_never_asked_is_named() -> None:
    remote = ModelSettings(provider="openai", base_url="https://models.example.com/v1")
    check = privacy.check_privacy(Settings(models={"remote": remote}))
    assert check.state == "warn"
    assert "models.remote.base_url is https://models.example.com" in check.detail


def test_ollamas_own_cloud_is_told_of() -> None:
    check = privacy.check_privacy(Settings(), "on")
    assert check.state == "warn"
    assert "OLLAMA_NO_CLOUD=1" in check.fix
    assert privacy.check_privacy(Settings(), "off").state == "ok"


def test_other_modes_promise_nothing() -> None:
    check = privacy.check_privacy(Settings(privacy="balanced"))
    assert (check.state, check.detail) == ("ok", "balanced: models on other machines may be asked")


def test_not_even_doctor_asks_an_ollama_elsewhere() -> None:
    elsewhere = Settings(ollama=OllamaSettings(host="http://gpu.example.com:11434"))
    assert not privacy.may_ask_ollama(elsewhere)
    assert privacy.ollama_cloud(elsewhere) is None
    assert privacy.may_ask_ollama(elsewhere.model_copy(update={"privacy": "off"}))
