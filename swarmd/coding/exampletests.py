"""Tests that say what examples of a docstring or a request say: no model is needed to write those.

Small models get half of their expected values wrong; an example's was written by a person. A test is written
only where it accepts whatever the gate of the examples accepts, as far as that can be seen.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Sequence

from swarmd.coding import imports, symbols
from swarmd.coding.failure import EditError
from swarmd.coding.testfile import Style, Subject, assemble_code
from swarmd.messages import Example, Step

__all__ = ["write"]

MAX_TESTS = 12
_REPR = re.compile(r"[A-Za-z_][\w.]*\(.*\)")
"""What only a ``repr`` looks like: other words may just as well have been printed."""
_DECIMALS = re.compile(r"-?\d+\.(\d{2,})")


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
        return assemble_code(head + "\n\n\n".join(written), subject, style)
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
        lines = _statement(step, subject, style)
        if lines is None:
            return None
        body += lines
    tells = any(line.startswith(("assert ", "with pytest.raises")) for line in body)
    return body if tells and _is_known(body, subject) else None


def _is_known(body: Sequence[str], subject: Subject) -> bool:
    """Whether every name in it is the subject's, a builtin or its own; and none is two of them."""
    try:
        nodes = list(ast.walk(symbols.parse("\n".join(body))))
    except EditError:
        return False
    own = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.name for node in nodes if symbols.is_definition(node)}
    own |= {item.binds for item in imports.collect(node for node in nodes if isinstance(node, ast.stmt))}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    return not own & subject.top_names and used <= {*own, *dir(builtins), *subject.top_names, "pytest"}


def _statement(step: Step, subject: Subject, style: Style) -> list[str] | None:
    source, expected = step.source.strip("\n"), step.expected.strip()
    if '"""' in source or "'''" in source:
        return None  # its lines may not be indented
    if step.expects == "nothing":
        return source.split("\n")
    if step.expects == "raises":
        return _raising(source, expected.partition(":")[0].strip()) if style == "pytest" else None
    prints = step.expects == "output" and ("print(" in source or "print(" in subject.source)
    if step.expects == "told" or prints or "..." in expected or "\n" in source:
        return None
    return _comparing(source, expected, is_output=step.expects == "output")


def _raising(source: str, error: str) -> list[str] | None:
    kind = getattr(builtins, error, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return None
    return [f"with pytest.raises({error}):", *textwrap.indent(source, "    ").split("\n")]


def _comparing(source: str, expected: str, *, is_output: bool) -> list[str] | None:
    try:
        value = ast.literal_eval(expected)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        if not is_output or not _REPR.fullmatch(expected):
            return None
        return [f"assert repr({source}) == {expected!r}"]
    if value is None or isinstance(value, bool):
        return [f"assert {_operand(source)} is {value}"]
    if isinstance(value, float):
        return [f"assert abs({_operand(source)} - {_bracketed(expected)}) <= {_tolerance(expected, value)}"]
    if any(
        isinstance(node, ast.Constant) and isinstance(node.value, float)
        for node in ast.walk(ast.parse(expected))
    ):
        return None
    return [f"assert {_operand(source)} == {value!r}"]


def _tolerance(expected: str, value: float) -> str:
    """As the gate of the examples has it: half a unit of the last digit, if there are at least two."""
    match = _DECIMALS.fullmatch(expected)
    return f"{0.5001 * 10.0 ** -len(match[1]):.4g}" if match else f"{1e-9 * max(1.0, abs(value)):.4g}"


def _bracketed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _operand(source: str) -> str:
    """``source``, in brackets where it is more than a call, a name or a value."""
    node = ast.parse(source, mode="eval").body
    plain = ast.Call | ast.Name | ast.Attribute | ast.Subscript | ast.Constant | ast.List | ast.Dict
    return source if isinstance(node, plain) else f"({source})"
