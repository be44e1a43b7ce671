"""Turns one definition of a reply into lines that fit the place in the file where they go."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.symbols import Definition, Symbol

__all__ = [
    "Piece",
    "attached_comments",
    "indent_of",
    "indent_unit",
    "is_stub",
    "leaves_out",
    "piece",
    "same_code",
]

_LEFT_OUT = re.compile(
    r"^\s*(?:#|//|<!--)\s*(?:\.\.\.|…|\[?\(?(?:the )?(?:rest|remaining|remainder)\b|(?:other|existing)"
    r" (?:code|methods|functions|imports)|(?:your|add|insert) (?:code|implementation) here"
    r"|same as (?:before|above)|(?:code )?(?:unchanged|omitted))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Piece:
    """One statement of a reply."""

    node: ast.stmt
    lines: list[str]
    """As in the reply."""
    start: int
    """The number, in the reply, of the first of them."""

    def indented(self, indent: str, unit: str) -> list[str]:
        """The lines at ``indent``, each level deeper by ``unit``, whatever the reply's own steps are.

        Lines inside multi-line strings stay as they are: there, indentation is content.
        """
        frozen = set(_string_lines(self.node))
        levels = dict(_levels(self.node, 0))
        columns = {self.node.col_offset: indent}
        new, anchor = [], (self.node.col_offset, indent)
        for number, line in enumerate(self.lines, self.start):
            if number in frozen or not line.strip():
                new.append(line if number in frozen else "")
                continue
            column = len(indent_of(line))
            if number in levels:
                columns[column] = indent + unit * levels[number]
                anchor = (column, columns[column])
            fitted = columns.get(column, anchor[1] + " " * max(0, column - anchor[0]))
            new.append(fitted + line.lstrip())
        return new

    def fitted(
        self, existing: Symbol, lines: Sequence[str], unit: str, keeps_decorator: Callable[[str], bool]
    ) -> list[str]:
        """The lines in the place of ``existing``, with its decorators and docstring if the reply has none."""
        new = self.indented(indent_of(lines[existing.start - 1]), unit)
        if not (symbols.is_definition(self.node) and symbols.is_definition(existing.node)):
            return new
        given = symbols.decorators(self.node)
        kept = [
            line
            for node in existing.node.decorator_list
            if ast.unparse(node) not in given and keeps_decorator(ast.unparse(node))
            for line in lines[node.lineno - 1 : node.end_lineno]
        ]
        return kept + _with_docstring(new, self.node, existing.node, lines)


def _levels(node: ast.stmt, level: int) -> Iterator[tuple[int, int]]:
    """The first lines of ``node`` and of all statements in it, with how deep they are nested."""
    yield from ((decorator.lineno, level) for decorator in getattr(node, "decorator_list", []))
    yield node.lineno, level
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, []):
            if isinstance(child, ast.stmt):
                is_elif = field == "orelse" and child.col_offset == node.col_offset
                yield from _levels(child, level if is_elif else level + 1)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                yield from _clause_levels(child, level)


def _clause_levels(clause: ast.ExceptHandler | ast.match_case, level: int) -> Iterator[tuple[int, int]]:
    inner = level + (2 if isinstance(clause, ast.match_case) else 1)
    if isinstance(clause, ast.match_case):
        yield clause.pattern.lineno, level + 1
    for child in clause.body:
        yield from _levels(child, inner)


def indent_of(line: str) -> str:
    """The white space at the start of ``line``."""
    return line[: len(line) - len(line.lstrip())]


def indent_unit(lines: Sequence[str], tree: ast.Module) -> str:
    """One step of indentation as the file has it; four spaces when it shows none."""
    for node in ast.walk(tree):
        if symbols.is_definition(node) and node.body[0].lineno > node.lineno:
            outer, inner = indent_of(lines[node.lineno - 1]), indent_of(lines[node.body[0].lineno - 1])
            return inner.removeprefix(outer) or "    "
    return "    "


def _with_docstring(
    new: list[str], node: Definition, old_node: Definition, lines: Sequence[str]
) -> list[str]:
    """Small models drop docstrings that nobody asked them to drop: put the old one back."""
    old = symbols.docstring_node(old_node)
    at = _first_line(node.body[0]) - _first_line(node)
    on_its_own = old is not None and old.lineno > old_node.lineno and node.body[0].lineno > node.lineno
    if old is None or symbols.docstring_node(node) is not None or not on_its_own:
        return new
    before, after = indent_of(lines[old.lineno - 1]), indent_of(new[at])
    text = [
        after + line.removeprefix(before) if line.startswith(before) else line
        for line in lines[old.lineno - 1 : old.end_lineno]
    ]
    return [*new[:at], *text, *new[at:]]


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def piece(node: ast.stmt, lines: Sequence[str], *, comments: bool = False) -> Piece:
    """The statement ``node`` of a reply whose lines are ``lines``; with the ``comments`` above it."""
    first = _first_line(node)
    start = first - (attached_comments(lines, first) if comments else 0)
    return Piece(node, list(lines[start - 1 : node.end_lineno]), start)


def _string_lines(node: ast.stmt) -> Iterator[int]:
    """Lines that continue a multi-line string; docstrings may move with their code."""
    movable = {id(doc.value) for child in ast.walk(node) if (doc := symbols.docstring_node(child))}
    for child in ast.walk(node):
        is_string = isinstance(child, ast.JoinedStr) or (
            isinstance(child, ast.Constant) and isinstance(child.value, str | bytes)
        )
        if is_string and id(child) not in movable:
            assert isinstance(child, ast.expr)
            yield from range(child.lineno + 1, (child.end_lineno or child.lineno) + 1)


def attached_comments(lines: Sequence[str], line: int) -> int:
    """How many comment lines stand directly above ``line`` (from 1), at its indentation."""
    here = lines[line - 1] if line <= len(lines) else ""
    indent = here[: len(here) - len(here.lstrip())]
    count = 0
    while line - 2 - count >= 0 and lines[line - 2 - count].startswith(indent + "#"):
        count += 1
    return count


def is_stub(node: ast.AST) -> bool:
    """True for a function of nothing but a docstring, ``...``, ``pass`` or ``raise NotImplementedError``.

    An abstract method or an overload is none: it is meant to be like that.
    """
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    if any(text.rpartition(".")[2] in {"abstractmethod", "overload"} for text in symbols.decorators(node)):
        return False
    rest = node.body[1:] if symbols.docstring_node(node) else node.body
    return all(_does_nothing(child) for child in rest)


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return node.exc is not None and "NotImplemented" in ast.unparse(node.exc)
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or constant


def leaves_out(new: Sequence[str], old: Sequence[str]) -> bool:
    """True when ``new`` has a comment such as "# ... rest of the code" that ``old`` has not."""
    before = {line.strip() for line in old}
    return any(_LEFT_OUT.match(line) and line.strip() not in before for line in new)


def same_code(new: Sequence[str], old: Sequence[str]) -> bool:
    """True when nothing but layout differs, or comments were lost."""
    try:
        trees = [ast.dump(symbols.parse(textwrap.dedent("\n".join(lines)))) for lines in (new, old)]
    except SyntaxFailedError:
        return list(new) == list(old)
    adds_comments = sum("#" in line for line in new) > sum("#" in line for line in old)
    return trees[0] == trees[1] and not adds_comments
