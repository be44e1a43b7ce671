"""Which function is suspected, by what the tests call; and reports that nobody should believe."""

from __future__ import annotations

import hashlib
import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from swarmd.messages import Suspect
from swarmd.verify.localise import chosen_tests
from swarmd.verify.runners import report
from swarmd.verify.runners.report import TestRun, parse_report
from swarmd.verify.spectrum import functions_of, ochiai, rank

SOURCE = """\
import functools


def total(items):
    def one(item):
        return item
    return _sum(map(one, items))


def _sum(items):
    return sum(items)


class Cart:
    @functools.cache
    def size(self):
        return 1

    if True:
        def other(self):
            return 2
"""
PATH = "shop/cart.py"
FUNCTIONS = {PATH: functions_of(PATH, SOURCE)}
TOTAL, INNER, SUM, SIZE, OTHER = (PATH, 4), (PATH, 5), (PATH, 10), (PATH, 15), (PATH, 20)


def names(found: list[Suspect]) -> list[str]:
    return [one.name for one in found]


def test_functions_are_named_as_edits_name_them() -> None:
    found = [(one.name, one.line, one.end) for one in FUNCTIONS[PATH]]
    assert found == [("total", 4, 7), ("_sum", 10, 11), ("Cart.size", 15, 17), ("Cart.other", 20, 21)]


@pytest.mark.parametrize("source", ["def f(:\n", "\0", "(" * 5000])
def test_a_file_that_does_not_parse_has_none(source: str) -> None:
    assert functions_of("a.py", source) == []


def test_the_formula_of_ochiai() -> None:
    assert ochiai(2, 0, 2) == 1.0
    assert ochiai(0, 5, 2) == 0.0
    assert ochiai(0, 0, 0) == 0.0
    assert ochiai(1, 3, 4) == 1 / math.sqrt(4 * 4)


def test_what_only_failing_tests_call_comes_first() -> None:
    calls = {"bad": {TOTAL, SUM}, "good": {TOTAL}, "fine": {SIZE}}
    found = rank(calls, ["bad"], ["good", "fine"], FUNCTIONS)
    assert names(found) == ["_sum", "total"]
    assert [(one.failed, one.passed, one.score) for one in found] == [(1, 0, 1.0), (1, 1, 0.7071)]


def test_of_equal_ones_the_innermost_frame_and_then_the_shortest_comes_first() -> None:
    calls = {"bad": {TOTAL, SUM, OTHER}}
    assert names(rank(calls, ["bad"], [], FUNCTIONS)) == ["_sum", "Cart.other", "total"]
    frames = [(PATH, 6), (PATH, 11)]
    assert names(rank(calls, ["bad"], [], FUNCTIONS, frames)) == ["total", "_sum", "Cart.other"]


def test_a_function_is_as_suspicious_as_its_most_suspicious_line() -> None:
    calls = {"bad": {TOTAL, (PATH, 7), SUM, (PATH, 11)}, "good": {TOTAL, SUM, (PATH, 11)}}
    found = rank(calls, ["bad"], ["good"], FUNCTIONS)
    assert [(one.name, one.failed, one.passed, one.score) for one in found] == [
        ("total", 1, 0, 1.0),
        ("_sum", 1, 1, 0.7071),
    ]


def test_a_function_in_a_function_counts_as_that_once() -> None:
    found = rank({"bad": {INNER, TOTAL}}, ["bad"], [], FUNCTIONS)
    assert [(one.name, one.failed) for one in found] == [("total", 1)]


def test_a_test_that_told_nothing_is_not_counted() -> None:
    found = rank({"bad": {SUM}}, ["bad", "silent"], [], FUNCTIONS)
    assert found[0].score == 1.0


def test_unknown_files_and_lines_are_passed_over_and_the_list_is_bounded() -> None:
    calls = {"bad": {("../../etc/passwd", 1), (PATH, 9999), (PATH, 1), SUM}}
    assert names(rank(calls, ["bad"], [], FUNCTIONS)) == ["_sum"]
    many = functions_of("b.py", "".join(f"def f{number}():\n    pass\n" for number in range(50)))
    found = rank({"bad": {("b.py", one.line) for one in many}}, ["bad"], [], {"b.py": many})
    assert len(found) == 20


def test_the_nearest_passing_tests_are_taken() -> None:
    passing = ["tests/b/test_x.py::test_1", "tests/a/test_y.py::test_2", "tests/a/test_z.py::test_3"]
    chosen = chosen_tests(["tests/a/test_z.py::test_bad"], passing, 2)
    assert chosen == ["tests/a/test_z.py::test_bad", passing[2], passing[1]]
    dotted = ["tests.other.test_x.T.test_1", "tests.test_y.T.test_2", "tests.test_z.U.test_3"]
    assert chosen_tests(["tests.test_z.T.test_bad"], dotted, 2)[1:] == [dotted[2], dotted[1]]
    assert chosen_tests(["a::1", "a::2", "a::3"], ["a::4"], 2) == ["a::1", "a::2", "a::4"]


# reports

KEY = b"k" * 32


