"""A ``check(candidate)`` function taken apart into cases, some to be shown and the others kept hidden."""

from __future__ import annotations

import ast
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["Cases", "deal", "read", "test_file"]

CHECK = "check"
CANDIDATE = "candidate"


@dataclass(frozen=True)
class Cases:
    """What ``check`` asserts."""

    preamble: str
    """What stands beside ``check``: imports, helpers, constants."""
    setup: str
    """Imports and constants at the head of ``check`` itself."""
    asserts: tuple[str, ...]
    """One assertion each, without its message; empty when ``check`` is more than a list of them."""
    whole: str
    """``check``, and its call."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The cases as they are run, each by itself: the single assertions, else all in one."""
        return self.asserts or (self.whole,)


def read(test: str) -> Cases | None:
    """The cases in ``test``; None when it has no ``check(candidate)`` or does not parse."""
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError):
        return None
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == CHECK]
    if len(checks) != 1 or [one.arg for one in checks[0].args.args] != [CANDIDATE]:
        return None
    beside = [node for node in tree.body if node is not checks[0]]
    plain = _plain(checks[0].body)
    setup, asserts = plain if plain is not None else ([], [])
    return Cases(
        preamble=_source(beside),
        setup=_source(setup),
        asserts=tuple(dict.fromkeys(_source([ast.Assert(node.test, None)]) for node in asserts)),
        whole=f"{ast.unparse(checks[0])}\n{CHECK}({CANDIDATE})",
    )


def _source(nodes: Sequence[ast.stmt]) -> str:
    return "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in nodes)


def _plain(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], list[ast.Assert]] | None:
    """Setup and assertions, when each assertion can stand by itself; else None."""
    setup: list[ast.stmt] = []
    asserts: list[ast.Assert] = []
    for node in body:
        if isinstance(node, ast.Assert):
            if not isinstance(node.test, ast.Constant):  # "assert True" says nothing
                asserts.append(node)
        elif _is_setup(node) and not asserts:
            setup.append(node)
        elif not isinstance(node, ast.Pass) and not _is_text(node):
            return None
    return (setup, asserts) if asserts else None


def _is_setup(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Assign) and all(isinstance(one, ast.Name) for one in node.targets)
    return isinstance(node, ast.Import | ast.ImportFrom) or (constant and CANDIDATE not in _names(node))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def deal(count: int, failing: Collection[int], rng: random.Random) -> tuple[list[int], list[int]] | None:
    """Numbers of ``count`` cases, dealt into (shown, hidden), half and half.

    At least one of those that are ``failing`` is shown, and one is hidden where there are two. None when
    nothing would be left for one side, or nothing fails.
    """
    if count < 2 or not failing:
        return None
    order = rng.sample(range(count), count)
    shown, hidden = order[: count // 2], order[count // 2 :]
    for lacks, has in ((shown, hidden), (hidden, shown)):
        there = [number for number in has if number in failing]
        enough = len(there) > 1 or lacks is shown
        if not any(number in failing for number in lacks) and there and enough:
            given = there[0]
            taken = lacks[0]
            has[has.index(given)], lacks[0] = taken, given
    return sorted(shown), sorted(hidden)


def test_file(
    module: str, entry_point: str, known: Collection[str], cases: Cases, shown: Sequence[int]
) -> str:
    """A pytest file with one test for each of the ``shown`` cases; ``known`` are names of ``module``."""
    bodies = []
    used: set[str] = set()
    for place, number in enumerate(shown, 1):
        tree = ast.parse(f"{cases.setup}\n{cases.asserts[number]}".strip())
        used |= _names(tree)
        renamed = ast.unparse(_Renamed(entry_point).visit(tree))
        indented = "\n".join(f"    {line}" for line in renamed.splitlines())
        bodies.append(f"def test_{entry_point}_{place}():\n{indented}\n")
    helpers = _needed(cases.preamble, used)
    imported = ", ".join(dict.fromkeys([entry_point, *sorted((used & set(known)) - {CANDIDATE})]))
    parts = [f"from {module} import {imported}\n", *([f"{helpers}\n"] if helpers else []), *bodies]
    return "\n\n".join(parts)


def _needed(preamble: str, used: set[str]) -> str:
    """The statements of ``preamble`` that bind a name which is used, straight or by another of them."""
    nodes = ast.parse(preamble).body
    kept: list[ast.stmt] = []
    wanted = set(used)
    for node in reversed(nodes):
        if _bound(node) & wanted:
            kept.insert(0, node)
            wanted |= _names(node)
    return _source(kept)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


class _Renamed(ast.NodeTransformer):
    """``candidate`` under its real name, so that the tests read as a person would have written them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._name, node.ctx), node) if node.id == CANDIDATE else node
