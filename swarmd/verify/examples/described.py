"""Inputs and outputs in a docstring, without a call: ``Input: a = [1, 2], k = 1`` and ``Output: 3``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from swarmd.messages.example import Step
from swarmd.verify.examples.pairs import Pair
from swarmd.verify.examples.project import Definition
from swarmd.verify.examples.scan import take_constant
from swarmd.verify.examples.syntax import constant, normalised, statement

__all__ = ["WORD", "described"]

WORD = "nput"
"""What a docstring has in it that has such examples."""
MAX_INPUT = 600
"""Most characters between the two words."""

_INPUT = re.compile(
    r"(?im)^[ \t]*(?:[-*•\d.)(]+[ \t]*)?(?:example[^\n:]{0,20}:[ \t]*)?\binputs?[ \t]*[:=][ \t]*"
)
_OUTPUT = re.compile(
    r"(?i)[ \t]*(?:[,;]|=>|->|→)?[ \t]*(?:\n[ \t]*)?(?:[-*•][ \t]*)?"
    r"\b(?:expected[ \t]+)?outputs?[ \t]*[:=][ \t]*"
)
_ENDS = re.compile(r"[ \t]*(?:$|\n|#|[.;](?:\s|$)|\()")


def described(text: str, definition: Definition) -> Iterator[Pair]:
    """The pairs in ``text``, the docstring of ``definition``, as calls of it. Methods have none."""
    if "." in definition.name or not definition.parameters:
        return
    for match in _INPUT.finditer(text):
        output = _OUTPUT.search(text, match.end(), match.end() + MAX_INPUT)
        if output is None or "\n" in text[match.end() : output.start()].strip():
            continue
        source = f"{definition.name}({text[match.end() : output.start()].strip().rstrip(',;')})"
        end = take_constant(text, output.end())
        if end is None or not _ENDS.match(text, end) or not _fits(source, definition):
            continue
        step = Step(source=normalised(source), expects="value", expected=text[output.end() : end])
        yield Pair(text.count("\n", 0, match.start()) + 1, step, doubtful=False)


def _fits(source: str, definition: Definition) -> bool:
    """Whether ``source`` is a call with constants that ``definition`` can be given."""
    if statement(source) is None:
        return False
    call = ast.parse(source, mode="eval").body
    if not isinstance(call, ast.Call):
        return False
    names = [one.arg for one in call.keywords]
    constants = [*call.args, *(one.value for one in call.keywords)]
    if None in names or any(constant(ast.unparse(one)) is None for one in constants):
        return False
    left = definition.parameters[len(call.args) :]
    if len(call.args) > len(definition.parameters) or not set(names) <= set(left):
        return False
    return {one for one in left if one in definition.required} <= set(names)
