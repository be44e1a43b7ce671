"""Reads the Python of a reply in spite of a model's slips: odd indentation, copied prompts or line
numbers, entities, a text that breaks off.

What is undone is how the code is written down, never what it says.
"""

from __future__ import annotations

import ast
import html
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError

__all__ = ["Code", "chunks", "parse_reply", "read_code", "undone"]

_DOTTED_DEF = re.compile(r"^([ \t]*(?:async )?def )\w+\.(\w+\()", re.MULTILINE)
"""``def Cart.total(self)``: what small models write for a method that is named with its class."""
_PROMPT = re.compile(r"^([ \t]*)(?:>>>|\.\.\.)(?: |$)", re.MULTILINE)
_NUMBER = re.compile(r"^[ \t]*\d+[ \t]*[|:](?: |$)")
_ENTITY = re.compile("&(?:lt|gt|amp|quot);")
_CONTINUES = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")
"""How a line begins that goes on with the statement above it at the same indentation."""
_CLASS = re.compile(r"[ \t]*class[ \t]+(\w+)[^#]*:[ \t]*(?:#.*)?$")
MAX_DEPTH = 8
"""Classes nested deeper are taken whole or not at all."""
MAX_LINES = 5_000
"""Longer code is not searched for what is whole in it."""


@dataclass(frozen=True)
class Code:
    """Python that was read from a reply."""

    tree: ast.Module
    lines: list[str]
    partial: frozenset[str] = frozenset()
    """Classes of which something was left out, because it does not parse or is cut off."""

    @property
    def text(self) -> str:
        """The code."""
        return "\n".join(self.lines)


def parse_reply(code: str) -> tuple[ast.Module, list[str]]:
    """The tree and lines of a reply's code, its indentation repaired if need be.

    Raises SyntaxFailedError of the code as it was given.
    """
    first: SyntaxFailedError | None = None
    for variant in undone(_plain(code)):
        for text in _spellings(variant):
            try:
                tree = symbols.parse(text)
            except SyntaxFailedError as error:
                first = first or error
                continue
            if not _has_entities(tree, text):
                return tree, text.split("\n")
    raise first or SyntaxFailedError("SyntaxError: the code holds entities such as &lt; for its signs.")


def _has_entities(tree: ast.Module, text: str) -> bool:
    """True when an entity was taken for code: ``x &lt; 1`` is ``x & lt`` and then ``1``."""
    return _ENTITY.search(text) is not None and any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitAnd)
        and isinstance(node.right, ast.Name)
        and f"&{node.right.id};" in text
        for node in ast.walk(tree)
    )


def read_code(code: str, *, cut: bool = False) -> Code:
    """The code of a reply; if it does not parse, the statements in it that do. ``cut``: it breaks off,
    so that its last statement, though it may parse, is not whole.

    Raises SyntaxFailedError of the code as it was given, if nothing in it is whole.
    """
    failed: SyntaxFailedError | None = None
    if not cut:
        try:
            return Code(*parse_reply(code))
        except SyntaxFailedError as error:
            failed = error
    for variant in undone(_plain(code)):
        lines = textwrap.dedent(variant).split("\n")
        partial: set[str] = set()
        kept = _whole_parts(lines, not cut, partial) if len(lines) <= MAX_LINES else []
        try:
            tree = symbols.parse("\n".join(kept))
        except SyntaxFailedError:
            continue
        if any(symbols.is_definition(node) or isinstance(node, ast.Assign) for node in tree.body):
            return Code(tree, kept, frozenset(partial))
    raise failed or SyntaxFailedError("The code breaks off before anything in it is whole.")


def _plain(code: str) -> str:
    code = _DOTTED_DEF.sub(r"\1\2", code)
    return code.replace("\r\n", "\n").replace("\u00a0", " ").strip("\n")


def undone(code: str) -> Iterator[str]:
    """``code``, and then without what stands around code when it is shown: the prompts of a session, line
    numbers, the signs of a diff, entities."""
    yield code
    for undo in (_without_prompts, _without_numbers, _without_signs, html.unescape):
        changed = undo(code)
        if changed != code:
            code = changed
            yield code


def _without_prompts(code: str) -> str:
    return _PROMPT.sub(r"\1", code) if re.search(r"^[ \t]*>>> ", code, re.MULTILINE) else code


def _without_numbers(code: str) -> str:
    lines = code.split("\n")
    if all(_NUMBER.match(line) for line in lines if line.strip()):
        return "\n".join(_NUMBER.sub("", line) for line in lines)
    return code


def _without_signs(code: str) -> str:
    lines = code.split("\n")
    if all(line[0] == "+" for line in lines if line.strip()):
        return "\n".join(line[1:] for line in lines)
    return code


def _spellings(code: str) -> Iterator[str]:
    """``code``, and readings of it in which a model's slips of indentation are undone."""
    yield code
    yield textwrap.dedent(code)
    yield textwrap.dedent(code.expandtabs(4))
    lines = code.expandtabs(4).split("\n")
    others = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    if lines[0].strip() and others:
        # Only the first line lost its indentation: "def a(self):" at 0, the rest at 4 and more.
        for width in sorted({min(others), max(min(others) - 4, 0)} - {0}):
            yield textwrap.dedent("\n".join([" " * width + lines[0].lstrip(), *lines[1:]]))


def _whole_parts(lines: Sequence[str], ended: bool, partial: set[str], depth: int = 0) -> list[str]:
    """The lines of those statements that parse by themselves; the last one only if the text ``ended``.

    Of a class that does not parse, the members that do; its name is added to ``partial``.
    """
    kept: list[str] = []
    found = list(chunks(lines))
    for number, chunk in enumerate(found):
        whole = ended or number < len(found) - 1
        if whole and _parses(chunk):
            kept += chunk
            continue
        heads = ((place, match[1]) for place, line in enumerate(chunk, 1) if (match := _CLASS.match(line)))
        head, name = next(heads, (0, ""))
        members = _whole_parts(chunk[head:], whole, partial, depth + 1) if head and depth < MAX_DEPTH else []
        if members and _parses([*chunk[:head], *members]):
            kept += [*chunk[:head], *members]
            partial.add(name)
    return kept


def chunks(lines: Sequence[str]) -> Iterator[list[str]]:
    """``lines`` in pieces, each one statement as far as indentation tells, with what is attached to it."""
    first = next((line for line in lines if line.strip()), "")
    base = len(first) - len(first.lstrip())
    chunk: list[str] = []
    has_code = False
    for line in lines:
        text = line.lstrip()
        starts = bool(text) and len(line) - len(text) <= base and not _CONTINUES.match(text)
        if starts and has_code:
            yield chunk
            chunk, has_code = [], False
        chunk.append(line)
        has_code = has_code or (bool(text) and text[0] not in "#@")
    if any(line.strip() for line in chunk):
        yield chunk


def _parses(lines: Sequence[str]) -> bool:
    try:
        symbols.parse(textwrap.dedent("\n".join(lines)))
    except SyntaxFailedError:
        return False
    return True
