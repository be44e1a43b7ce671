"""Examples in texts: which are found, in which spelling, and what is never taken."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.messages import Request
from swarmd.messages.example import MAX_EXAMPLES, Example
from swarmd.verify.discover import Tree
from swarmd.verify.examples import sources
from swarmd.verify.examples.described import described
from swarmd.verify.examples.pairs import pairs
from swarmd.verify.examples.project import Project, module_name
from swarmd.verify.examples.sessions import imports_in, sessions
from swarmd.verify.examples.sources import collect
from swarmd.verify.examples.syntax import constant, statement


def said(text: str) -> list[tuple[str, str]]:
    return [(pair.step.source, pair.step.expected) for pair in pairs(text)]


# pairs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(2) == 4", "4"),
        ("f(2) === 4", "4"),
        ("f(2) = 4", "4"),
        ("f(2) -> 4", "4"),
        ("f(2) --> 4", "4"),
        ("f(2) => 4", "4"),
        ("f(2) ==> 4", "4"),
        ("f(2) ===> 4", "4"),
        ("f(2) → 4", "4"),
        ("* `f(2)` → `4`", "4"),
        ("- f(2) == 4.", "4"),
        ("(f(2) == 4)", "4"),
        ("assert f(2) == 4, 'no'", "4"),
        ("f(2)  # 4", "4"),
        ("f(2)  # => 4", "4"),
        ("f(2)  # returns 4", "4"),
        ("f(2)\n# 4", "4"),
        ("Input: f(2)\nOutput: 4", "4"),
        ("f(2)\nReturns: 4", "4"),
        ("f(2) returns 4", "4"),
        ("f(2) returns 4, because", "4"),
        ("`f(2)` should return `4`.", "4"),
        ("f(2) should be 4", "4"),
        ("f(2) should now be 4", "4"),
        ("f(2) must be equal to 4", "4"),
        ("f(2) has to give 4", "4"),
        ("f(2) is expected to be 4", "4"),
        ("I expect f(2) to return 4", "4"),
        ("f(2), which should be 4", "4"),
        ("f(2) evaluates to 4", "4"),
        ("f(2) gives the value 4", "4"),
        ("f(2) is the list [1, 2]", "[1, 2]"),
        ("f(2) is `True`", "True"),
        ("f(2) == -1.5e3", "-1.5e3"),
        ("f(2) == 'a\\'b' and more", "'a\\'b'"),
        ("f(2) == {'a': (1, [2])}", "{'a': (1, [2])}"),
        ("f(2) == set()", "set()"),
        ("f(2) == float('inf')", "float('inf')"),
        ("f(2) == 2 ** 10", "2"),
        ("f(2) returns 5 instead of 4", "4"),
        ("f(2) returns 5, but it should return 4", "4"),
        ("f(2) gives 5 (expected: 4)", "4"),
        ("f(2) raises ValueError instead of returning 4", "4"),
        ("f(2) should return 4, not 5", "4"),
        ("f(2) should return 4 instead of 5", "4"),
    ],
)
def test_spellings_of_a_pair(text: str, expected: str) -> None:
    if expected == "2":  # arithmetic behind the sign is not understood, and then nothing is taken
        assert said(text) == []
    else:
        assert said(text) == [("f(2)", expected)]


@pytest.mark.parametrize(
    "text",
    [
        "f(2) != 4",
        "f(2) should not be 4",
        "f(2) is 4 times faster",
        "f(2) == 4 + 1",
        "f(2) == 4 or 5",
        "f(2) -> 1, 2",
        "f(2) -> int",
        "f() -> None",
        "def f(2) -> 4",
        "if f(2) == 4:",
        "when f(2) returns 4, it crashes",
        "1 + f(2) == 4",
        "not f(2) == 4",
        "f(2) == g",
        "f(2 == 4",
        "f(2] == 4",
        "f('a) == 4",
        "f(2) returns 5, which is wrong",
        "f(2) returns 5 instead of the sum",
        "f(2) returns 5, not 4",
        "f(2).",
        "f(2) == ...",
        "f(...) == 2",
    ],
)
def test_what_is_no_pair(text: str) -> None:
    assert said(text) == []


def test_exceptions_are_expected_too() -> None:
    (pair,) = pairs("f(-1) should raise a `ValueError`")
    assert (pair.step.expects, pair.step.expected, pair.doubtful) == ("raises", "ValueError", False)


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("f(2) returns 5", True),
        ("Currently f(2) == 5", True),
        ("Actual: f(2) == 5", True),
        ("f(2) currently returns 5", True),
        ("f(2) should return 5", False),
        ("f(2) == 5", False),
        ("Make sure that f(2) returns 5", False),
        ("f(2) returns 5 instead of 4", False),
    ],
)
def test_what_may_describe_the_present_is_doubtful(text: str, doubtful: bool) -> None:
    assert [pair.doubtful for pair in pairs(text)] == [doubtful]


# what may be in an example


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('true')",
        "f.__class__()",
        "f(__builtins__)",
        "open('/etc/passwd').read()",
        "eval('1')",
        "f(getattr(x, 'y'))",
        "os.system('true')",
        "f().system('true')",
        "'{0.__class__}'.format(f(2))",
        "(lambda: f(2))()",
        "f(x := 2)",
        "[await f(2)]",
        "f(f'{g(2)}')",
        "f(9 ** 9 ** 9)",
        "f(2 ** 100000)",
        "f('a' * 10000000)",
        "f(1 << 99999)",
        "range(10 ** 5 + 1, f(2), 99999999)",
        "import os",
        "f(2); g(3)",
        "x.y = f(2)",
        "x[0] = f(2)",
        "x += f(2)",
        "del f",
        "yield f(2)",
        "f(" * 50 + ")" * 50,
        "f(" + "-" * 400 + "1)",
        "f(" + "1, " * 400 + ")",
        "f(\0)",
        "",
    ],
)
def test_what_an_example_may_not_hold(source: str) -> None:
    assert statement(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "f(2)",
        "shop.Cart([1]).total(tax=0.2)",
        "sorted(f(x) for x in [1, 2])",
        "c = Cart()",
        "a, b = f(2)",
        "f(2)[1:]",
    ],
)
def test_what_it_may_hold(source: str) -> None:
    assert statement(source) is not None


@pytest.mark.parametrize(
    "source", ["f(2)", "[x]", "...", "not 1", "1 if 2 else 3", "[1] * 2", "f'{1}'", "-'a'", ""]
)
def test_what_is_no_constant(source: str) -> None:
    assert constant(source) is None


WORDS = st.sampled_from(
    ["f(2)", "f(", ")", "]", "[1, 2]", "==", "->", "returns", "should be", "4", "'a'", '"', "`", "\n", "\n\n",
     " ", ">>> ", "... ", ">>> f([1,", "ValueError: x", "#", "{", "}", "**",
     "float('inf')", "instead of", "-", "lambda", "__x__", "\0", "é", "\ud800", "assert", "\\",
     "Traceback (most recent call last):", "'''", "x = f(1)", "import a.b as c"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map("".join), st.lists(WORDS).map(" ".join))
)
def test_no_text_crashes_it_and_only_safe_statements_come_out(text: str) -> None:
    imports_in(text)
    steps = [step for session in sessions(text) for step in session.steps]
    for step in [*steps, *(pair.step for pair in pairs(text))]:
        assert statement(step.source) is not None
        for node in ast.walk(ast.parse(step.source)):
            assert not isinstance(node, ast.Lambda | ast.Import | ast.NamedExpr)
            assert not str(getattr(node, "id", getattr(node, "attr", ""))).startswith("__")
    for pair in pairs(text):
        assert pair.step.expects == "raises" or constant(pair.step.expected) is not None


@pytest.mark.parametrize(
    "text", ["f(" * 3000, "f(2) == " + "[" * 20000, "f(2)" + " " * 50000, "f(2) == 4\n" * 3000,
             "f(2)" + "\n" * 50000, ">>> f(2)\n" * 1000, ">>> f([\n" * 500, "f(2) returns 5" + " ," * 20000,
             "`" * 50000 + "f(2)", "a." * 50000, "'" * 20000, "f(2) == '" + "a" * 50000, "x" * 200000]
)  # fmt: skip
def test_huge_texts_are_bounded(text: str) -> None:
    assert len(pairs(text)) <= 400
    sessions(text)
    imports_in(text)


# sessions


def test_sessions_are_split_where_nothing_is_shared() -> None:
    text = """\
    >>> f(2)
    4
    >>> f([1,
    ...    2])
    5
    >>> f([3,
           4])
    6
    >>> c = Cart()
    >>> c.add(3)
    >>> c.total()
    3
    >>> f(-1)
    Traceback (most recent call last):
        ...
    ValueError: bad value
    >>> import os
    >>> os.getcwd()
    '/'
    >>> x = open("a")
    >>> f(x)
    3
    >>> f(7)
    49
    Note that this is prose
