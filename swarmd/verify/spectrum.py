"""Spectrum-based fault localisation: functions ranked by which tests call them and how those end.

The formula is Ochiai's, which found faults best among those compared in R. Abreu, P. Zoeteweij, A. J. C.
van Gemund, "On the Accuracy of Spectrum-based Fault Localization", TAIC PART 2007. Lines are counted, and
functions ranked: a branch that only failing tests take says more than that all tests call the function.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmd.messages import Suspect
from swarmd.messages.job import MAX_LINES, MAX_SUSPECTS

__all__ = ["Function", "Functions", "functions_of", "ochiai", "rank"]

_ENTRY = 0
"""No line has this number: stands for a function's being called."""


@dataclass(frozen=True)
class Function:
    """A function or method of the project; one inside another function is part of that."""

    path: str
    name: str
    """Qualified inside its file: ``Cart.total``."""
    line: int
    """Its first line, decorators included, from 1."""
    end: int


Functions = Mapping[str, Sequence[Function]]
"""The functions of each file, by its path."""


def functions_of(path: str, source: str) -> list[Function]:
    """The functions of a Python file, in the order of their lines; none when it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        return list(_functions(tree.body, path, ""))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _functions(body: Sequence[ast.stmt], path: str, owner: str) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield Function(path, owner + node.name, first, node.end_lineno or node.lineno)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, path, f"{owner}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            handlers = [one for handler in getattr(node, "handlers", []) for one in handler.body]
            more = [*getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            yield from _functions([*node.body, *handlers, *more], path, owner)


def at_line(functions: Sequence[Function], line: int) -> Function | None:
    """The function whose lines hold ``line``."""
    return next((one for one in functions if one.line <= line <= one.end), None)


def ochiai(failed: int, passed: int, failing: int) -> float:
    """How suspicious a function is that ``failed`` of ``failing`` failing tests call, and ``passed``
    passing ones: ef / sqrt(F * (ef + ep)), from 0 to 1."""
    product = failing * (failed + passed)
    return failed / math.sqrt(product) if product else 0.0


@dataclass(frozen=True)
class _Counts:
    """How many failing and passing tests run something."""

    failed: int
    passed: int
    score: float


def rank(
    calls: Mapping[str, Collection[tuple[str, int]]],
    failing: Collection[str],
    passing: Collection[str],
    functions: Functions,
    frames: Sequence[tuple[str, int]] = (),
) -> list[Suspect]:
    """The functions that ``failing`` tests run, the most suspicious first, at most MAX_SUSPECTS. A function
    is as suspicious as its most suspicious line.

    ``calls``: (file, line) of the lines that each test runs, the first lines of functions among them.
    ``frames``: (file, line) of the project's frames at the failures, the innermost first. Equally suspicious
    functions are ordered by how suspicious a call of them is, then by their place in the frames; then the
    shorter one comes first.
    """
    total = sum(1 for test in failing if test in calls)
    counted = _counted(calls, failing, passing, functions, total)
    entered = {one: lines[_ENTRY] for one, lines in counted.items()}
    worst = {one: max(lines.values(), key=_most) for one, lines in counted.items()}
    depth: dict[Function, int] = {}
    for place, (path, line) in enumerate(frames):
        one = at_line(functions.get(path, ()), line)
        if one is not None:
            depth.setdefault(one, place)

    def key(one: Function) -> tuple[float, float, int, int, str, int]:
        place = depth.get(one, len(frames))
        return -worst[one].score, -entered[one].score, place, one.end - one.line, one.path, one.line

    return [
        Suspect(
            path=one.path,
            name=one.name,
            line=one.line,
            end=one.end,
            failed=worst[one].failed,
            passed=worst[one].passed,
            score=round(worst[one].score, 4),
            lines=_by_suspicion(counted[one]),
        )
        for one in sorted(worst, key=key)[:MAX_SUSPECTS]
    ]


def _counted(
    calls: Mapping[str, Collection[tuple[str, int]]],
    failing: Collection[str],
    passing: Collection[str],
    functions: Functions,
    total: int,
) -> dict[Function, dict[int, _Counts]]:
    """For each function that a failing test runs: its lines that one runs, and its calls."""
    red, green = (_runs(calls, tests, functions) for tests in (failing, passing))
    found: dict[Function, dict[int, _Counts]] = defaultdict(dict)
    for (one, line), failed in red.items():
        passed = green.get((one, line), 0)
        found[one][line] = _Counts(failed, passed, ochiai(failed, passed, total))
    return found


def _most(counts: _Counts) -> tuple[float, int]:
    return counts.score, counts.failed


def _by_suspicion(lines: Mapping[int, _Counts]) -> list[tuple[int, float]]:
    ranked = sorted((line for line in lines if line != _ENTRY), key=lambda line: (-lines[line].score, line))
    return [(line, round(lines[line].score, 4)) for line in ranked[:MAX_LINES]]


def _runs(
    calls: Mapping[str, Collection[tuple[str, int]]], tests: Collection[str], functions: Functions
) -> Counter[tuple[Function, int]]:
    """How many of ``tests`` run each line of each function; _ENTRY stands for the function itself."""
    counts: Counter[tuple[Function, int]] = Counter()
    places = {place for test in tests for place in calls.get(test, ())}
    owners = {(path, line): at_line(functions.get(path, ()), line) for path, line in places}
    for test in tests:
        seen: set[tuple[Function, int]] = set()
        for place in calls.get(test, ()):
            one = owners[place]
            if one is not None:
                seen |= {(one, _ENTRY), (one, place[1])}
        counts.update(seen)
    return counts
