"""The agents that live now."""

from __future__ import annotations

from swarmd.council.registry import ActiveAgent, read_active
from swarmd.daemon import presence
from swarmd.home import Home

__all__ = ["active_agents"]


def active_agents(home: Home) -> list[ActiveAgent]:
    """The agents of the running daemon, by name. None without one: the file may be older than its end."""
    active = read_active(home) if presence.read(home) else None
    return [agent for _, agent in sorted(active.agents.items())] if active else []
