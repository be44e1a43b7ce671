"""``swarmd tokens``."""

from typing import Any

import pytest

from swarmd.audit.chain import Chain
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.money import dollars, percent, span
from swarmd.home import Home

from .conftest import Run


def ended(second: int, **data: Any) -> dict[str, Any]:
    local = data.pop("local", True)
    return {
        "ts": f"2026-11-21T10:00:{second:02d}.000Z",
        "event": "model_call_complete",
        "level": "info",
        "actor": "coding.1",
        "request_id": data.pop("request_id", "login"),
        "tier": data.pop("tier", "fast"),
        "latency_ms": 2000,
        "data": {"model": "small", "provider": "embedded", "local": local, **data},
    }


def write(home: Home, *lines: dict[str, Any]) -> None:
    chain = Chain(home.master_log, "1/2")
    chain.append(lines, durable_write=False)
    chain.close()


@pytest.fixture
def used(home: Home) -> Home:
    write(
        home,
        ended(10, prompt_tokens=900_000, completion_tokens=100_000, cached_tokens=500_000),
        ended(
            11,
            prompt_tokens=90_000,
            completion_tokens=10_000,
            local=False,
            provider="openai",
            micro_usd=30_000,
        ),
        ended(20, tier="deep", code="E-MODEL-DOWN"),
    )
    return home


def test_a_row_for_each_tier_and_the_account(run: Run, used: Home) -> None:
    ran = run("tokens")
    assert ran.code == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[1] == "fast 2 0 990,000 500,000 110,000 90.9% 4.0 s $0.0300 $3.27"
    assert lines[2] == "deep 1 1 0 0 0 - 2.0 s $0.00 $0.00"
    assert lines[3].startswith("total 3 1 990,000")
    assert "calls ended 2026-11-21 10:00:10 to 2026-11-21 10:00:20 (UTC)" in lines
    assert "here 90.9% of the tokens never left for a cloud" in lines
    assert "paid $0.0300 to clouds" in lines
    assert any(line.startswith("saved $3.24, 99.1% of all-cloud") for line in lines)


def test_json_has_the_whole_account(run: Run, used: Home) -> None:
    document = run("tokens", "--by", "provider", "--json").document
    assert [group["provider"] for group in document["groups"]] == ["embedded", "openai"]
    assert document["groups"][1]["cloud"]["micro_usd"] == 30_000
    assert document["savings"]["all_cloud_micro_usd"] == 2_850_000 + 420_000
    assert document["savings"]["busy_ms"] == 4000
    assert document["total"]["local"]["tokens"] == 1_000_000
    assert document["compare_with"]["model"] == "anthropic:claude-sonnet-4-5"


def test_only_what_is_not_older(run: Run, used: Home) -> None:
    document = run("tokens", "--since", "2026-11-21T10:00:11Z", "--json").document
    assert document["total"]["local"]["calls"] == 1
    assert document["total"]["cloud"]["calls"] == 1


def test_costs_are_settings(run: Run, used: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMD_COSTS__WATTS", "900000")
    monkeypatch.setenv("SWARMD_COSTS__KWH_PRICE", "300000000")
    monkeypatch.setenv("SWARMD_COSTS__COMPARE_WITH", "openai:gpt-5")
    monkeypatch.setenv("SWARMD_COSTS__HARDWARE_PRICE", "1500000000")
    out = run("tokens").out
    assert "saved        nothing: $298.25 dearer, 16,803.1% of all-cloud" in out
    assert "list price of openai:gpt-5 ($1.25 in, $0.125 cached, $10.00 out, a million tokens)" in out
    assert "never pay for" in out


def test_an_unknown_model_to_compare_with_is_a_setting_to_mend(
    run: Run, used: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMD_COSTS__COMPARE_WITH", "gpt-5")
    ran = run("tokens")
    assert ran.code == ExitCode.USAGE
    assert "genai-prices knows no model 'gpt-5'" in ran.err
    assert "provider:model" in ran.err


def test_a_price_that_is_not_known_is_said(run: Run, home: Home) -> None:
    write(home, ended(1, prompt_tokens=10, local=False))
    assert "1 more call without a known price: set prompt_price and reply_price" in run("tokens").out


def test_before_the_first_call(run: Run, home: Home) -> None:
    assert run("tokens").out == "no model call has ended yet\n"
    assert run("tokens", "--since", "1h").out == "no model call has ended since then\n"
    assert run("tokens", "--json").document["groups"] == []


def test_names_cannot_touch_the_terminal(run: Run, home: Home) -> None:
    write(home, ended(1, model="\x1b[31mred\x1b[0m\nnew"))
    out = run("tokens", "--by", "model").out
    assert "\x1b" not in out
    assert "red new" in out


def test_a_log_with_damage_is_an_error_with_a_hint(run: Run, used: Home) -> None:
    with used.master_log.open("ab") as log:
        log.write(b"{broken\n")
    ran = run("tokens")
    assert ran.code == 1
    assert "swarmd audit verify" in ran.err


@pytest.mark.parametrize(
    ("micro_usd", "text"),
    [
        (0, "$0.00"),
        (7, "$0.000007"),
        (12_345, "$0.0123"),
        (1_234_567_890, "$1,234.57"),
        (-300_000, "-$0.30"),
        (125_000, "$0.125"),
        (100, "$0.000100"),
    ],
)
def test_dollars(micro_usd: int, text: str) -> None:
    assert dollars(micro_usd) == text


@pytest.mark.parametrize(
    ("part", "text"), [(1, "100%"), (0, "0%"), (0.9999, "over 99.9%"), (0.0001, "under 0.1%"), (0.5, "50.0%")]
)
def test_percent(part: float, text: str) -> None:
    assert percent(part) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0.0 s"), (119_000, "119.0 s"), (7_200_000, "2.0 h"), (180_000, "3.0 min")]
)
def test_span(ms: int, text: str) -> None:
    assert span(ms) == text
