"""Which models may answer a call, best first, and why others may not: a pure function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from swarmd.config import Mode, RuleSettings, Settings
from swarmd.errors import ConfigError
from swarmd.messages import CallContext, ChatCall, Tier
from swarmd.models import tokens
from swarmd.models.endpoint import DEFAULT_URLS, endpoint
from swarmd.models.privacy import Privacy, loopback_url, tighter

__all__ = ["Decision", "decide", "is_local"]

TIERS: tuple[Tier, ...] = ("fast", "deep", "reviewer")


@dataclass(frozen=True)
class Decision:
    """Whom to ask, in this order, and what led to it."""

    models: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    """Models that were in question, and why they may not be asked."""
    rule: str
    """The rule of the settings that fitted; "default" when none did; "model" when the call named one."""
    mode: Mode
    privacy: Privacy

    @property
    def blocked_by_privacy(self) -> bool:
        """Nobody may be asked, and but for privacy somebody might."""
        return not self.models and any(why.startswith("privacy") for _, why in self.refused)


def decide(settings: Settings, call: ChatCall, about: CallContext, micro_usd_left: int = 0) -> Decision:
    """The decision for ``call``, whose request may still spend ``micro_usd_left``. Privacy filters before
    anything else, fallbacks and cloud models included. Raises ConfigError for a model that the settings do
    not have."""
    fitting = (one for one in settings.routing.rules if _fits(one, call, about, micro_usd_left))
    rule = next(fitting, None)
    mode = rule.mode if rule and rule.mode else settings.routing.mode
    privacy = tighter(tighter(settings.privacy, about.privacy), call.privacy)
    chosen = _named(settings, call, rule)
    refused: dict[str, str] = {}
    for name in dict.fromkeys([*chosen, *settings.routing.cloud]):
        why = _why_not(settings, name, mode, privacy, fills=call.suffix is not None)
        if why:
            refused[name] = why
    models = [name for name in chosen if name not in refused]
    cloud = [name for name in settings.routing.cloud if name not in refused]
    ordered = _ordered(settings, models, cloud, mode, call, about, tuple(rule.models) if rule else ())
    by = "model" if call.model else rule.name if rule else "default"
    return Decision(tuple(ordered), tuple(refused.items()), by, mode, privacy)


def is_local(settings: Settings, name: str) -> bool:
    """Whether the model ``name`` is served on this machine, as far as its settings tell."""
    model = settings.models[name]
    if model.provider in ("embedded", "auto"):  # auto takes no Ollama elsewhere where that is forbidden
        return True
    if model.provider == "ollama":
        return loopback_url(settings.ollama.host) is not None
    return loopback_url(model.base_url or "") is not None


def _fits(rule: RuleSettings, call: ChatCall, about: CallContext, micro_usd_left: int) -> bool:
    given: Iterable[tuple[list[str], str]] = (
        (list(rule.kind), about.kind),
        (list(rule.agent_type), about.agent_type),
        (list(rule.skill), about.skill),
        (list(rule.purpose), call.purpose),
        (list(rule.tier), call.tier),
        (list(rule.privacy), about.privacy),
        (list(rule.risk), about.risk),
    )
    if any(wanted and value not in wanted for wanted, value in given):
        return False
    size = tokens.at_least(call)
    most = rule.max_prompt_tokens
    if size < rule.min_prompt_tokens or (most is not None and size > most):
        return False
    least = rule.min_budget_micro_usd
    if least is not None and micro_usd_left < least:
        return False
    return (about.attempt or 1) >= rule.min_attempt


def _named(settings: Settings, call: ChatCall, rule: RuleSettings | None) -> list[str]:
    """The models in question, the first choice first: those asked for, then those of the tiers from the
    call's own one up."""
    if call.model is not None:
        if call.model not in settings.models:
            known = ", ".join(sorted(settings.models))
            problem = f"no model is called {call.model!r}; swarmd.toml has: {known}"
            raise ConfigError(problem, field="model")
        return [call.model]
    names = list(rule.models) if rule else []
    for tier in TIERS[TIERS.index(call.tier) :]:
        names += [str(getattr(settings.tiers, tier)), *settings.routing.fallbacks.of(tier)]
    return list(dict.fromkeys(names))


def _why_not(settings: Settings, name: str, mode: Mode, privacy: Privacy, *, fills: bool) -> str | None:
    local = is_local(settings, name)
    if fills and settings.models[name].provider == "anthropic":
        return "protocol: it fills no gaps"
    if privacy == "strict" and not local:
        return f"privacy: strict, and it is at {_server(settings, name)}, which is not this machine"
    if mode == "local_only" and not local:
        return f"mode: local_only, and it is at {_server(settings, name)}, which is not this machine"
    if mode == "cloud_only" and local:
        return "mode: cloud_only, and it is on this machine"
    return None


def _server(settings: Settings, name: str) -> str:
    model = settings.models[name]
    url = (
        settings.ollama.host
        if model.provider == "ollama"
        else model.base_url or DEFAULT_URLS.get(model.provider)
    )
    return endpoint(url).shown if url else model.provider


def _ordered(
    settings: Settings,
    models: list[str],
    cloud: list[str],
    mode: Mode,
    call: ChatCall,
    about: CallContext,
    by_rule: tuple[str, ...],
) -> list[str]:
    if call.model is not None:
        return models
    wanted = call.purpose in settings.routing.cloud_for or about.risk == "high"
    first = list(by_rule) if mode == "auto" else []
    if mode == "auto" and wanted:
        first += cloud
    rest = [*models, *cloud]
    if mode in ("auto", "prefer_local"):
        rest.sort(key=lambda name: not is_local(settings, name))
    return [name for name in dict.fromkeys([*first, *rest]) if name in models or name in cloud]
