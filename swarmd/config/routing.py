"""Settings of routing: which models may answer a call, in which order, and what that may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from swarmd.config.section import Section

__all__ = ["BudgetSettings", "Mode", "RoutingSettings", "RuleSettings", "TierModels"]

Mode = Literal["local_only", "prefer_local", "auto", "cloud_only"]
TierName = Literal["fast", "deep", "reviewer"]


class TierModels(Section):
    """Models by tier."""

    fast: list[str] = Field(default_factory=list)
    deep: list[str] = Field(default_factory=list)
    reviewer: list[str] = Field(default_factory=list)

    def of(self, tier: TierName) -> list[str]:
        """Those of ``tier``."""
        return list(getattr(self, tier))


class RuleSettings(Section):
    """One rule: what it is for, and what follows. What is left empty does not matter; all that is given must
    hold."""

    name: str = ""
    """For the log. Default: its number."""
    kind: list[str] = Field(default_factory=list)
    """Kinds of requests: feature, bugfix …"""
    agent_type: list[str] = Field(default_factory=list)
    skill: list[str] = Field(default_factory=list)
    purpose: list[str] = Field(default_factory=list)
    """What the call is for: plan, edit, fill, tests, review, page, docstring, message …"""
    tier: list[TierName] = Field(default_factory=list)
    privacy: list[Literal["strict", "balanced", "off"]] = Field(default_factory=list)
    risk: list[Literal["low", "high"]] = Field(default_factory=list)
    """high: the task's files, by their names, have to do with secrets, money, access or migrations."""
    min_prompt_tokens: int = Field(default=0, ge=0)
    """Prompts of at least so many tokens, about."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    min_attempt: int = Field(default=1, ge=1)
    """From this attempt of the task on."""
    min_budget_micro_usd: int | None = Field(default=None, ge=0)
    """While at least so much of what the request may spend is left."""
    models: list[str] = Field(default_factory=list)
    """Names from ``models``, the first choice first. Empty: those of the tier."""
    mode: Mode | None = None
    """Instead of routing.mode."""


class RoutingSettings(Section):
    """Who answers a call. Privacy comes first: what it forbids is no candidate, whatever stands here."""

    mode: Mode = "local_only"
    """local_only: models on this machine. prefer_local: another one only when no local one can answer. auto:
    another one first for the purposes in ``cloud_for`` and for tasks of high risk, else as prefer_local.
    cloud_only: never one on this machine."""
    fallbacks: TierModels = TierModels()
    """Models that answer for a tier when its own cannot, in this order. After them come those of the next
    tiers."""
    cloud: list[str] = Field(default_factory=list)
    """Models on other machines that may be asked, the first choice first, for any tier."""
    cloud_for: list[str] = Field(default_factory=lambda: ["plan", "review"])
    """Purposes for which ``auto`` asks them first. Routine work stays here."""
    rules: list[RuleSettings] = Field(default_factory=list)
    """In order; the first that fits decides."""
    breaker_failures: int = Field(default=5, ge=1)
    """After so many failures in a row of one model on one server it is not asked for a while."""
    breaker_s: float = Field(default=30.0, gt=0)
    """How long; then one call tries it."""

    @model_validator(mode="after")
    def _rules_have_names(self) -> RoutingSettings:
        named = [
            rule if rule.name else rule.model_copy(update={"name": f"rule {number}"})
            for number, rule in enumerate(self.rules, 1)
        ]
        object.__setattr__(self, "rules", named)
        return self


class BudgetSettings(Section):
    """What calls to paid models may cost, in micro-USD; 0: nothing may be spent. The worst case is reserved
    before each call. For each request limits.micro_usd holds, too."""

    day_micro_usd: int = Field(default=1_000_000, ge=0)
    """In one day (UTC)."""
    home_micro_usd: int = Field(default=20_000_000, ge=0)
    """Ever, by this home."""