def said(*lines: tuple[str, ...]) -> TestRun:
    """A report in which whoever wrote it has the key."""
    data, last = b"", b""
    for fields in lines:
        payload = b" ".join(field.encode("utf-8", "surrogatepass").hex().encode() for field in fields)
        last = hashlib.blake2b(last + payload, key=KEY, digest_size=16).hexdigest().encode()
        data += last + b" " + payload + b"\n"
    return parse_report(data, KEY, cut=False)


def test_what_each_test_calls_is_read() -> None:
    run = said(("place", "a.py", "3"), ("place", "b.py", "7"), ("covered", "t", "1 0"), ("covered", "u", ""))
    assert run.genuine
    assert run.places == [("a.py", 3), ("b.py", 7)]
    assert run.covered == {"t": frozenset({0, 1}), "u": frozenset()}


@pytest.mark.parametrize(
    "lines",
    [
        [("covered", "t", "0")],
        [("place", "a.py", "1"), ("covered", "t", "1")],
        [("covered", "t", "-1")],
        [("covered", "t", "x")],
        [("covered", "t", "9" * 5000)],
        [("covered", "t", "٣")],
        [("place", "a.py", "x")],
        [("place", "a.py", "9" * 5000)],
        [("place", "a.py", "-4")],
        [("place", "a.py")],
        [("covered", "t")],
    ],
)
def test_what_our_script_never_writes_makes_the_report_false(lines: list[tuple[str, ...]]) -> None:
    run = said(*lines)
    assert not run.genuine
    assert run.covered == {}


def test_a_test_that_is_told_twice_keeps_the_first() -> None:
    run = said(("place", "a.py", "1"), ("covered", "t", "0"), ("covered", "t", ""))
    assert run.genuine
    assert run.covered == {"t": frozenset({0})}


def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_PLACES", 3)
    run = said(*[("place", "a.py", str(number)) for number in range(5)])
    assert not run.genuine
    assert len(run.places) == 3


# the script inside the sandbox


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    before = list(sys.path)
    sys.path.insert(0, str(Path(report.__file__).parent / "inside"))
    try:
        yield importlib.import_module("judge_trace")
    finally:
        sys.path[:] = before
        sys.modules.pop("judge_trace", None)


def load(path: str, text: str) -> dict[str, object]:
    space: dict[str, object] = {}
    exec(compile(text, path, "exec"), space)
    return space


def calls(script: ModuleType, space: dict[str, object], *called: str) -> list[tuple[str, int]]:
    """What the recorder notes of these functions, by a trace function or by sys.monitoring."""
    before = sys.gettrace()
    recorder = script.Recorder("/project")
    try:
        recorder.resume()
        for name in called:
            space[name]()  # type: ignore[operator]
    finally:
        recorder.pause()
        if recorder._tool is not None:
            sys.monitoring.free_tool_id(recorder._tool)  # type: ignore[attr-defined,unused-ignore]
    assert sys.gettrace() is before
    return list(recorder.take())


def test_calls_of_the_projects_functions_are_noted(script: ModuleType) -> None:
    text = "import threading\ndef f():\n    g(), g()\ndef g(): pass\ndef h(): pass\n"
    text += "def k():\n    one = threading.Thread(target=h)\n    one.start(); one.join()\n"
    space = load("/project/a.py", text)
    assert calls(script, space, "f") == [("a.py", 2), ("a.py", 3), ("a.py", 4)]
    in_thread = [("a.py", line) for line in (5, 6, 7, 8)]
    assert calls(script, space, "k") == in_thread
    assert calls(script, space, "h", "k") == in_thread
    assert calls(script, space) == []


@pytest.mark.parametrize(
    "path", ["/elsewhere/a.py", "/projects/a.py", "/project/.venv/lib/a.py", "/project/x/site-packages/a.py"]
)
def test_other_code_is_not_noted(script: ModuleType, path: str) -> None:
    assert calls(script, load(path, "def f(): pass\n"), "f") == []


def test_what_only_shows_a_failure_is_not_noted(script: ModuleType) -> None:
    space = load("/project/a.py", "class C:\n    def __repr__(self): return part()\ndef part(): return ''\n")
    pretty = load("/lib/_pytest/_io/saferepr.py", "def show(): return repr(it)\n")
    pretty["it"] = space["C"]()  # type: ignore[operator]
    assert calls(script, pretty, "show") == []
    space["it"] = pretty["it"]
    exec("def shown(): repr(it)", space)
    assert calls(script, space, "shown") == [("a.py", 2), ("a.py", 3)]


def test_each_function_is_told_once(script: ModuleType) -> None:
    sent: list[tuple[str, ...]] = []

    class Recorder:
        def take(self) -> list[tuple[str, int]]:
            return [("a.py", 1), ("b.py", 2)]

    tracer = script.Tracer(lambda *fields: sent.append(fields), Recorder())
    tracer.flush("t")
    tracer.flush("u")
    assert sent == [
        ("place", "a.py", "1"),
        ("place", "b.py", "2"),
        ("covered", "t", "0 1"),
        ("covered", "u", "0 1"),
    ]
