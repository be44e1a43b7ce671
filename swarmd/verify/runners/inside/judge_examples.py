"""Inside the sandbox: runs examples of docstrings, requests and READMEs and reports like the tests.

Started as ``python -s -B judge_examples.py``. The examples come with the key, so that what they expect
is written nowhere; each is one test case of a unittest session, with the planted test beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmd.verify.runners.inside import judge_unittest
else:
    import judge_unittest

import ast
import contextlib
import doctest
import hashlib
import importlib
import io
import itertools
import math
import numbers
import re
import signal
import sys
import unittest
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["ExampleCase", "ExampleTimeoutError", "collect", "same"]

MAX_SHOWN = 400
MAX_TOLD = 300
MAX_DEPTH = 20
MAX_PARTS = 2000
TOLD = "came: "
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WATCHED = (
    "judge_unittest", "doctest", "ast", "math", "io", "contextlib", "signal", "importlib", "re", "hashlib",
    "itertools",
)  # fmt: skip
"""Modules that outcomes rest on."""
BUILTIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None))


class ExampleTimeoutError(BaseException):
    """An example ran for too long; code under test that catches every Exception does not catch it."""


class _Unlike:
    """Equal to nothing: what is equal to it is equal to everything, and proves nothing."""


class ExampleCase(unittest.TestCase):
    """One example."""

    def __init__(self, example: Mapping[str, Any], seconds: float) -> None:
        super().__init__("check")
        self._example = example
        self._seconds = seconds

    def id(self) -> str:
        """The example's own id."""
        return str(self._example["example_id"])

    def __str__(self) -> str:
        return self.id()

    def check(self) -> None:
        """Run its statements, in one namespace."""
        with _time_limit(self._seconds):
            space = {name: _find(name, places) for name, places in self._example["names"].items()}
            for step in self._example["steps"]:
                _run(step, space)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise ExampleTimeoutError("it was still running after " + format(seconds, "g") + " s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _find(name: str, places: Sequence[str]) -> Any:
    """What ``name`` stands for: the first of ``places`` that has it."""
    for place in places:
        module, _, inner = place.partition(":")
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module + ".").startswith(error.name + "."):
                continue  # a module that is still to be written
            raise
        if not inner:
            return sys.modules[name] if module.split(".")[0] == name else loaded
        if hasattr(loaded, inner):
            return getattr(loaded, inner)
    where = " in " + ", ".join(place.partition(":")[0] for place in places) if places else ""
    raise NameError("name " + repr(name) + " is not defined" + where)


def _run(step: Mapping[str, str], space: dict[str, Any]) -> None:
    source, expects, expected = step["source"], step["expects"], step["expected"]
    tree = ast.parse(source)
    shown = io.StringIO()
    value: Any = None
    try:
        with contextlib.redirect_stdout(shown):
            if isinstance(tree.body[0], ast.Expr):
                value = eval(compile(source, "<example>", "eval"), space)  # noqa: S307 - whitelisted; and in the sandbox
            else:
                exec(compile(source, "<example>", "exec"), space)  # noqa: S102 - likewise
    except (ExampleTimeoutError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if expects == "told":
            raise AssertionError(TOLD + "raises " + type(error).__name__) from None
        if expects != "raises":
            raise
        if not _is_raised(error, expected):
            _fail(source, expected, type(error).__name__ + ": " + _text(error))
        return
    if expects == "told":
        raise AssertionError(TOLD + _told(value))
    if expects == "raises" or (expects == "value" and not same(value, expected)):
        _fail(source, expected, _shown(value))
    elif expects == "output" and not _is_output(value, shown.getvalue(), expected):
        _fail(source, expected, (shown.getvalue() + ("" if value is None else _shown(value))).strip())


def _told(value: Any) -> str:
    """What came, so that equal values are told alike; a long one as a hash."""
    text = _plain(value, 0)
    return (
        text
        if len(text) <= MAX_TOLD
        else "hash " + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    )


def _plain(value: Any, depth: int) -> str:
    if depth > MAX_DEPTH:
        return "deep"
    if value is None or type(value) in (bool, int, str, bytes):
        return repr(value)
    if type(value) is float:
        return format(value, ".9g")
    if type(value) in (set, frozenset):
        return type(value).__name__ + "{" + ", ".join(sorted(_plain(one, depth + 1) for one in value)) + "}"
    if type(value) is dict:
        pairs = [_plain(key, depth + 1) + ": " + _plain(value[key], depth + 1) for key in value]
        return "{" + ", ".join(sorted(pairs)) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_plain(one, depth + 1) for one in list(value)[:MAX_PARTS])
        return "[" + inner + "]" if isinstance(value, list) else "(" + inner + ")"
    if hasattr(type(value), "__next__"):
        return "iterator " + _plain(list(itertools.islice(value, MAX_PARTS)), depth + 1)
    raise AssertionError("what came has no plain form: " + type(value).__name__)


