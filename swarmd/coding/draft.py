"""A Python file on its way to its next version: what it defines, and the changes to its lines."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmd.coding import imports, symbols
from swarmd.coding.failure import FormatError
from swarmd.coding.splice import Piece, attached_comments, indent_of, indent_unit
from swarmd.coding.symbols import Symbol

__all__ = ["Draft", "read"]


@dataclass
class Draft:
    """The file as it was, and the changes so far, in line numbers of the original."""

    lines: list[str]
    tree: ast.Module
    known: list[Symbol]
    unit: str
    """One step of indentation."""
    changes: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    nodes: list[ast.AST] = field(default_factory=list)
    """The reply's statements that were taken over."""

    def find(self, name: str, node: ast.AST | None = None) -> Symbol | None:
        """The file's symbol ``name``; of several (a property and its setter) the one like ``node``."""
        same = [symbol for symbol in self.known if symbol.name == name]
        if len(same) > 1 and node is not None:
            same = [symbol for symbol in same if _accessor(symbol.node) == _accessor(node)]
        return same[-1] if same else None

    def text_of(self, symbol: Symbol) -> list[str]:
        """The lines of ``symbol``."""
        return self.lines[symbol.start - 1 : symbol.end]

    def replace(self, symbol: Symbol, new: list[str], node: ast.AST) -> None:
        """Put ``new``, which is the reply's ``node``, in the place of ``symbol``."""
        self.changes[(symbol.start, symbol.end)] = new
        self.nodes.append(node)

    def add_method(self, owner: Symbol, part: Piece) -> None:
        """Put a method at the end of a class."""
        self._insert(owner.end + 1, ["", *part.indented(self._member_indent(owner), self.unit)], part)

    def add_definition(self, part: Piece, beside: Sequence[str]) -> None:
        """Put a function or class above the definition around ``beside``; without one, at the end."""
        before = self._above(beside)
        new = part.indented("", self.unit)
        if before is not None:
            self._insert(before, [*new, "", ""], part)
            return
        before = self._end_of_code()
        above = self.lines[: before - 1]
        blank = next((count for count, line in enumerate(reversed(above)) if line.strip()), len(above))
        gap = [""] * (2 - min(blank, 2)) if len(above) > blank or self.changes else []
        below = ["", ""] if any(line.strip() for line in self.lines[before - 1 :]) else []
        if (before, before - 1) in self.changes and below:
            gap = []  # what was put here before brought its own blank lines
        self._insert(before, [*gap, *new, *below], part)

    def add_constant(self, part: Piece, owner: Symbol | None) -> None:
        """Put an assignment after the other plain statements at the head of the file or class."""
        if owner is None or not isinstance(owner.node, ast.ClassDef):
            last = _last_plain(self.tree.body, imports.header_end(self.lines, self.tree))
            assigned = bool(last) and self.lines[last - 1][:1].isalpha() and " = " in self.lines[last - 1]
            gap = [] if last == 0 or assigned or (last + 1, last) in self.changes else [""]
            self._insert(last + 1, [*gap, *part.indented("", self.unit)], part)
            return
        new = part.indented(self._member_indent(owner), self.unit)
        self._insert(_last_plain(owner.node.body, owner.node.body[0].lineno - 1) + 1, new, part)

    def result(self) -> str:
        """The file with all changes."""
        lines = list(self.lines)
        for (start, end), new in sorted(self.changes.items(), reverse=True):
            lines[start - 1 : end] = new
        return "\n".join(lines)

    def _insert(self, before: int, new: list[str], part: Piece) -> None:
        self.changes.setdefault((before, before - 1), []).extend(new)
        self.nodes.append(part.node)

    def _member_indent(self, owner: Symbol) -> str:
        body: list[ast.stmt] = getattr(owner.node, "body", [])
        if not body or body[0].lineno == owner.node.lineno:
            raise FormatError(f"class {owner.name} is written on one line; answer with the whole class.")
        return indent_of(self.lines[body[0].lineno - 1])

    def _above(self, names: Sequence[str]) -> int | None:
        lines = [symbol.start for symbol in self.known if symbol.name in names]
        for symbol in self.known:
            if lines and not symbol.owner and symbol.start <= min(lines) <= symbol.end:
                return symbol.start - attached_comments(self.lines, symbol.start)
        return None

    def _end_of_code(self) -> int:
        """The line before a script's last ``if __name__ …``, else the one after the last code."""
        for node in reversed(self.tree.body):
            if isinstance(node, ast.If) and "__name__" in imports.used_names([node.test]):
                return node.lineno - attached_comments(self.lines, node.lineno)
        count = len(self.lines)
        while count and not self.lines[count - 1].strip():
            count -= 1
        return count + 1


def read(source: str) -> Draft:
    """A draft without changes. Raises FormatError or SyntaxFailedError when it cannot be edited so."""
    if "\r" in source:
        raise FormatError("The file has bare carriage returns; it cannot be edited by symbol.")
    tree = symbols.parse(source)
    lines = source.split("\n")
    return Draft(lines, tree, symbols.read(tree), indent_unit(lines, tree))


def _last_plain(body: Sequence[ast.stmt], default: int) -> int:
    """The last line of the statements before the first definition or branch."""
    last = default
    for node in body:
        if symbols.is_definition(node) or isinstance(node, ast.If | ast.Try | ast.With):
            break
        last = node.end_lineno or node.lineno
    return last


def _accessor(node: ast.AST) -> str:
    """What tells a property's getter from its setter, and an overload from the implementation."""
    names = symbols.decorators(node) if symbols.is_definition(node) else []
    marks = [name for name in names if name.endswith((".setter", ".deleter", "property", "overload"))]
    return marks[0].rpartition(".")[2] if marks else ""
