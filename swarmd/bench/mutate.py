"""Planting one bug in a function: an operator, a comparison, a boundary, a variable or a return.

Only the text of the changed expression changes, so that the rest of the file keeps its layout and
comments. The order is decided by the random generator that is given, and by nothing else.
"""

from __future__ import annotations

import ast
import builtins
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["KINDS", "Kind", "Mutation", "mutations"]

Kind = Literal["operator", "comparison", "boundary", "variable", "return"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Site = tuple[ast.AST, ast.AST]
"""The node, and what takes its place."""


@dataclass(frozen=True)
class Mutation:
    """A file with one bug."""

    kind: Kind
    line: int
    source: str


def mutations(source: str, function: str, rng: random.Random) -> Iterator[Mutation]:
    """Every mutation of the body of ``function`` in ``source``, the kinds taking turns.

    Each parses, and its syntax tree differs from the original's in the one place. Raises SyntaxError
    when ``source`` does not parse.
    """
    tree = ast.parse(source)
    found = next(
        (node for node in ast.walk(tree) if isinstance(node, _Function) and node.name == function), None
    )
    if found is None:
        return
    kinds = rng.sample(KINDS, len(KINDS))
    queues = {kind: _shuffled(list(_sites(kind, found)), rng) for kind in kinds}
    for turn in range(max(map(len, queues.values()))):
        for kind in kinds:
            if turn < len(queues[kind]):
                node, replacement = queues[kind][turn]
                text = _written(source, tree, node, replacement)
                if text is not None:
                    yield Mutation(kind, getattr(node, "lineno", 0), text)


def _shuffled(sites: list[_Site], rng: random.Random) -> list[_Site]:
    rng.shuffle(sites)
    return sites


def _sites(kind: Kind, function: _Function) -> Iterator[_Site]:
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    names = _local_names(function)
    for node in nodes:
        match kind:
            case "operator":
                yield from _operators(node)
            case "comparison":
                yield from _compared(node, _COMPARISONS)
            case "boundary":
                yield from _compared(node, _BOUNDARIES)
                yield from _shifted(node)
            case "variable":
                yield from _renamed(node, names)
            case "return":
                yield from _returned(node, names)


def _operators(node: ast.AST) -> Iterator[_Site]:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield node, ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        yield node, ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
    elif isinstance(node, ast.BoolOp):
        yield node, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node, node.operand


def _compared(node: ast.AST, table: dict[type[ast.cmpop], type[ast.cmpop]]) -> Iterator[_Site]:
    if not isinstance(node, ast.Compare):
        return
    for place, old in enumerate(node.ops):
        if type(old) in table:
            ops = [*node.ops[:place], table[type(old)](), *node.ops[place + 1 :]]
            yield node, ast.Compare(node.left, ops, node.comparators)


def _shifted(node: ast.AST) -> Iterator[_Site]:
    """A whole number one off."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, ast.Constant(node.value + 1)
        if node.value > 0:
            yield node, ast.Constant(node.value - 1)


def _renamed(node: ast.AST, names: list[str]) -> Iterator[_Site]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id:
                yield node, ast.Name(other, ast.Load())


def _returned(node: ast.AST, names: list[str]) -> Iterator[_Site]:
    """Another value returned; what a person would mistake it for, not nothing at all."""
    if not isinstance(node, ast.Return) or node.value is None:
        return
    value = node.value
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        yield node, ast.Return(ast.Constant(not value.value))
    elif isinstance(value, ast.Compare | ast.BoolOp):
        yield node, ast.Return(ast.UnaryOp(ast.Not(), value))
    elif isinstance(value, ast.BinOp):
        yield node, ast.Return(value.left)
        yield node, ast.Return(value.right)
    elif isinstance(value, ast.Call) and value.args and not isinstance(value.args[0], ast.Starred):
        yield node, ast.Return(value.args[0])
    used = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)}
    for name in names:
        if name not in used:
            yield node, ast.Return(ast.Name(name, ast.Load()))


def _local_names(function: _Function) -> list[str]:
    """Parameters and variables of ``function``, not those of functions, lambdas and comprehensions in
    it, which mean nothing outside of these."""
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    queue: list[ast.AST] = list(function.body)
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    while queue:
        node = queue.pop(0)
        if isinstance(node, (*inner, *comprehensions)):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        queue += ast.iter_child_nodes(node)
    return [name for name in dict.fromkeys(names) if name != "_" and not hasattr(builtins, name)]


def _written(source: str, tree: ast.Module, node: ast.AST, replacement: ast.AST) -> str | None:
    """``source`` in which ``replacement`` is written over ``node``; None when that cannot be done so
    that it means what it should, or means the same as before."""
    memo: dict[int, object] = {id(node): replacement}
    wanted = ast.dump(copy.deepcopy(tree, memo))
    if wanted == ast.dump(tree):
        return None
    start, end = _span(source, node)
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(replacement)))
    data = source.encode()
    for form in (text, f"({text})"):
        candidate = (data[:start] + form.encode() + data[end:]).decode()
        try:
            if ast.dump(ast.parse(candidate)) == wanted:
                return candidate
        except SyntaxError:
            continue
    return None


def _span(source: str, node: ast.AST) -> tuple[int, int]:
    """Where ``node`` stands, in bytes of the UTF-8 text, as ``ast`` counts columns."""
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
    return starts[first - 1] + getattr(node, "col_offset", 0), starts[last - 1] + getattr(
        node, "end_col_offset", 0
    )
