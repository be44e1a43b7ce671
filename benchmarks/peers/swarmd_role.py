"""The no-op agent of the *whole* row: it notes that it was called and proposes nothing.

An agent imports its role before it is confined, so the shared notes are open by then.
"""

from __future__ import annotations

import os
import time

from benchmarks.peers.slots import current, index_of
from swarmd.agents.roles import RoleContext
from swarmd.messages import Proposal
from swarmd.testing import run as do_nothing

__all__ = ["run"]

_NOTES = current() if "BUS_SLOTS" in os.environ else None
_WORK_S = float(os.environ.get("BUS_WORK_S", "0"))


def run(context: RoleContext) -> Proposal:
    """Note the beginning. The effect is the outbox file, and is noted by who sees it appear."""
    if _NOTES is not None:
        _NOTES.begin(index_of(context.order.user_request))
    if _WORK_S:
        time.sleep(_WORK_S)
    return do_nothing(context)
