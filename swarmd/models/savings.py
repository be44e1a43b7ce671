"""What it is worth that models run here: the same tokens at a cloud's list price, against what was paid.

The comparison is of tokens, not of work: another model might need fewer of them, or more.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmd.config import CostSettings
from swarmd.models.pricing import Rates

__all__ = ["Counted", "Savings", "cloud_cost", "savings"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Counted:
    """What was used, here or elsewhere."""

    prompt_tokens: int
    """With the cached ones."""
    cached_tokens: int
    completion_tokens: int
    micro_usd: int = 0

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Savings:
    """Money in micro-USD."""

    all_cloud: int
    """What all tokens, those used here and those used elsewhere, cost at the rates compared with."""
    paid: int
    """What was paid for calls to other machines."""
    watt_hours: float
    electricity: int
    """What this machine drew while it answered, at the price in the settings."""
    local_share: float
    """Of all tokens, those used here: by this much the use of a cloud was reduced. 0 to 1."""
    speed: float | None
    """Tokens per second here, in and out, while it answered; None without local calls."""
    break_even_speed: float | None
    """The speed below which the electricity for a token costs more than the token does in the cloud; None
    when the cloud's would have been free, or nothing was used here."""
    hardware: int
    """What was paid for the machine; 0: not known."""
    days_to_pay_off: float | None
    """Days, at the pace so far, until what is saved has paid for the machine; 0 when it has, None when it
    never will, or its price is not known."""

    @property
    def spent(self) -> int:
        """What was really spent: clouds and electricity."""
        return self.paid + self.electricity

    @property
    def saved(self) -> int:
        """Less than all-cloud by so much; negative when it was more."""
        return self.all_cloud - self.spent

    @property
    def reduction(self) -> float | None:
        """Of the costs: 0.9 says that nine tenths were saved; negative when it was dearer. None when
        all-cloud would have been free."""
        return self.saved / self.all_cloud if self.all_cloud else None


def cloud_cost(rates: Rates, used: Counted) -> int:
    """What ``used`` costs at ``rates``. Tokens that were cached here are taken as cached there, too, which
    makes the cloud look cheaper rather than dearer."""
    return rates.cost(used.prompt_tokens, used.cached_tokens, used.completion_tokens)


def savings(
    settings: CostSettings, rates: Rates, local: Counted, cloud: Counted, busy_ms: int, span_ms: int
) -> Savings:
    """The account. ``busy_ms`` is how long this machine was answering, ``span_ms`` the time from the first
    call to the last."""
    local_in_cloud = cloud_cost(rates, local)
    all_cloud = local_in_cloud + cloud_cost(rates, cloud)
    watt_hours = settings.watts * busy_ms / HOUR_MS
    electricity = round(watt_hours / 1000 * settings.kwh_price)
    tokens = local.tokens + cloud.tokens
    per_second = settings.watts / 1000 * settings.kwh_price / 3600
    saved = all_cloud - cloud.micro_usd - electricity
    return Savings(
        all_cloud=all_cloud,
        paid=cloud.micro_usd,
        watt_hours=watt_hours,
        electricity=electricity,
        local_share=local.tokens / tokens if tokens else 0.0,
        speed=local.tokens * 1000 / busy_ms if busy_ms else None,
        break_even_speed=per_second * local.tokens / local_in_cloud if local_in_cloud else None,
        hardware=settings.hardware_price,
        days_to_pay_off=_days_to_pay_off(settings.hardware_price, saved, span_ms),
    )


def _days_to_pay_off(price: int, saved: int, span_ms: int) -> float | None:
    if not price or saved <= 0:
        return None
    if saved >= price:
        return 0.0
    return (price - saved) / saved * span_ms / DAY_MS if span_ms > 0 else None
