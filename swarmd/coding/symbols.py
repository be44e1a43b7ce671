"""The named parts of a Python file, and the lines on which they stand."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeGuard

from swarmd.coding.failure import SyntaxFailedError

__all__ = [
    "Definition",
    "Symbol",
    "at_line",
    "bound_names",
    "calls_in",
    "decorators",
    "docstring_node",
    "is_definition",
    "parse",
    "read",
    "segment",
    "statements",
]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Symbol:
    """A function, method, class or module-level constant."""

    name: str
    """Qualified inside its file: ``Cart.total``."""
    kind: Literal["function", "method", "class", "constant"]
    start: int
    """First line, from 1, decorators included."""
    end: int
    """Last line."""
    node: ast.stmt = field(repr=False, compare=False)

    @property
    def short(self) -> str:
        """The name without its class."""
        return self.name.rpartition(".")[2]

    @property
    def owner(self) -> str:
        """The class that it is in; empty at module level."""
        return self.name.rpartition(".")[0]


def parse(source: str) -> ast.Module:
    """The syntax tree of ``source``. Raises SyntaxFailedError that shows the line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's invalid escape is not this process's warning
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()[:200]
        what = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise SyntaxFailedError(
            f"SyntaxError: {what}" + (f" (line {line}: {text})" if line else "")
        ) from None


def is_definition(node: ast.AST | None) -> TypeGuard[Definition]:
    """True for a function or a class."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def read(source: str | ast.Module) -> list[Symbol]:
    """Every symbol of a file, in the order of its lines. Raises SyntaxFailedError."""
    tree = parse(source) if isinstance(source, str) else source
    return list(_walk(tree.body, ""))


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """``body``, and what stands in it under ``if``, ``try`` and ``with``: as much the file's own."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from statements(_branches(node))


def _walk(body: Sequence[ast.stmt], owner: str) -> Iterator[Symbol]:
    for node in statements(body):
        if is_definition(node):
            yield _definition(node, owner)
            if isinstance(node, ast.ClassDef):
                yield from _walk(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for name in bound_names(node):
                yield Symbol(owner + name, "constant", node.lineno, node.end_lineno or node.lineno, node)


def _definition(node: Definition, owner: str) -> Symbol:
    kind: Literal["function", "method", "class"] = "class"
    if not isinstance(node, ast.ClassDef):
        kind = "method" if owner else "function"
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return Symbol(owner + node.name, kind, first, node.end_lineno or node.lineno, node)


def _branches(node: ast.If | ast.Try | ast.With) -> list[ast.stmt]:
    found = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
    for handler in getattr(node, "handlers", []):
        found.extend(handler.body)
    return found


def bound_names(node: ast.stmt) -> list[str]:
    """The plain names that an assignment binds."""
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def at_line(symbols: Sequence[Symbol], line: int) -> Symbol | None:
    """The innermost symbol that covers ``line``."""
    around = [symbol for symbol in symbols if symbol.start <= line <= symbol.end]
    return min(around, key=lambda symbol: symbol.end - symbol.start, default=None)


def segment(source: str, symbol: Symbol) -> str:
    """The lines of ``symbol``, with their indentation."""
    return "\n".join(source.split("\n")[symbol.start - 1 : symbol.end])


def calls_in(node: ast.AST) -> list[str]:
    """Names that ``node`` calls or looks up, the outermost first; ``a.b()`` gives ``b``."""
    names: dict[str, None] = {}
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            if isinstance(child.func, ast.Name):
                names[child.func.id] = None
            elif isinstance(child.func, ast.Attribute):
                names[child.func.attr] = None
        elif isinstance(child, ast.Attribute):
            names[child.attr] = None
    return list(names)


def decorators(node: Definition) -> list[str]:
    """The decorators of ``node`` as text."""
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def docstring_node(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a module, class or function."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[0]
    return None
