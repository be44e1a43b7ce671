"""Tests that say what examples of a docstring or a request say: no model is needed to write those.

Small models get half of their expected values wrong; an example's was written by a person.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import textwrap
from collections.abc import Sequence

from swarmd.coding import imports, symbols
from swarmd.coding.context import fence
from swarmd.coding.failure import EditError
from swarmd.coding.testfile import Style, Subject, assemble
from swarmd.messages.example import Example, Step

__all__ = ["write"]

MAX_TESTS = 12
CLOSE = "1e-9"
"""How near a float has to come, relative to 1 or to its own size: examples round."""


def write(examples: Sequence[Example], subject: Subject, style: Style) -> str | None:
    """The text of a test file with the examples of ``subject`` that can be told as tests; None: there are
    none."""
    written: list[str] = []
    for example in examples:
        body = _body(example, subject, style)
        if body is not None and len(written) < MAX_TESTS:
            written.append(_test(example, len(written) + 1, body))
    if not written:
        return None
    head = "import pytest\n\n\n" if any("pytest." in text for text in written) else ""
    try:
        return assemble(fence(head + "\n\n\n".join(written), "python"), subject, style)
    except EditError:
        return None


def _test(example: Example, number: int, body: Sequence[str]) -> str:
    about = re.sub(r"\W+", "_", example.symbol).strip("_").lower() or "it"
    lines = textwrap.indent("\n".join(body), "    ")
    return f"def test_{about}_as_in_example_{number}():\n{lines}"


def _body(example: Example, subject: Subject, style: Style) -> list[str] | None:
    """The statements of one test; None when it cannot be told as one."""
    if subject.names and example.symbol not in {*subject.names, *subject.words}:
        return None
    body: list[str] = []
    for step in example.steps:
        lines = _statement(step, style)
        if lines is None:
            return None
        body += lines
    return (
        body
        if any("assert " in line or "raises(" in line for line in body) and _is_known(body, subject)
        else None
    )


def _is_known(body: Sequence[str], subject: Subject) -> bool:
    """Whether every name in it is the subject's, a builtin or its own."""
    try:
        tree = symbols.parse("\n".join(body))
    except EditError:
        return False
    own = {
        name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in symbols.bound_names(node)
    }
    own |= {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    own |= {
        item.binds for item in imports.collect(node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used <= {*own, *dir(builtins), *subject.top_names, "pytest"}


def _statement(step: Step, style: Style) -> list[str] | None:
    source, expected = step.source.strip("\n"), step.expected.strip()
    if step.expects == "nothing":
        return source.split("\n")
    if step.expects == "raises":
        error = expected.partition(":")[0].strip()
        return _raising(source, error) if style == "pytest" and error.isidentifier() else None
    if step.expects == "told" or "..." in expected or "\n" in source or "print(" in source:
        return None
    return _comparing(source, expected)


def _raising(source: str, error: str) -> list[str] | None:
    if keyword.iskeyword(error) or not hasattr(builtins, error):
        return None
    return [f"with pytest.raises({error}):", *textwrap.indent(source, "    ").split("\n")]


def _comparing(source: str, expected: str) -> list[str] | None:
    try:
        value = ast.literal_eval(expected)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None if "\n" in expected else [f"assert repr({source}) == {expected!r}"]
    if value is None or isinstance(value, bool):
        return [f"assert {_operand(source)} is {value}"]
    if isinstance(value, float):
        return [f"assert abs({_operand(source)} - {expected}) <= {CLOSE} * max(1, abs({expected}))"]
    if any(
        isinstance(node, ast.Constant) and isinstance(node.value, float)
        for node in ast.walk(ast.parse(expected))
    ):
        return None
    return [f"assert {_operand(source)} == {expected}"]


def _operand(source: str) -> str:
    """``source``, in brackets where it is more than a call, a name or a value."""
    node = ast.parse(source, mode="eval").body
    plain = isinstance(
        node, ast.Call | ast.Name | ast.Attribute | ast.Subscript | ast.Constant | ast.List | ast.Dict
    )
    return source if plain else f"({source})"
