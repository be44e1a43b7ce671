"""What people call a model: a tier, a name from swarmd.toml, or weights."""

from __future__ import annotations

from collections.abc import Sequence

from swarmd.config import Settings
from swarmd.errors import UsageError
from swarmd.models.catalogue import CATALOGUE

__all__ = ["TIERS", "model_named", "weights_named", "weights_of_tiers"]

TIERS = ("fast", "deep", "reviewer")


def model_named(settings: Settings, name: str) -> str:
    """The model that ``name``, a tier or a model of swarmd.toml, means. Raises UsageError."""
    if name in TIERS:
        return str(getattr(settings.tiers, name))
    if name in settings.models:
        return name
    known = ", ".join([*TIERS, *sorted(settings.models)])
    raise UsageError(f"no model or tier is called {name!r}", hint=f"There are: {known}.")


def weights_named(settings: Settings, name: str) -> str:
    """The catalogue's weights that ``name``, a tier, a model or weights, means. Raises UsageError."""
    if name in CATALOGUE:
        return name
    if name in TIERS or name in settings.models:
        model = model_named(settings, name)
        weights = settings.models[model].weights
        if weights in CATALOGUE:
            return str(weights)
        raise UsageError(
            f"the model {model} has no weights from the catalogue",
            hint='"swarmd model list" shows the catalogue.',
        )
    known = ", ".join([*TIERS, *sorted(settings.models), *CATALOGUE])
    raise UsageError(f"nothing to pull is called {name!r}", hint=f"There are: {known}.")


def weights_of_tiers(settings: Settings) -> Sequence[str]:
    """The catalogue's weights that the tiers may need, each once."""
    models = [settings.models[model_named(settings, tier)] for tier in TIERS]
    wanted = [model.weights for model in models if model.provider in ("auto", "embedded")]
    return list(dict.fromkeys(name for name in wanted if name in CATALOGUE and name is not None))
