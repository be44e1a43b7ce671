"""What an example may consist of: a small part of Python's expressions, checked on the syntax tree.

An example is untrusted text. It is never executed here, only parsed, and what is not on the lists
below is not taken.
"""

from __future__ import annotations

import ast
import re
import warnings

__all__ = [
    "MAX_EXPECTED",
    "MAX_SOURCE",
    "SAFE_BUILTINS",
    "SPECIAL_FLOATS",
    "assigned_names",
    "calls",
    "constant",
    "free_names",
    "normalised",
    "statement",
]

MAX_SOURCE = 600
"""Longest statement, in characters."""
MAX_EXPECTED = 2000
"""Longest constant, in characters."""
MAX_NODES = 300
MAX_NESTING = 30
MAX_SIZE = 100_000
"""Largest number that a sequence is repeated by, or that ``range`` and ``bytes`` are given."""
MAX_EXPONENT = 64

SAFE_BUILTINS = frozenset(
    re.findall(
        r"\w+",
        "abs all any bool bytes complex dict divmod enumerate filter float frozenset int isinstance"
        " iter len list map max min next ord print chr hex bin oct range repr reversed round set sorted str"
        " sum tuple zip",
    )
)
"""Built-in functions and classes that an example may call around a call of the project."""
_FORBIDDEN_NAMES = frozenset(
    re.findall(
        r"\w+",
        "open eval exec compile input breakpoint exit quit globals locals vars getattr setattr delattr help"
        " memoryview object super type classmethod staticmethod property os sys subprocess socket shutil"
        " pathlib importlib builtins ctypes threading multiprocessing signal tempfile",
    )
)
_FORBIDDEN_ATTRIBUTES = frozenset(
    re.findall(
        r"\w+",
        "system popen fork forkpty kill killpg unlink rmtree rmdir removedirs chmod chown symlink urlopen"
        " urlretrieve connect listen mro format format_map",
    )
)
_NODES = (
    ast.Call, ast.keyword, ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Constant, ast.Starred,
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Subscript, ast.Slice,
    ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop,
    ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
)  # fmt: skip
_CONSTANT_NODES = (
    ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow,
)  # fmt: skip
_EMPTY = frozenset({"set()", "frozenset()", "dict()", "list()", "tuple()"})
SPECIAL_FLOATS = re.compile(r"float\(\s*(['\"])[-+]?(?:inf|infinity|nan)\1\s*\)", re.IGNORECASE)


def statement(source: str) -> ast.Expr | ast.Assign | None:
    """``source`` as the one statement that it is, if an example may hold it: an expression, or an
    assignment to plain names."""
    tree = _parse(source, MAX_SOURCE)
    if tree is None or len(tree.body) != 1:
        return None
    node = tree.body[0]
    if isinstance(node, ast.Assign):
        if len(node.targets) != 1 or not assigned_names(node) or not _is_safe(node.value):
            return None
        return None if any(_is_bad_name(name) for name in assigned_names(node)) else node
    return node if isinstance(node, ast.Expr) and _is_safe(node.value) else None


def _parse(source: str, limit: int) -> ast.Module | None:
    source = source.strip()
    if not source or len(source) > limit or "\0" in source or _nesting(source) > MAX_NESTING:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in it is not this process's warning
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _nesting(source: str) -> int:
    depth = deepest = 0
    for char in source:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    longest = max((len(run) for run in re.findall(r"[-+~\s]+|(?:not\s+)+", source)), default=0)
    return max(deepest, longest // 4)


def _is_safe(tree: ast.expr) -> bool:
    nodes = list(ast.walk(tree))
    return len(nodes) <= MAX_NODES and all(isinstance(node, _NODES) and _is_harmless(node) for node in nodes)


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return not _is_bad_name(node.id)
    if isinstance(node, ast.Attribute):
        return not node.attr.startswith("__") and node.attr not in _FORBIDDEN_ATTRIBUTES
    if isinstance(node, ast.keyword):
        return not (node.arg or "").startswith("__")
    if isinstance(node, ast.Constant):
        return node.value is not Ellipsis
    if isinstance(node, ast.comprehension):
        return not node.is_async
    if isinstance(node, ast.Call):
        return not (_builtin(node) in ("range", "bytes") and any(_is_large(one) for one in node.args))
    return not isinstance(node, ast.BinOp) or _is_small(node)


def _is_bad_name(name: str) -> bool:
    return name.startswith("__") or name in _FORBIDDEN_NAMES


def _builtin(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_large(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) > MAX_SIZE


def _is_small(node: ast.BinOp) -> bool:
    """Whether ``node`` cannot grow without bounds: no shift, no tower of powers, no giant repetition."""
    if isinstance(node.op, ast.Pow):
        power = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        base = node.left.operand if isinstance(node.left, ast.UnaryOp) else node.left
        plain = isinstance(power, ast.Constant) and isinstance(base, ast.Constant)
        return plain and isinstance(power.value, int | float) and abs(power.value) <= MAX_EXPONENT  # type: ignore[attr-defined]
    if isinstance(node.op, ast.Mult):
        return not (_is_large(node.left) or _is_large(node.right))
    return not isinstance(node.op, ast.LShift | ast.MatMult)


# what a statement uses


def assigned_names(node: ast.stmt) -> list[str]:
    """The names that an assignment to plain names binds; empty for everything else."""
    if not isinstance(node, ast.Assign):
        return []
    target = node.targets[0]
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return [one.id for one in parts if isinstance(one, ast.Name)] if _plain(parts) else []


def _plain(parts: list[ast.expr]) -> bool:
    return all(isinstance(one, ast.Name) for one in parts)


def free_names(node: ast.AST) -> list[str]:
    """The names that ``node`` takes from outside, without safe built-ins, in their order."""
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    bound = {one.id for one in names if isinstance(one.ctx, ast.Store)}
    found = dict.fromkeys(one.id for one in names if isinstance(one.ctx, ast.Load))
    return [name for name in found if name not in bound and name not in SAFE_BUILTINS]


def calls(node: ast.AST) -> list[list[str]]:
    """What ``node`` calls, as dotted parts: ``shop.Cart(2).total()`` gives ``shop.Cart``."""
    found = []
    for one in ast.walk(node):
        parts: list[str] = []
        inner = one.func if isinstance(one, ast.Call) else None
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            found.append([inner.id, *parts])
    return found


# constants


def constant(source: str) -> ast.expr | None:
    """``source`` as the constant that it is: a literal, arithmetic of numbers, ``set()``,
    ``float("inf")``; None when it is anything else."""
    tree = _parse(source, MAX_EXPECTED)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    value = tree.body[0].value
    return value if _is_constant(value) else None


def _is_constant(node: ast.expr) -> bool:
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            text = ast.unparse(one)
            return one is node and (text in _EMPTY or SPECIAL_FLOATS.fullmatch(text) is not None)
        if not isinstance(one, _CONSTANT_NODES) or not _is_harmless(one):
            return False
        if isinstance(one, ast.UnaryOp) and not _is_number(one.operand):
            return False
        if isinstance(one, ast.BinOp) and not (_is_number(one.left) and _is_number(one.right)):
            return False
    return True


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | complex)


def normalised(source: str) -> str:
    """``source`` in one spelling, to compare it with others; as it is when it does not parse."""
    tree = _parse(source, MAX_EXPECTED)
    if tree is None or len(tree.body) != 1:
        return " ".join(source.split())
    node = tree.body[0]
    try:
        # alone in a module, a string would be written like a docstring
        return ast.unparse(node.value if isinstance(node, ast.Expr) else node)
    except (RecursionError, ValueError):
        return source