def _fail(source: str, expected: str, got: str) -> None:
    """What doctest would say."""
    parts = ("Failed example:", source, "Expected:", expected, "Got:", got[:MAX_SHOWN])
    lines = [
        text if text.endswith(":") and number % 2 == 0 else _indented(text)
        for number, text in enumerate(parts)
    ]
    raise AssertionError("\n".join(lines))


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # project code
        return ""


def _shown(value: Any) -> str:
    try:
        return repr(value)[:MAX_SHOWN]
    except Exception as error:  # project code
        return "a " + type(value).__name__ + " whose repr raises " + type(error).__name__


def _is_raised(error: BaseException, expected: str) -> bool:
    name, _, message = expected.partition(":")
    short = name.strip().rpartition(".")[2]
    if short not in [kind.__name__ for kind in type(error).__mro__]:
        return False
    said, wanted = _text(error).strip(), message.strip()
    return not wanted or doctest.OutputChecker().check_output(wanted + "\n", said + "\n", FLAGS)


def _is_output(value: Any, printed: str, wanted: str) -> bool:
    """What doctest accepts; else an equal value, or a text that is written without its quotes."""
    got = printed + ("" if value is None else repr(value) + "\n")
    if doctest.OutputChecker().check_output(wanted + "\n", got, FLAGS):
        return True
    if isinstance(value, str) and not printed:
        return value.strip() == wanted.strip()
    return value is not None and not printed and _is_literal(wanted) and same(value, wanted)


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def same(value: Any, expected: str) -> bool:
    """Whether ``value`` is the constant that ``expected`` writes; floats as exactly as it is written."""
    text = expected.strip()
    return _same(value, ast.parse(text, mode="eval").body, text)


def _same(value: Any, node: ast.expr, text: str) -> bool:
    if isinstance(node, (ast.List, ast.Tuple)):
        kind = list if isinstance(node, ast.List) else tuple
        parts = list(value) if isinstance(value, kind) else None
        if parts is None or len(parts) != len(node.elts):
            return False
        return all(_same(one, part, text) for one, part in zip(parts, node.elts))  # noqa: B905 - Python 3.9
    if isinstance(node, ast.Dict):
        keys = [_constant(key) for key in node.keys if key is not None]
        if not isinstance(value, dict) or len(value) != len(keys) or any(key not in value for key in keys):
            return False
        return all(_same(value[key], part, text) for key, part in zip(keys, node.values))  # noqa: B905
    return _equal(value, _constant(node), _tolerance(node, text))


def _constant(node: ast.expr) -> Any:
    """Only what was found to be a constant before it came here."""
    return eval(compile(ast.Expression(node), "<expected>", "eval"), {})  # noqa: S307


def _equal(value: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(wanted, bool) != isinstance(value, bool) and isinstance(value, (bool, int, float)):
        return False
    plain = isinstance(wanted, (int, float)) and not isinstance(wanted, bool)
    if plain and isinstance(value, numbers.Real) and (isinstance(wanted, float) or isinstance(value, float)):
        if math.isnan(wanted):
            return math.isnan(value)
        return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=tolerance)
    if type(value) not in BUILTIN and (value == _Unlike()) is True:
        return False
    return bool(wanted == value)


def _tolerance(node: ast.expr, text: str) -> float:
    """Half a unit of the last digit after the point, if there are at least two; else next to nothing."""
    written = ast.get_source_segment(text, node) or ""
    match = re.search(r"\.(\d{2,})$", written)
    return 0.5001 * 10.0 ** -len(match[1]) if match else 1e-12


def collect(_root: str, options: dict[str, Any]) -> unittest.TestSuite:
    """The examples that came with the key."""
    return unittest.TestSuite(ExampleCase(one, options["seconds"]) for one in options["examples"])


if __name__ == "__main__":
    judge_unittest.main(collect, WATCHED)
