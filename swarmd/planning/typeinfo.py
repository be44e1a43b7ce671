"""What planning knows of the installed agent types, and which of them does a request's work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from swarmd.errors import PlanError
from swarmd.messages import Tier
from swarmd.messages.request import Kind

__all__ = ["BUILTIN_TYPES", "TypeInfo", "named_type", "of_role", "server_of"]

BUILTIN_TYPES = frozenset({"coding", "testing", "review", "docs", "git", "deploy"})
"""The types that every home is made with; any other one is the user's own."""

_NAMED = re.compile(r"\bagent(?:[ _-]type)?\s*[:=]\s*[`\"']?([a-z][a-z0-9-]{0,31})", re.IGNORECASE)


@dataclass(frozen=True)
class TypeInfo:
    """One agent type, as far as planning is concerned."""

    name: str
    description: str = ""
    role: str = "coding"
    """The built-in behaviour that it follows."""
    accepts: tuple[Kind, ...] = ()
    """Kinds of request that it serves."""
    skills: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    """Ids of the gates that its work must pass; empty: all."""
    tier: Tier | None = None
    attempts: int | None = None
    needs_workspace: bool = True
    """Whether its requests need a project."""


def named_type(text: str, types: Mapping[str, TypeInfo]) -> TypeInfo | None:
    """The type that ``text`` asks for as ``agent type: NAME``, if it asks for one.

    Raises PlanError when no such type is installed.
    """
    found = _NAMED.search(text)
    if found is None:
        return None
    name = found[1].lower()
    if name not in types:
        raise PlanError(
            f"no agent type {name!r} is installed; installed: {', '.join(sorted(types)) or 'none'}",
            code="E-AGENT-UNKNOWN",
            hint='Run "swarmd agent list", and correct the name in the request.',
        )
    return types[name]


def server_of(kind: Kind, types: Mapping[str, TypeInfo]) -> TypeInfo:
    """The type that serves requests of ``kind``: the user's own before a built-in one.

    Raises PlanError E-KIND-UNSERVED when none does.
    """
    serving = sorted((t for t in types.values() if kind in t.accepts), key=_own_first)
    if not serving:
        served = sorted({accepted for t in types.values() for accepted in t.accepts})
        raise PlanError(
            f"no installed agent type serves the kind {kind!r}; served: {', '.join(served) or 'none'}",
            code="E-KIND-UNSERVED",
            hint=f'Choose another "kind", or add a folder under agents/ whose agent.toml accepts "{kind}".',
            field="kind",
        )
    return serving[0]


def of_role(role: str, types: Mapping[str, TypeInfo]) -> TypeInfo | None:
    """The type that does ``role`` beside another's work: the built-in one before the user's own."""
    fitting = [t for t in types.values() if t.role == role]
    return min(fitting, key=lambda t: (t.name != role, t.name), default=None)


def _own_first(info: TypeInfo) -> tuple[bool, str]:
    return (info.name in BUILTIN_TYPES, info.name)
