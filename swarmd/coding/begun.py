"""Replies that are begun for the model, which then only goes on: signature and docstring are known."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.coding.evidence import Evidence
from swarmd.coding.symbols import Symbol

__all__ = ["Begun", "begin"]

_UNCLEAR = re.compile(r"```|<{5,}|>{5,}|</?think>|[\r\u00a0]")
"""What the reader of replies takes for something else than code."""
_OF_HEADS = re.compile(
    r"\b(?:async|coroutine|staticmethod|classmethod|decorat\w+|renam\w+|signature|annotations?|type hints?)\b"
    r"|@\w"
    r"|\b(?:add|accept|tak|remov|drop|chang|giv|gets?|new|extra|optional|another|more)\w*\s+"
    r"(?:[\w`'-]+\s+){0,4}?(?:parameters?|arguments?|kwargs|keywords?)\b"
    r"|\b(?:add|chang|updat|fix|improv|extend|correct|rewrit|writ)\w*\s+"
    r"(?:(?:an?|the|its|their|better|missing)\s+)*docstrings?\b",
    re.IGNORECASE,
)
"""Words of who wants another head."""
_OF_CALLS = re.compile(r"TypeError: .*(?:argument|takes)")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_CONSTANTS = frozenset({"None", "True", "False"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Begun:
    """A reply as far as it is known beforehand: a block with a function up to its first own statement."""

    text: str
    indent: str
    """Where that statement stands."""


def begin(
    known: Symbol, source: str, head: str, words: str, evidence: Sequence[Evidence], *, comments: bool
) -> Begun | None:
    """The beginning of a reply that writes ``known`` of ``source``, whose ``head`` is given; up to a comment
    if it shall have ``comments``. None where ``words``, the request's, or the ``evidence`` may want another
    head, or where it would be misread."""
    node = known.node
    if "." in known.owner or _UNCLEAR.search(head) or not isinstance(node, _Function):
        return None
    if _may_change(node, words, evidence):
        return None
    first = node.body[0]
    indent = source.split("\n")[first.lineno - 1][: first.col_offset]
    comment = f"{indent}#" if comments else ""
    return None if indent.strip() else Begun(f"```python\n{head}\n{comment}", indent)


def _may_change(node: _Function, words: str, evidence: Sequence[Evidence]) -> bool:
    """Whether the request, or how the tests call the function, may want another signature or docstring."""
    if _OF_HEADS.search(words) or any(_OF_CALLS.search(one.failure.message) for one in evidence):
        return True
    own = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    calls = re.findall(rf"(?<!\w){re.escape(node.name)}\(([^()]*)\)", words)
    return any(set(re.findall(r"[A-Za-z_]\w*", _QUOTED.sub("", call))) - own - _CONSTANTS for call in calls)
