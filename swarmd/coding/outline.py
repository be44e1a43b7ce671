"""Signatures without bodies: what a model must know of the code that it is not to change."""

from __future__ import annotations

import ast
from collections.abc import Collection

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError

__all__ = ["outline", "signature"]

_VALUE_LENGTH = 40


def signature(node: ast.stmt) -> str:
    """The head of a definition on one line, or an assignment with a short value."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in [*node.bases])
        return f"class {node.name}({bases}):" if bases else f"class {node.name}:"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{prefix} {node.name}({ast.unparse(node.args)}){returns}: ..."
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 2] + " …"


def outline(source: str, *, skip: Collection[str] = (), only: Collection[str] | None = None) -> str:
    """The signatures of a Python file; empty when it does not parse or is nested too deeply to be read.

    ``skip`` leaves out symbols by qualified name, ``only`` keeps those whose short name it holds
    (and the classes around them).
    """
    try:
        return "\n".join(_lines(symbols.parse(source).body, "", "", skip, only))
    except (SyntaxFailedError, RecursionError):
        return ""


def _lines(
    body: list[ast.stmt], owner: str, indent: str, skip: Collection[str], only: Collection[str] | None
) -> list[str]:
    lines: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            lines += _class_lines(node, owner, indent, skip, only)
        elif symbols.is_definition(node):
            if owner + node.name not in skip and (only is None or node.name in only):
                lines += [f"{indent}@{text}" for text in symbols.decorators(node)]
                lines.append(indent + signature(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = symbols.bound_names(node)
            if not any(owner + name in skip for name in names) and (only is None or {*names} & {*only}):
                lines.append(indent + signature(node))
    return lines


def _class_lines(
    node: ast.ClassDef, owner: str, indent: str, skip: Collection[str], only: Collection[str] | None
) -> list[str]:
    if owner + node.name in skip:
        return []
    inside_only = None if only is not None and node.name in only else only
    inside = _lines(node.body, f"{owner}{node.name}.", indent + "    ", skip, inside_only)
    if only is not None and node.name not in only and not inside:
        return []
    head = indent + signature(node)
    return [head, *inside] if inside else [head + " ..."]
