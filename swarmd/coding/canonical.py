"""Whether two answers are the same program: a hash of the normalised syntax tree.

Small models give the same answer again with another comment or another name for a local variable.
Judging it again would tell nothing new. Docstrings count: their examples are run.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError

__all__ = ["canonical", "canonical_of_all"]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def canonical(path: str, text: str) -> str:
    """A hash that is equal for texts of ``path`` that run alike.

    Python: its syntax tree without comments and layout, local variables numbered in the order in which they
    come. Other files: the text, without spaces at the ends of lines.
    """
    if PurePosixPath(path).suffix in {".py", ".pyi"}:
        try:
            tree = symbols.parse(text.replace("\r\n", "\n"))
            _number_locals(tree)
            return _hash(ast.dump(tree))
        except (SyntaxFailedError, RecursionError):
            pass
    return _hash("\n".join(line.rstrip() for line in text.rstrip().splitlines()))


def canonical_of_all(files: Iterable[tuple[str, str]]) -> str:
    """One hash for the new texts of several files, given with their paths."""
    return _hash("\n".join(sorted(f"{path} {canonical(path, text)}" for path, text in files)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _number_locals(tree: ast.Module) -> None:
    """Rename the variables of each outermost function; what may be seen from outside keeps its name."""
    for function in _outermost(tree):
        kept = _arguments(function) | _declared(function)
        numbers: dict[str, str] = {}
        for node in _in_order(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id not in kept:
                numbers.setdefault(node.id, f"<{len(numbers)}>")
        for node in ast.walk(function):
            if isinstance(node, ast.Name):
                node.id = numbers.get(node.id, node.id)


def _outermost(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _SCOPES):
            yield child
        else:
            yield from _outermost(child)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _arguments(function: ast.AST) -> set[str]:
    return {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def _declared(function: ast.AST) -> set[str]:
    """Names that are not the function's own, and names that are bound by statements, not by Name nodes."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            names.update(node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif symbols.is_definition(node):
            names.add(node.name)
    return names
