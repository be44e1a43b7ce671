"""What tokens cost, and what it is worth that they are used here."""

import socket

import pytest

from swarmd.config import CostSettings, ModelSettings
from swarmd.errors import ConfigError
from swarmd.models.pricing import Rates, price, rates_named
from swarmd.models.savings import Counted, savings

OPENAI = ModelSettings(provider="openai", base_url="https://api.openai.com/v1", name="gpt-5")
SONNET = Rates("anthropic:claude-sonnet-4-5", 3_000_000, 300_000, 15_000_000)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("prices are bundled")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_cloud_model_is_priced_by_its_url_and_name() -> None:
    assert price("mine", OPENAI, 1000, 100) == 1250 + 1000
    assert price("mine", OPENAI, 1000, 100, 200) == 1000 + 25 + 1000


def test_a_model_without_a_name_on_its_server_is_known_by_its_own() -> None:
    assert price("gpt-5", OPENAI.model_copy(update={"name": None}), 1000, 100) == 2250


def test_own_prices_win() -> None:
    own = OPENAI.model_copy(update={"prompt_price": 1_000_000, "reply_price": 2_000_000})
    assert price("mine", own, 1000, 100, 900) == 1200


@pytest.mark.parametrize("tokens", [1, 7, 333_333])
def test_parts_of_a_micro_dollar_are_rounded_up(tokens: int) -> None:
    cheap = ModelSettings(provider="openai", base_url="https://x.test/v1", prompt_price=1)
    assert price("m", cheap, tokens, 0) == 1


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://192.168.0.7:8000/v1", "gpt-5"),
        ("https://api.openai.com/v1", "no-such-model"),
        ("https://evil.test/https://api.openai.com/v1", "gpt-5"),
    ],
)
def test_an_unknown_price_is_none_and_not_free(url: str, name: str) -> None:
    assert price("m", ModelSettings(provider="openai", base_url=url, name=name), 1000, 100) is None


def test_models_on_this_machine_cost_nothing() -> None:
    assert price("m", ModelSettings(name="gpt-5"), 1000, 100) == 0
    assert price("m", ModelSettings(provider="ollama", name="gpt-5"), 1000, 100) == 0


def test_more_cached_tokens_than_prompt_are_not_paid_back() -> None:
    assert price("mine", OPENAI, 100, 0, 5000) == 13
    assert SONNET.cost(100, 5000, 0) == 30


def test_a_long_prompt_has_the_rate_of_its_length() -> None:
    model = ModelSettings(
        provider="openai", base_url="https://api.anthropic.com/v1", name="claude-sonnet-4-5"
    )
    short, long = price("m", model, 1000, 0), price("m", model, 1_000_000, 0)
    assert short == 3000
    assert long == 2 * 1000 * short


def test_rates_are_those_of_the_list() -> None:
    assert rates_named("anthropic:claude-sonnet-4-5") == SONNET
    assert rates_named(CostSettings().compare_with) == SONNET


@pytest.mark.parametrize("name", ["", "gpt-5", "openai:", "nobody:gpt-5", "openai:no-such-model", ":"])
def test_a_model_to_compare_with_must_be_known(name: str) -> None:
    with pytest.raises(ConfigError, match="genai-prices knows no model") as caught:
        rates_named(name)
    assert caught.value.field == "costs.compare_with"


def test_savings_are_all_cloud_less_what_was_paid() -> None:
    costs = CostSettings(watts=100, kwh_price=360_000, hardware_price=1_000_000)
    local, cloud = Counted(900_000, 0, 100_000), Counted(90_000, 0, 10_000, micro_usd=400_000)
    account = savings(costs, SONNET, local, cloud, busy_ms=3_600_000, span_ms=86_400_000)
    assert account.all_cloud == 4_200_000 + 420_000
    assert account.electricity == 36_000
    assert account.watt_hours == 100
    assert account.saved == 4_620_000 - 400_000 - 36_000
    assert account.reduction == pytest.approx(account.saved / 4_620_000)
    assert account.local_share == pytest.approx(1 / 1.1)
    assert account.days_to_pay_off == 0


def test_break_even_is_the_speed_at_which_both_cost_the_same() -> None:
    costs = CostSettings(watts=100, kwh_price=360_000)
    local = Counted(900_000, 0, 100_000)
    speed = savings(costs, SONNET, local, Counted(0, 0, 0), 3_600_000, 0).break_even_speed
    assert speed is not None
    at_that_speed = round(local.tokens / speed * 1000)
    account = savings(costs, SONNET, local, Counted(0, 0, 0), at_that_speed, 0)
    assert account.saved == pytest.approx(0, abs=2)
    assert account.speed == pytest.approx(speed)


def test_a_slow_machine_is_dearer_than_the_cloud_and_that_is_said() -> None:
    costs = CostSettings(watts=1000, kwh_price=1_000_000, hardware_price=10)
    account = savings(costs, SONNET, Counted(1000, 0, 0), Counted(0, 0, 0), 3_600_000, 1000)
    assert account.saved == 3000 - 1_000_000
    assert account.days_to_pay_off is None


def test_the_machine_pays_for_itself_at_the_pace_so_far() -> None:
    costs = CostSettings(watts=0, hardware_price=9_000_000)
    account = savings(costs, SONNET, Counted(1_000_000, 0, 0), Counted(0, 0, 0), 1000, 2 * 86_400_000)
    assert account.days_to_pay_off == pytest.approx(4)


def test_an_account_of_nothing_divides_by_nothing() -> None:
    account = savings(CostSettings(), SONNET, Counted(0, 0, 0), Counted(0, 0, 0), 0, 0)
    assert (account.reduction, account.speed, account.break_even_speed, account.local_share) == (
        None,
        None,
        None,
        0,
    )
