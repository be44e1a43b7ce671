"""More inputs like those of the examples: two answers that agree on all of them are the same, as far as
anybody can see.

Only values of the kinds that the examples show are made, within their range: where no example goes, a
function may do as it likes, and two right answers differ.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from swarmd.messages.example import Example, Step

__all__ = ["MAX_PROBES", "probes"]

MAX_PROBES = 24
MAX_TEXT = 400
"""Longest call, in characters."""
MAX_TRIES = 400

_Arguments = tuple[list[Any], dict[str, Any]]


def probes(examples: Sequence[Example], seed: str) -> list[Example]:
    """Calls of the functions that ``examples`` call, with other arguments; what comes is told, not judged.

    The same for the same examples and ``seed``. None where no example calls its function with constants.
    """
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    found: list[Example] = []
    for symbol in dict.fromkeys(one.symbol for one in examples):
        own = [one for one in examples if one.symbol == symbol]
        calls = [call for one in own for call in _calls(one, symbol)]
        found += _of_function(own[0], symbol.rpartition(".")[2], calls, rng)
    return found[:MAX_PROBES]


def _calls(example: Example, symbol: str) -> Iterator[_Arguments]:
    """The arguments of plain calls of ``symbol``, where they are constants."""
    if "." in symbol:
        return  # a method needs an object, which nobody can vary
    for step in example.steps:
        for node in ast.walk(ast.parse(step.source)):
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Name)
                or node.func.id != symbol
            ):
                continue
            try:
                named = {one.arg: ast.literal_eval(one.value) for one in node.keywords if one.arg}
                if len(named) == len(node.keywords):
                    yield [ast.literal_eval(one) for one in node.args], named
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue


def _of_function(
    example: Example, name: str, calls: Sequence[_Arguments], rng: random.Random
) -> list[Example]:
    shapes = {(len(args), *sorted(named)): (args, named) for args, named in calls if args or named}
    if not shapes:
        return []
    known = {_written(name, args, named) for args, named in calls}
    made: dict[str, None] = {}
    for _ in range(MAX_TRIES):
        if len(made) >= MAX_PROBES:
            break
        args, named = rng.choice(calls)
        same = [one for one in calls if (len(one[0]), *sorted(one[1])) == (len(args), *sorted(named))]
        columns = [[one[0][place] for one in same] for place in range(len(args))]
        new = [_varied(rng.choice(column), column, rng) for column in columns]
        new_named = {key: _varied(rng.choice([one[1][key] for one in same]), [], rng) for key in named}
        text = _written(name, new, new_named)
        if text not in known and len(text) <= MAX_TEXT:
            made[text] = None
    return [
        Example(
            example_id=f"like {example.example_id}, {number}: {text}",
            steps=[Step(source=text, expects="told")],
            names=example.names,
            symbol=example.symbol,
            origin=example.origin,
        )
        for number, text in enumerate(made, 1)
    ]


def _written(name: str, args: Sequence[Any], named: dict[str, Any]) -> str:
    parts = [*map(repr, args), *(f"{key}={value!r}" for key, value in named.items())]
    return f"{name}({', '.join(parts)})"


def _varied(value: Any, column: Sequence[Any], rng: random.Random) -> Any:
    """Another value of the kind of ``value``; ``column``: all that the examples have in its place."""
    for kind, vary in _VARY.items():
        if type(value) is kind:
            return vary(value, column, rng)
    return value


def _bool(value: bool, column: Sequence[Any], rng: random.Random) -> bool:
    return rng.random() < 0.5 if any(one != value for one in column) else value


def _int(value: int, column: Sequence[Any], rng: random.Random) -> int:
    numbers = [one for one in column if type(one) is int] or [value]
    low, high = min(numbers), max(numbers)
    near = value + rng.choice((-2, -1, 1, 2, 3))
    between = rng.randint(low, high + max(2, (high - low) // 4))
    return max(low, rng.choice((near, near, between)))


def _float(value: float, column: Sequence[Any], rng: random.Random) -> float:
    numbers = [one for one in column if type(one) is float] or [value]
    return max(min(numbers), round(value + rng.choice((-1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 2.25)), 3))


def _str(value: str, column: Sequence[Any], rng: random.Random) -> str:
    if not value:
        return value
    words, cut = value.split(" "), rng.randrange(len(value))
    ways: tuple[Callable[[], str], ...] = (
        lambda: value[::-1],
        lambda: value[:cut] + value[cut + 1 :],
        lambda: value[:cut] + value[cut] + value[cut:],
        lambda: value[cut:] + value[:cut],
        lambda: " ".join(rng.sample(words, len(words))),
        lambda: value + str(rng.choice([one for one in column if isinstance(one, str)] or [value])),
        lambda: value.swapcase() if any(one != one.lower() for one in map(str, column)) else value[::-1],
    )
    return rng.choice(ways)() or value


def _list(value: list[Any], column: Sequence[Any], rng: random.Random) -> list[Any]:
    if not value:
        return value
    inner = [part for one in column if isinstance(one, list) for part in one] or value
    place = rng.randrange(len(value))
    ways: tuple[Callable[[], list[Any]], ...] = (
        lambda: value[::-1],
        lambda: value[:place] + value[place + 1 :],
        lambda: [*value[:place], value[place], *value[place:]],
        lambda: rng.sample(value, len(value)),
        lambda: [*value[:place], _varied(value[place], inner, rng), *value[place + 1 :]],
        lambda: [_varied(one, inner, rng) for one in value],
        lambda: [*value, rng.choice(inner)],
    )
    return rng.choice(ways)() or value


def _tuple(value: tuple[Any, ...], column: Sequence[Any], rng: random.Random) -> tuple[Any, ...]:
    return tuple(_varied(one, [], rng) for one in value)


def _dict(value: dict[Any, Any], column: Sequence[Any], rng: random.Random) -> dict[Any, Any]:
    items = [(key, _varied(one, list(value.values()), rng)) for key, one in value.items()]
    return dict(rng.sample(items, rng.randint(max(1, len(items) - 1), len(items)))) if items else value


_VARY: dict[type, Callable[..., Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    list: _list,
    tuple: _tuple,
    dict: _dict,
}
