"""The role of an agent that needs a moment: what is cancelled must still be at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmd.agents.roles import RoleContext
    from swarmd.messages import Proposal

SECONDS = 1.5


def run(context: RoleContext) -> Proposal:
    """Wait, then say so."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        context.beat("waiting")
        time.sleep(0.05)
    return context.propose(kind="message", text="waited", summary="Waited.")
