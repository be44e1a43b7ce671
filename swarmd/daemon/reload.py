"""Taking over settings and agent types while the daemon runs."""

from __future__ import annotations

import os
from typing import Any

from swarmd.agents.spec import load_types
from swarmd.config import Settings, load
from swarmd.daemon.context import Context
from swarmd.daemon.journal import Event, event

__all__ = ["reload"]

AT_START = (
    "daemon.durability",
    "daemon.half_written_s",
    "daemon.max_request_bytes",
    "daemon.settle_s",
    "daemon.sweep_interval_s",
    "daemon.watch",
    "logs.segment_mib",
    "sandbox.level",
)
"""Settings that stay as they were until the daemon is started again."""
OF_BROKER = (
    *("budget.", "engine.", "models.", "ollama.", "policy.concurrency", "privacy", "routing.", "tiers."),
    "weights_folder",
)
"""Settings, or beginnings of their names, that the broker reads when it is started."""


def reload(context: Context) -> Event:
    """Take over swarmd.toml and agents/ as they are now; what runs already goes on as it was begun, but
    for calls of models when these have changed, which are made again.

    Raises ConfigError when the settings are wrong, OSError when they cannot be read.
    """
    before = _flat(context.settings)
    wanted = load(context.home.settings_file, os.environ)
    settings = _with(wanted, {name: before[name] for name in AT_START})
    types = load_types(context.home.agents, settings.models)
    changed = _changed(before, _flat(settings))
    context.settings, context.types = settings, types
    if any(name.startswith(OF_BROKER) for name in changed):
        context.broker_is_outdated = True
    data = {"changed": changed, "types": sorted(types.valid), "broken": sorted(types.problems)}
    return event("settings_loaded", data={**data, "after_restart": _changed(before, _flat(wanted), AT_START)})


def _flat(settings: Settings) -> dict[str, Any]:
    """Each setting by its dotted name."""
    flat: dict[str, Any] = {}
    for section, value in settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{section}.{name}": inner for name, inner in value.items()}
        else:
            flat[section] = value
    return flat


def _with(settings: Settings, values: dict[str, Any]) -> Settings:
    """``settings`` in which those of dotted names have other ``values``."""
    document = settings.model_dump(mode="json")
    for dotted, value in values.items():
        section, _, name = dotted.partition(".")
        document[section][name] = value
    return Settings.model_validate(document)


def _changed(before: dict[str, Any], after: dict[str, Any], names: tuple[str, ...] = ()) -> list[str]:
    """Which settings, of ``names`` or of all, are not what they were."""
    return sorted(name for name in names or {*before, *after} if before.get(name) != after.get(name))
