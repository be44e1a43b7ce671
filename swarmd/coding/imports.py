"""Adds the imports that new code needs to a file, where a reader and a linter expect them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmd.coding import symbols

__all__ = ["Import", "add", "collect", "header_end", "module_level_names", "used_names"]


@dataclass(frozen=True, order=True)
class Import:
    """One imported name."""

    module: str
    """With its leading dots when relative; for ``import a.b`` it is ``a.b`` and ``name`` is None."""
    name: str | None
    alias: str | None = None

    @property
    def binds(self) -> str:
        """The name that it makes known in the file."""
        return self.alias or self.name or self.module.split(".")[0]

    @property
    def text(self) -> str:
        """The part after ``import``."""
        what = self.name or self.module
        return f"{what} as {self.alias}" if self.alias else what


def collect(body: Iterable[ast.stmt]) -> list[Import]:
    """The imports among ``body``; star imports are left out, because nobody can tell what they bind."""
    found: list[Import] = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [Import(name.name, None, name.asname) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [Import(module, name.name, name.asname) for name in node.names if name.name != "*"]
    return found


def used_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Every plain name that occurs in ``nodes``, those in quoted annotations included."""
    used: set[str] = set()
    for node in nodes:
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                used.add(child.id)
            elif isinstance(child, ast.Constant) and isinstance(child.value, str) and len(child.value) < 80:
                used.update(word for word in child.value.replace("[", " ").replace("]", " ").split())
    return used


def module_level_names(tree: ast.Module) -> set[str]:
    """The names that a file binds at its top level, under ``if`` and ``try`` too."""
    names = {imported.binds for imported in collect(symbols.statements(tree.body))}
    names |= {symbol.name for symbol in symbols.read(tree) if not symbol.owner}
    return names


def header_end(lines: Sequence[str], tree: ast.Module) -> int:
    """How many lines come before the place of a file's first import: comments and docstring."""
    docstring = symbols.docstring_node(tree)
    if docstring is not None:
        return docstring.end_lineno or 1
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    if count < len(lines) and not lines[count].strip():
        return count
    # A comment that touches the code belongs to it, unless the interpreter reads it.
    return sum(1 for line in lines[: min(count, 2)] if line.startswith("#!") or "coding" in line)


def add(source: str, wanted: Sequence[Import]) -> str:
    """``source`` with ``wanted`` imported. What is bound already is left out."""
    for item in dict.fromkeys(wanted):
        tree = symbols.parse(source)
        if item.binds not in module_level_names(tree):
            source = _add_one(source, tree, item)
    return source


def _add_one(source: str, tree: ast.Module, item: Import) -> str:
    lines = source.split("\n")
    existing = _leading_imports(tree)
    for node in existing:
        if _can_extend(node, item, lines):
            names = [*collect([node]), item]
            ordered = sorted(names, key=lambda one: _name_key(one.name or ""))
            lines[node.lineno - 1] = f"from {item.module} import {', '.join(one.text for one in ordered)}"
            return "\n".join(lines)
    text = f"from {item.module} import {item.text}" if item.name else f"import {item.text}"
    if not existing:
        return "\n".join(_insert_first(lines, header_end(lines, tree), text))
    return "\n".join(_insert_sorted(lines, existing, item, text))


def _leading_imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """The imports before the first definition: those further down stand there for a reason."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in tree.body:
        if symbols.is_definition(node):
            break
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
    return found


def _can_extend(node: ast.Import | ast.ImportFrom, item: Import, lines: Sequence[str]) -> bool:
    same = isinstance(node, ast.ImportFrom) and "." * node.level + (node.module or "") == item.module
    line = lines[node.lineno - 1]
    plain = node.lineno == node.end_lineno and not set("(#;*") & set(line)
    return same and plain and item.name is not None and len(line) + len(item.text) + 2 <= 88


def _name_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as isort orders them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _group(module: str) -> int:
    if module == "__future__":
        return 0
    if module.startswith("."):
        return 3
    return 1 if module.split(".")[0] in sys.stdlib_module_names else 2


def _key(module: str, is_from: bool) -> tuple[int, bool, str]:
    return (_group(module), is_from, module.lower())


def _node_key(node: ast.Import | ast.ImportFrom) -> tuple[int, bool, str]:
    if isinstance(node, ast.Import):
        return _key(node.names[0].name, False)
    return _key("." * node.level + (node.module or ""), True)


def _insert_first(lines: list[str], at: int, text: str) -> list[str]:
    before, after = lines[:at], lines[at:]
    while after and not after[0].strip():
        after.pop(0)
    gap = [""] if before else []
    first_is_definition = bool(after) and after[0].startswith(("def ", "class ", "async ", "@"))
    return [*before, *gap, text, *([""] * (2 if first_is_definition else 1)), *after]


def _insert_sorted(
    lines: list[str], existing: Sequence[ast.Import | ast.ImportFrom], item: Import, text: str
) -> list[str]:
    key = _key(item.module, item.name is not None)
    before = [node for node in existing if _node_key(node) <= key]
    if before:
        at = before[-1].end_lineno or before[-1].lineno
        gap = [""] if _node_key(before[-1])[0] != key[0] else []
        rest = lines[at:]
        closing = [""] if gap and rest and rest[0].strip() else []
        return [*lines[:at], *gap, text, *closing, *rest]
    at = existing[0].lineno - 1
    gap = [""] if _node_key(existing[0])[0] != key[0] else []
    return [*lines[:at], text, *gap, *lines[at:]]
