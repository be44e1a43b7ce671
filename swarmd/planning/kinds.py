"""What sort of work a request is, when it does not say so itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from swarmd.errors import PlanError
from swarmd.messages import AcceptedRequest
from swarmd.messages.request import Kind
from swarmd.planning.typeinfo import TypeInfo, named_type, server_of

__all__ = ["asks_for_tests", "detect", "resolve"]

_START = r"\A\W*(?:(?:please|can you|could you|i want you to|we need to|just)\W+)*"
_MAKE = r"\b(?:add|write|create|improve|update|extend|complete|correct|fix|generate|provide)\s+"
_FILLER = r"(?:(?:a|an|the|some|new|more|missing|better|unit|short|proper|google-style)\s+){0,4}"

KIND_WORDS: tuple[tuple[Kind, str], ...] = (
    # What the sentence begins with says most …
    ("review", _START + r"(?:review|audit)\b"),
    ("deploy", _START + r"(?:deploy|release|ship|publish)\b"),
    ("refactor", _START + r"(?:refactor|rename|extract|inline|simplify|split|restructure|tidy|clean up)\b"),
    ("research", _START + r"(?:research|investigate|compare|find out)\b"),
    ("docs", _START + r"document\b"),
    ("test", _START + r"(?:test|cover)\b"),
    # … then what is to be made …
    ("docs", _MAKE + _FILLER + r"(?:docstrings?|docs|documentation|readme|changelog|comments?|typos?)\b"),
    ("test", r"\b(?:add|write|create|extend|generate|provide)\s+" + _FILLER + r"(?:tests?|test cases?)\b"),
    # … then words anywhere.
    (
        "bugfix",
        r"\b(?:fix(?:es|ed)?|bugs?|buggy|failing|fails|broken|crash(?:es)?|regression|traceback)\b",
    ),
    ("feature", r"\b(?:add|implement|create|build|introduce|support|write|make|new|provide)\b"),
    ("refactor", r"\b(?:refactor|refactoring|rename|deduplicate)\b"),
    ("docs", r"\b(?:docstrings?|readme|documentation|document|changelog|typos?)\b"),
    ("test", r"\b(?:tests?|coverage)\b"),
    ("review", r"\b(?:review|audit)\b"),
    ("deploy", r"\b(?:deploy|deployment)\b"),
)
"""The first pattern that the request matches decides."""

_RULES = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in KIND_WORDS)
_READ = 4000
"""Characters of a request that are looked at: what it is about stands at its beginning."""


def asks_for_tests(text: str) -> bool:
    """Whether the request ``text`` speaks of tests."""
    return re.search(r"\btest(?:s|ed|ing)?\b", text, re.IGNORECASE) is not None


def detect(text: str, *, tests_fail: bool) -> Kind:
    """The kind of work that ``text`` asks for; without a clue, a bug fix if tests fail on the base."""
    for kind, rule in _RULES:
        if rule.search(text[:_READ]):
            return kind
    return "bugfix" if tests_fail else "feature"


def resolve(
    request: AcceptedRequest, types: Mapping[str, TypeInfo], *, tests_fail: bool
) -> tuple[Kind, TypeInfo]:
    """The kind of ``request`` and the agent type that does its main work.

    Raises PlanError: E-KIND-UNSERVED, or E-AGENT-UNKNOWN for a type that is not installed.
    """
    kind: Kind = request.kind
    if kind == "auto":
        kind = detect(request.user_request, tests_fail=tests_fail)
        if request.workspace is None and kind in ("feature", "bugfix", "refactor"):
            kind = "project"
    named = named_type(request.user_request, types)
    if named is None:
        return kind, server_of(kind, types)
    if kind in named.accepts or not named.accepts:
        return kind, named
    if request.kind != "auto":
        raise PlanError(
            f"agent type {named.name!r} does not accept {kind!r}; it accepts {', '.join(named.accepts)}",
            code="E-KIND-UNSERVED",
            hint='Leave "kind" out, or name another agent type.',
            field="kind",
        )
    return named.accepts[0], named
