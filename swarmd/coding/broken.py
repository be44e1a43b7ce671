"""Repairs Python that does not parse: definitions are put in by their lines' indentation.

There is no syntax tree of such a file, so that a definition goes from its ``def`` or ``class`` to the next
line that stands no deeper. The result must parse; else nothing was repaired.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from swarmd.coding import symbols
from swarmd.coding.failure import FormatError
from swarmd.coding.merge import Scope
from swarmd.coding.readings import read_code
from swarmd.coding.splice import indent_of, piece

__all__ = ["mend"]

_CLOSES = (")", "]", "}")


def mend(source: str, code: str, scope: Scope, *, cut: bool = False) -> str:
    """``source``, which does not parse, with the definitions of ``code`` in the place of its own.

    Raises FormatError when it has none of them, or one several times; SyntaxFailedError when the file
    still does not parse.
    """
    read = read_code(code, cut=cut)
    lines, placed = source.split("\n"), 0
    for node in read.tree.body:
        if not symbols.is_definition(node) or not scope.may_replace(node.name):
            continue
        places = _places(lines, node.name)
        if len(places) != 1:
            continue
        start, end = places[0]
        lines[start:end] = piece(node, read.lines).indented(indent_of(lines[start]), "    ")
        placed += 1
    if not placed:
        raise FormatError("The file does not parse; write the definition that breaks it, or all of the file.")
    text = "\n".join(lines)
    symbols.parse(text)
    return text


def _places(lines: Sequence[str], name: str) -> list[tuple[int, int]]:
    """Every (start, end) of a definition of ``name``."""
    head = re.compile(rf"[ \t]*(?:async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b")
    return [(number, _end(lines, number)) for number, line in enumerate(lines) if head.match(line)]


def _end(lines: Sequence[str], start: int) -> int:
    depth, end = len(indent_of(lines[start])), start + 1
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip():
            if len(indent_of(line)) <= depth and not line.lstrip().startswith(_CLOSES):
                break
            end = number + 1
    return end
