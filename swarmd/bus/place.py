"""Which folders are read for drops, and what their priority is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarmd.home import Home
from swarmd.messages import PRIORITIES, Priority

__all__ = ["Place", "request_places"]


@dataclass(frozen=True)
class Place:
    """One folder, and the priority of what is dropped there."""

    folder: Path
    priority: Priority
    skip: frozenset[str] = frozenset()
    """Names that are no drops."""


def request_places(home: Home) -> list[Place]:
    """The four priority folders, and bus/inbox/ itself, which counts as normal."""
    places = [Place(home.inbox / priority, priority) for priority in PRIORITIES]
    return [*places, Place(home.inbox, "normal", frozenset(PRIORITIES))]
