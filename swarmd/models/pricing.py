"""What tokens cost at the list prices of cloud models.

Own prices in the settings win. Else the prices come from the data that genai-prices brings along (per
provider and model, with discounts for cached prompts and other rates for long ones). Its updater, which
would fetch newer ones, is never started: nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any

from swarmd.config import ModelSettings
from swarmd.errors import ConfigError

__all__ = ["Rates", "price", "rates_named"]

MILLION = 1_000_000
_SAMPLE = 1_000
"""Tokens whose price gives a rate: few enough to be below every provider's threshold for long prompts."""


@dataclass(frozen=True)
class Rates:
    """Micro-USD for a million tokens of each kind."""

    name: str
    """provider:model."""
    prompt: int
    cached: int
    """Of a prompt's tokens, those that the provider had read before."""
    reply: int

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> int:
        """Micro-USD, rounded up. ``prompt_tokens`` include the cached ones."""
        cached = min(cached_tokens, prompt_tokens)
        total = (prompt_tokens - cached) * self.prompt + cached * self.cached
        return -(-(total + completion_tokens * self.reply) // MILLION)


def price(
    model: str, settings: ModelSettings, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0
) -> int | None:
    """What one call of ``model``, which swarmd.toml describes by ``settings``, costs in micro-USD, rounded
    up; None when nobody knows. ``prompt_tokens`` include the cached ones.

    For the worst case of a call that is yet to be made, give its longest prompt and reply. A prompt is
    priced at the rate of its own length, as providers do. Embedded engines and Ollama cost nothing. The
    first look into the price data takes about 0.2 s: an event loop does that in a thread.
    """
    if settings.prompt_price or settings.reply_price:
        own = Rates("settings", settings.prompt_price, settings.prompt_price, settings.reply_price)
        return own.cost(prompt_tokens, 0, completion_tokens)
    kind = str(settings.provider)
    if kind not in ("openai", "anthropic"):
        return 0
    url = settings.base_url
    counts = (prompt_tokens, cached_tokens, completion_tokens)
    return _looked_up(settings.name or model, None if url else kind, url, *counts)


@lru_cache(maxsize=64)
def rates_named(name: str) -> Rates:
    """The rates of a cloud model given as provider:model, for prompts of ordinary length. Raises
    ConfigError (field costs.compare_with) for one that genai-prices does not have."""
    provider, _, model = name.partition(":")
    costs = (
        _looked_up(model, provider, None, _SAMPLE, 0, 0),
        _looked_up(model, provider, None, _SAMPLE, _SAMPLE, 0),
        _looked_up(model, provider, None, 0, 0, _SAMPLE),
    )
    prompt, cached, reply = (None if cost is None else cost * (MILLION // _SAMPLE) for cost in costs)
    if prompt is None or cached is None or reply is None:
        raise ConfigError(
            f"costs.compare_with: genai-prices knows no model {name!r}",
            hint="Write provider:model, such as anthropic:claude-sonnet-4-5 or openai:gpt-5.",
            field="costs.compare_with",
        )
    return Rates(name, prompt, cached, reply)


def _looked_up(
    model: str, provider: str | None, url: str | None, prompt: int, cached: int, completion: int
) -> int | None:
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=prompt, cache_read_tokens=min(cached, prompt), output_tokens=completion
    )  # counts as OpenAI does: cached tokens are a part of the prompt's
    where: dict[str, Any] = {"provider_id": provider} if provider else {"provider_api_url": url}
    try:
        found = calc_price(usage, model, **where)
    except (LookupError, ValueError):  # unknown, or a kind of tokens that has no price
        return None
    return int((Decimal(found.total_price) * MILLION).to_integral_value(ROUND_CEILING))
