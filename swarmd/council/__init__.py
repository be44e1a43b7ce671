"""Who works here, and what waits for a human: the agents' registry, and warrants."""

from swarmd.council.registry import ActiveAgent, ActiveAgents, AgentRecord, AgentsRegistry, Registry
from swarmd.council.warrants import Pending, Warrant

__all__ = [
    "ActiveAgent",
    "ActiveAgents",
    "AgentRecord",
    "AgentsRegistry",
    "Pending",
    "Registry",
    "Warrant",
]