"""
    found = [[(step.source, step.expected) for step in session.steps] for session in sessions(text)]
    assert found == [
        [("f(2)", "4")],
        [("f([1, 2])", "5")],
        [("f([3, 4])", "6")],
        [("c = Cart()", ""), ("c.add(3)", ""), ("c.total()", "3")],
        [("f(-1)", "ValueError: bad value")],
        [("f(7)", "49")],
    ]


def test_what_follows_without_a_blank_line_is_no_output() -> None:
    text = ">>> f(2)\n[1,\n 2]\nf(3) -> 4\n"
    (session,) = sessions(text)
    assert (session.steps[0].expected, session.lines) == ("[1,\n 2]", (1, 4))
    (session,) = sessions(">>> print(f(2))\n1\n2\nthree\n")
    assert session.steps[0].expected == "1\n2\nthree"


def test_imports_are_read_as_hints() -> None:
    text = (
        "from shop.cart import Cart, total as t\n>>> import shop.prices\nimport shop as s\nfrom .x import y"
    )
    assert imports_in(text) == {
        "Cart": ("shop.cart", "Cart"),
        "t": ("shop.cart", "total"),
        "shop": ("shop", None),
        "s": ("shop", None),
    }


# a project

CODE = '''\
import os


def f(x):
    """Doubles.

    >>> f(2)
    4
    """
    return x


def g(x):
    """g(1) == 1."""
    return x


class Cart:
    """Holds things.

    >>> c = Cart()
    >>> c.total()
    0
    """

    def total(self):
        """Cart().total() == 0."""
        raise NotImplementedError
'''


def read(
    root: Path, request: str, files: dict[str, str], **fields: object
) -> tuple[list[Example], list[str]]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    asked = Request.model_validate({"user_request": request, **fields})
    return collect(asked, Tree(root, frozenset(files)))


def about(examples: list[Example]) -> dict[str, bool]:
    return {one.example_id: one.about for one in examples}


def test_only_what_is_named_can_become_a_target(tmp_path: Path) -> None:
    examples, _ = read(tmp_path, "Fix f in a.py", {"a.py": CODE, "b.py": "def h(x):\n    '''h(1) == 1'''\n"})
    assert about(examples) == {
        "a.py:7: f(2) == 4 (example)": True,
        "a.py:14: g(1) == 1 (example)": False,
        "a.py:21: c.total() == 0 (example)": False,
        "a.py:27: Cart().total() == 0 (example)": False,
    }


def test_what_is_to_be_written_is_a_target_too(tmp_path: Path) -> None:
    examples, _ = read(tmp_path, "Implement what is missing in a.py", {"a.py": CODE})
    assert about(examples)["a.py:27: Cart().total() == 0 (example)"]
    assert not about(examples)["a.py:7: f(2) == 4 (example)"]


def test_names_are_the_projects_or_asked_for(tmp_path: Path) -> None:
    text = "Add function `twice` to a.py: twice(2) == 4, thrice(2) == 6, f(3) == 6, os.getpid() == 1."
    examples, _ = read(tmp_path, text, {"a.py": CODE})
    own = [one for one in examples if one.origin == "request"]
    assert [(one.text, one.names) for one in own] == [
        ("twice(2)", {"twice": ["a:twice"]}),
        ("f(3)", {"f": ["a:f"]}),
    ]


def test_modules_lead_only_to_what_they_define(tmp_path: Path) -> None:
    files = {"shop/__init__.py": "", "shop/cart.py": CODE, "README.md": ""}
    files["README.md"] = (
        "from shop import cart\nimport shop.cart as sc\nfrom numpy import f as nf\n\n"
        "shop.cart.f(1) == 2; cart.f(2) == 4; sc.f(3) == 6; cart.os.getpid() == 1;"
        "shop.nothing(1) == 1; nf(2) == 4\n"
    )
    examples, _ = read(tmp_path, "Look at it", files)
    assert [(one.text, one.names) for one in examples] == [
        ("shop.cart.f(1)", {"shop": ["shop.cart"]}),
        ("cart.f(2)", {"cart": ["shop.cart"]}),
        ("sc.f(3)", {"sc": ["shop.cart"]}),
    ]


def test_a_name_that_two_modules_define_is_not_guessed(tmp_path: Path) -> None:
    files = {"a.py": CODE, "b.py": CODE}
    examples, _ = read(tmp_path, "f(7) == 4 must hold", files)
    assert "f(7)" not in [one.text for one in examples]
    examples, _ = read(tmp_path, "Fix b.py: f(3) == 6", files)
    assert examples[0].names == {"f": ["b:f"]}


def test_contradictions_are_ignored_with_a_warning(tmp_path: Path) -> None:
    examples, warnings = read(tmp_path, "`f(2)` should return 5", {"a.py": CODE})
    assert "f(2)" not in [one.text for one in examples]
    assert len(warnings) == 1
    assert "a.py:7 says 4" in warnings[0]
    assert "the request says 5" in warnings[0]


def test_a_complaint_does_not_contradict_the_docstring(tmp_path: Path) -> None:
    examples, warnings = read(tmp_path, "Bug: `f(2)` returns 2.", {"a.py": CODE})
    assert [one.steps[0].expected for one in examples if one.text == "f(2)"] == ["4"]
    assert warnings == []


def test_a_wish_for_change_outweighs_what_the_docstring_says(tmp_path: Path) -> None:
    examples, warnings = read(tmp_path, "Change `f` in a.py: f(2) should return 5", {"a.py": CODE})
    assert [one.steps[0].expected for one in examples if one.text == "f(2)"] == ["5"]
    assert warnings == []
    examples, _ = read(tmp_path, "Change `f` in a.py to triple", {"a.py": CODE})
    assert {one.text: one.doubtful for one in examples}["f(2)"]
    assert not {one.text: one.doubtful for one in examples}["g(1)"]


def test_the_same_example_counts_once_and_there_are_not_too_many(tmp_path: Path) -> None:
    text = "Fix f: f(2) == 4. " + " ".join(f"f({n}) == {2 * n};" for n in range(100))
    examples, _ = read(tmp_path, text, {"a.py": CODE})
    assert len(examples) == MAX_EXAMPLES
    assert len({one.example_id for one in examples}) == MAX_EXAMPLES


def test_other_languages_are_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "Add function add to x.js: add(1, 2) == 3", {"x.js": ""})[0] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.py", "a"),
        ("shop/cart.py", "shop.cart"),
        ("shop/__init__.py", "shop"),
        ("src/shop/cart.py", "shop.cart"),
        ("my-scripts/a.py", None),
        ("class.py", None),
    ],
)
def test_module_names(path: str, name: str | None) -> None:
    assert module_name(path, {path}) == name


def test_bad_files_are_passed_over(tmp_path: Path) -> None:
    files = {"a.py": "def f(:\n", "b.py": '"' * 7, "README.md": ">>> f(2)\n4\n"}
    assert read(tmp_path, "Fix f in a.py", files) == ([], [])
    assert sources.MAX_TEXT > 0


# how values are compared, as the script inside the sandbox does it


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    before, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(Path(sources.__file__).parents[1] / "runners" / "inside"))
    try:
        yield importlib.import_module("judge_examples")
    finally:
        sys.path[:] = before
        for name in ("judge_examples", "judge_unittest", "judge_report"):
            if name not in modules:
                sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("value", "expected", "equal"),
    [
        (4, "4", True),
        (4.0, "4", True),
        (5, "4", False),
        (True, "True", True),
        (1, "True", False),
        (True, "1", False),
        (None, "None", True),
        (1 / 3, "0.33", True),
        (0.34, "0.33", False),
        (1 / 3, "0.3333", True),
        (0.334, "0.3333", False),
        (0.1 + 0.2, "0.3", True),
        (0.54, "0.5", False),
        (float("inf"), "float('inf')", True),
        (float("nan"), "float('nan')", True),
        ([1, 2], "[1, 2]", True),
        ((1, 2), "[1, 2]", False),
        ([1], "[1, 2]", False),
        ({"a": 1 / 3}, "{'a': 0.333}", True),
        ({"a": 1}, "{'b': 1}", False),
        ({1, 2}, "{2, 1}", True),
        (set(), "set()", True),
        ("a", "'a'", True),
        (-2.5, "-2.5", True),
    ],
)
def test_values_are_compared_as_exactly_as_they_are_written(
    script: ModuleType, value: object, expected: str, equal: bool
) -> None:
    assert script.same(value, expected) is equal


def test_what_equals_everything_equals_nothing(script: ModuleType) -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    assert not script.same(Anything(), "4")


# what the others make of a failing example


def test_a_failing_example_is_evidence_that_does_not_hide_failing_tests(tmp_path: Path) -> None:
    from swarmd.coding import evidence
    from swarmd.coding.snapshot import Snapshot
    from swarmd.messages import GateResult, Survey, TestFailure

    shown = TestFailure(
        test_id="the request: f(2) == 4.0 (example)",
        message="Failed example:\n    f(2)\nExpected:\n    4.0\nGot:\n    2",
        frames=["a.py:4 f"],
    )
    test = TestFailure(test_id="tests/test_b.py::test_f", path="tests/test_b.py", message="assert 2 == 4")
    results = [
        GateResult(
            gate=gate, argv=[], ok=False, exit_code=1, seconds=0, failures=[one], sandbox_level="bwrap"
        )
        for gate, one in (("tests", test), ("examples", shown))
    ]
    survey = Survey(
        request_id="r",
        workspace="/w",
        base_commit="c",
        base_name="main",
        files=["a.py"],
        base_results=results,
    )
    found = evidence.relevant(survey, "Fix `f` in a.py: f(2) == 4.0, f(0) == 0")
    assert found == [test, shown]
    (item,) = evidence.collect([shown], survey, Snapshot(tmp_path))
    assert item.frames == (("a.py", 4),)


# inputs and outputs without a call


def told(folder: Path, doc: str, head: str = "def f(a, k=1):") -> list[tuple[str, str]]:
    (folder / "a.py").write_text(f'{head}\n    """Does it.\n\n{doc}\n    """\n    return 1\n')
    definition = Project(Tree(folder, frozenset({"a.py"}))).definitions("a.py")[-1]
    return [(one.step.source, one.step.expected) for one in described(definition.doc, definition)]


@pytest.mark.parametrize(
    ("doc", "call", "expected"),
    [
        ("    Input: a = [1, 2], k = 3\n    Output: 4 # sum", "f(a=[1, 2], k=3)", "4"),
        ("    Example 1:\n        Input: [4, 2, 3]\n        Output: [2, 1]", "f([4, 2, 3])", "[2, 1]"),
        ("    Input: [4], 2\n    Output: 'x'.", "f([4], 2)", "'x'"),
        ("    - input: (1, 2) -> output: None", "f((1, 2))", "None"),
        ("    Inputs: -3, Expected output: 1.5", "f(-3)", "1.5"),
        ("    Example: Input = 3\n    Output = 9 (three squared)", "f(3)", "9"),
    ],
)
def test_inputs_and_outputs_are_calls_of_the_function(
    tmp_path: Path, doc: str, call: str, expected: str
) -> None:
    assert told(tmp_path, doc) == [(call, expected)]


@pytest.mark.parametrize(
    "doc",
    [
        "    Input: the list\n    Output: its sum",
        "    Input: [1]\n    Something else.\n    Output: 3",
        "    Input: 1, 2, 3\n    Output: 4",
        "    Input: b = 3\n    Output: 4",
        "    Input: k = 3\n    Output: 4",
        "    Input: f(3)\n    Output: 4",
        "    Input: __import__('os')\n    Output: 4",
        "    Input: 3\n    Output: 4 or 5",
        "    Input: 3",
        "    Input: **{'a': 3}\n    Output: 4",
    ],
)
def test_what_the_function_cannot_be_given_is_none(tmp_path: Path, doc: str) -> None:
    assert told(tmp_path, doc) == []


def test_methods_and_functions_that_take_anything_have_none(tmp_path: Path) -> None:
    pair = "    Input: 3\n    Output: 4"
    assert told(tmp_path, pair, "def f(*a):") == []
    assert told(tmp_path, pair, "def f():") == []
    assert told(tmp_path, pair, "async def f(a, *, k=2):") == [("f(3)", "4")]
    assert told(tmp_path, pair, "def f(a, *, k):") == []
    in_class = pair.replace("    ", "        ", 1).replace("\n    ", "\n        ")
    assert told(tmp_path, in_class, "class C:\n  def f(a):") == []


def test_they_become_examples_of_the_docstring(tmp_path: Path) -> None:
    doc = '"""Adds.\n\n    Input: arr = [1, 2], k = 1\n    Output: 1\n    """'
    files = {"a.py": f"def add(arr, k):\n    {doc}\n    return 0\n"}
    found, _ = read(tmp_path, "Fix add in a.py", files)
    assert [one.steps[0].source for one in found] == ["add(arr=[1, 2], k=1)"]
    assert (found[0].symbol, found[0].about, found[0].line) == ("add", True, 4)
