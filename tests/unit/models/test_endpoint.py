"""How an address in the settings is reached, and which ones strict privacy never uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.config import ModelSettings, OllamaSettings, Settings
from swarmd.models.endpoint import Endpoint, destinations, endpoint, refused_by_strict, relay_socket
from swarmd.models.relay import Destination

FOLDER = Path("/run/swarmd")


def test_a_server_on_loopback_is_reached_by_its_address_or_by_its_relay() -> None:
    url = "http://localhost:8080/v1"
    here = "http://127.0.0.1:8080"
    assert endpoint(url) == Endpoint(f"{here}/v1", local=True, shown=here)
    relay = relay_socket(FOLDER, Destination("127.0.0.1", 8080))
    assert endpoint(url, relays=FOLDER) == Endpoint(f"{here}/v1", local=True, uds=relay, shown=here)


def test_a_unix_socket_needs_no_relay() -> None:
    at = endpoint("unix:/run/llama.sock", relays=FOLDER, path="/v1")
    shown = "unix:/run/llama.sock"
    assert at == Endpoint("http://127.0.0.1/v1", local=True, uds=Path("/run/llama.sock"), shown=shown)


def test_what_is_elsewhere_has_no_relay_and_shows_no_password() -> None:
    at = endpoint("https://me:secret@models.example.com/v1?key=secret", relays=FOLDER)
    assert (at.local, at.uds, at.shown) == (False, None, "https://models.example.com")


def test_relays_have_short_names_of_their_own() -> None:
    one, two = (relay_socket(FOLDER, Destination("127.0.0.1", port)) for port in (1, 2))
    assert one != two
    assert len(one.name) < 30


def settings(**models: ModelSettings) -> Settings:
    tiers = dict.fromkeys(("fast", "deep", "reviewer"), next(iter(models)))
    made = Settings(models=dict(models), tiers=tiers)
    return made.model_copy(update={"models": models})  # without the default models


def test_every_loopback_address_of_the_settings_gets_a_relay_and_nothing_else() -> None:
    found = settings(
        a=ModelSettings(provider="openai", base_url="http://localhost:1234/v1"),
        b=ModelSettings(provider="openai", base_url="https://[::1]/v1"),
        c=ModelSettings(provider="openai", base_url="http://models.example.com/v1"),
        d=ModelSettings(provider="openai", base_url="unix:/run/x"),
        e=ModelSettings(provider="embedded", weights="w", base_url="http://127.0.0.1:9/v1"),
    )
    assert destinations(found) == {Destination("127.0.0.1", 1234), Destination("::1", 443)}


def test_ollama_gets_one_only_where_a_model_may_be_there() -> None:
    ollama = Destination("127.0.0.1", 11434)
    assert destinations(settings(a=ModelSettings(provider="ollama"))) == {ollama}
    assert destinations(settings(a=ModelSettings(provider="auto", weights="w"))) == {ollama}
    assert destinations(settings(a=ModelSettings(provider="embedded", weights="w"))) == frozenset()
    assert destinations(Settings()) == {ollama}


def test_settings_that_lead_elsewhere_are_named() -> None:
    found = settings(
        a=ModelSettings(provider="ollama"),
        b=ModelSettings(provider="openai", base_url="http://0.0.0.0:1/v1"),
        c=ModelSettings(provider="anthropic"),
    ).model_copy(update={"ollama": OllamaSettings(host="http://gpu.local:11434")})
    refused = {one.field: (one.model, one.address) for one in refused_by_strict(found)}
    assert refused == {
        "ollama.host": (None, "http://gpu.local:11434"),
        "models.b.base_url": ("b", "http://0.0.0.0:1"),
        "models.c.base_url": ("c", "https://api.anthropic.com"),
    }


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:11434", "127.9.8.7:65535"])
def test_a_destination_is_written_as_it_is_read(text: str) -> None:
    assert str(Destination.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "localhost:1",
        "10.0.0.1:1",
        "[::ffff:127.0.0.1]:1",
        ":1",
    ],
)
def test_a_destination_is_a_literal_loopback_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|literal|unpack|loopback"):
        Destination.parse(text)
