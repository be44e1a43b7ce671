"""Settings of the accounts: what this machine costs, and what it is compared with."""

from __future__ import annotations

from pydantic import Field

from swarmd.config.section import Section

__all__ = ["CostSettings"]


class CostSettings(Section):
    """What "swarmd tokens" reckons with. Nothing here decides where a call goes. Money is in micro-USD:
    1,000,000 are one dollar."""

    compare_with: str = "anthropic:claude-sonnet-4-5"
    """The cloud model whose list price the same tokens are priced at: provider:model, as genai-prices names
    them."""
    watts: float = Field(default=65.0, ge=0)
    """What the machine draws while it answers a model call, in watts. The default is a guess: measure it."""
    kwh_price: int = Field(default=300_000, ge=0)
    """What a kilowatt-hour costs, in micro-USD."""
    hardware_price: int = Field(default=0, ge=0)
    """What was paid for the machine, in micro-USD, for when it has paid for itself. 0: not counted."""
