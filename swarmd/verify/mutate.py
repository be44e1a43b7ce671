"""Small changes that break code: tests that pass all of them test nothing."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass

__all__ = ["MAX_MUTANTS", "Mutant", "mutants", "names_used"]

MAX_MUTANTS = 8

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Site = tuple[ast.AST, str, ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One broken version of a module."""

    change: str
    source: str


def mutants(source: str, names: Collection[str] = (), *, limit: int = MAX_MUTANTS) -> list[Mutant]:
    """At most ``limit`` mutants of the functions called ``names`` (or of classes so called, with all
    their methods), spread over them; of all functions when none has such a name. The first ones of
    each function replace its returned values, which any test of it must notice.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    functions = _functions(tree, set(names)) or _functions(tree, None)
    queues = [list(_sites(function)) for function in functions]
    chosen: list[_Site] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return [_mutant(tree, *site) for site in chosen[:limit]]


def names_used(source: str) -> set[str]:
    """Every name, attribute and import that appears in ``source``: what a test may be about."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.update(node.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            names.update((node.module or "").split("."))
    return names


def _functions(tree: ast.Module, names: set[str] | None) -> list[_Function]:
    found: list[_Function] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (names is None or node.name in names):
            found += [part for part in node.body if isinstance(part, _Function)]
        elif isinstance(node, _Function) and (names is None or node.name in names):
            found.append(node)
    return list(dict.fromkeys(found))


def _sites(function: _Function) -> Iterator[_Site]:
    """(node, what is done to it, what takes its place), the most telling first."""
    inside = [node for statement in function.body for node in ast.walk(statement)]
    for node in inside:
        if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield node, "returns None", ast.Return(ast.Constant(None))
    yield from _expressions(inside)
    for node in inside:
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.Raise, ast.Delete)) or _is_call(node):
            yield node, "leaves out a statement", ast.Pass()


def _expressions(inside: list[ast.AST]) -> Iterator[_Site]:
    texts = {id(node.value) for node in inside if isinstance(node, ast.Expr)}  # docstrings
    for node in inside:
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
            ops = [_COMPARE[type(node.ops[0])](), *node.ops[1:]]
            yield node, "turns a comparison round", ast.Compare(node.left, ops, node.comparators)
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            yield node, "swaps an operator", ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, "swaps and with or", ast.BoolOp(other, node.values)
        elif isinstance(node, ast.Constant) and id(node) not in texts and _other(node.value) is not None:
            yield node, "changes a constant", ast.Constant(_other(node.value))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await))


def _other(value: object) -> bool | int | float | str | None:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value:
            return value + "x"
    return None


def _mutant(tree: ast.Module, node: ast.AST, change: str, replacement: ast.AST) -> Mutant:
    # deepcopy takes what its memo holds for the node, so only this one place differs in the copy.
    memo: dict[int, object] = {id(node): ast.copy_location(copy.deepcopy(replacement), node)}
    mutated = copy.deepcopy(tree, memo)
    line = getattr(node, "lineno", 0)
    return Mutant(f"line {line}: {change}", ast.unparse(ast.fix_missing_locations(mutated)))
