from __future__ import annotations

import pytest

from swarmd.models.privacy import is_cloud_model, loopback_url, tighter


@pytest.mark.parametrize(
    ("url", "rebuilt"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://localhost:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://LOCALHOST/v1", "http://127.0.0.1/v1"),
        ("http://127.9.8.7/v1", "http://127.9.8.7/v1"),
        ("https://[::1]:8443/v1", "https://[::1]:8443/v1"),
    ],
)
def test_loopback_addresses_stay_and_localhost_is_not_resolved(url: str, rebuilt: str) -> None:
    assert loopback_url(url) == rebuilt


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v1",
        "http://0.0.0.0:11434",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1.nip.io/",
        "http://localhost.example.com/",
        "http://localhost./",
        "http://user@127.0.0.1/",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25eth0]/",
        "http://[::]/",
        "http://192.168.1.2/",
        "http://169.254.169.254/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http:///v1",
        "file:///etc/passwd",
        "127.0.0.1:11434",
        "http://１２７.0.0.1/",
        "",
    ],
)
def test_everything_else_may_leave_the_machine(url: str) -> None:
    assert loopback_url(url) is None


def test_what_another_parser_would_read_is_rebuilt_away() -> None:
    assert (
        loopback_url("http://127.0.0.1:80/v1?x=http://example.com#@example.com") == "http://127.0.0.1:80/v1"
    )


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "kimi:cloud", "Q:CLOUD", "qwen3-coder:480b-Cloud"])
def test_cloud_models_are_known_by_their_tag(name: str) -> None:
    assert is_cloud_model(name)


@pytest.mark.parametrize("name", ["qwen2.5-coder:0.5b", "cloudy:7b", "cloud-coder:latest"])
def test_other_models_are_not(name: str) -> None:
    assert not is_cloud_model(name)


def test_the_stricter_privacy_wins_from_either_side() -> None:
    assert tighter("off", "strict") == tighter("strict", "off") == "strict"
    assert tighter("balanced", "off") == "balanced"


@pytest.mark.parametrize("url", ["unix:/run/llama.sock", "unix:/run/my models/x", "unix:/a//b/./c"])
def test_a_unix_socket_is_on_this_machine(url: str) -> None:
    found = loopback_url(url)
    assert found is not None
    assert found.startswith("unix:/")
    assert loopback_url(found) == found


@pytest.mark.parametrize(
    "url",
    [
        "unix:x",
        "unix:",
        "unix://server/x",
        "unix:/a/../b",
        "unix:/a\0b",
        "unix:/" + "x" * 107,
        "UNIX:/x",
        "http+unix://x",
    ],
)
def test_what_only_looks_like_one_is_not(url: str) -> None:
    assert loopback_url(url) is None


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1\t/", "http://127.0.0.1\r\nHost: x/", "http://１２７.0.0.1/", " http://::1"]
)
def test_characters_that_parsers_disagree_on_are_refused(url: str) -> None:
    assert loopback_url(url) is None
