"""What a model call is part of: the facts by which it is routed, ranked and paid."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from swarmd.config import Settings
from swarmd.daemon.state import RequestState
from swarmd.messages import CallContext, Packet
from swarmd.models.privacy import tighter

__all__ = ["call_context", "risk_of"]

RISKY = re.compile(
    r"auth|login|passw|secret|token|crypt|cipher|permission|acl|oauth|session|payment|billing|invoice|migrat",
    re.IGNORECASE,
)
"""Words in the names of files where a mistake costs more than a failing test."""


def call_context(
    settings: Settings, request: RequestState, packet: Packet | None = None, attempt: int | None = None
) -> CallContext:
    """The facts of a call for ``request``: for its planning, or for an attempt at ``packet``."""
    asked = request.request
    limits = settings.limits
    files = packet.files_owned if packet else asked.files
    return CallContext(
        request_id=request.request_id,
        task_id=packet.task_id if packet else None,
        attempt=attempt,
        kind=request.plan.kind if request.plan else asked.kind,
        agent_type=packet.agent_type if packet else "",
        skill=(packet.skill or "") if packet else "",
        priority=asked.priority,
        risk=risk_of(files),
        privacy=tighter(asked.privacy, settings.privacy),
        workspace=request.survey.workspace if request.survey else asked.workspace or "",
        tokens=min(asked.limits.tokens or limits.tokens, limits.tokens),
        micro_usd=min(
            limits.micro_usd if asked.limits.micro_usd is None else asked.limits.micro_usd, limits.micro_usd
        ),
    )


def risk_of(files: Iterable[str]) -> Literal["low", "high"]:
    """high: one of ``files`` has to do, by its name, with secrets, access, money or migrations."""
    return "high" if any(RISKY.search(name) for name in files) else "low"
