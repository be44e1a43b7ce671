"""Definitions of other languages than Python, and files that do not parse."""

from __future__ import annotations

import pytest

from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError, FormatError, RefusedError, SyntaxFailedError
from swarmd.coding.merge import Scope

CART = (
    "import { tax } from './tax.js';\n\nexport function add(a, b) {\n  return a - b;\n}\n\n"
    "export class Cart {\n  total() {\n    return 1;\n  }\n\n  clear() {}\n}\n\nconst half = (x) => {\n"
    "  return x / 3;\n};\n"
)
BROKEN = "X = 1\n\n\nclass A:\n    def f(self)\n        return 1\n\n    def g(self):\n        return 2\n"


def script(path: str = "cart.js", source: str | None = CART) -> Edit:
    return Edit(path, source, "file", Scope(asked="Fix it"))


def fenced(text: str, info: str = "js") -> str:
    return f"Sure:\n```{info}\n{text}\n```\nDone."


@pytest.mark.parametrize("path", ["cart.js", "cart.ts"])
@pytest.mark.parametrize("lead", ["export ", ""])
def test_one_function_goes_in_by_name(path: str, lead: str) -> None:
    new = read_edit(fenced(f"{lead}function add(a, b) {{\n  return a + b;\n}}\n\nadd(1, 2);"), script(path))
    assert new == CART.replace("a - b", "a + b")


def test_an_arrow_function_and_a_new_one() -> None:
    code = "const half = (x) => {\n  return x / 2;\n};\n\nfunction third(x) {\n  return x / 3;\n}"
    new = read_edit(fenced(code), script())
    assert new.startswith(CART.replace("x / 3", "x / 2").rstrip())
    assert new.endswith("function third(x) {\n  return x / 3;\n}\n")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("function add(a, b) {\n  // ... rest of the code\n}", RefusedError),
        ("class Cart {\n  total() {\n    return 2;\n  }\n}", RefusedError),
        ("function add(a, b) {\n  return (a + ;\n}", EditError),
        (CART.replace("return 1", "return (1"), SyntaxFailedError),
        ("console.log(1);", RefusedError),
    ],
    ids=["elided", "method-dropped", "broken", "broken-file", "only-an-example"],
)
def test_what_is_refused(code: str, error: type[EditError]) -> None:
    with pytest.raises(error):
        read_edit(fenced(code), script())


def test_a_function_that_is_cut_is_refused_and_the_one_before_it_is_not() -> None:
    code = "function add(a, b) {\n  return a + b;\n}\n\nexport class Cart {\n  total() {"
    assert read_edit(f"```js\n{code}", script(), cut=True) == CART.replace("a - b", "a + b")
    with pytest.raises(FormatError, match="cut"):
        read_edit("```js\nfunction add(a, b) {\n  return a + b;\n}", script(), cut=True)


def test_data_keeps_its_keys_and_parses() -> None:
    edit = script("a.json", '{"a": 1, "b": {"c": [2]}}')
    assert '"c": [3]' in read_edit(fenced('{"a": 1, "b": {"c": [3]}, "d": 4}'), edit)
    with pytest.raises(RefusedError, match=r"drops b.c"):
        read_edit(fenced('{"a": 2, "b": {}}'), edit)
    with pytest.raises(EditError):
        read_edit(fenced('"a": 2, "b": {"c": 1}'), edit)
    assert read_edit(fenced("{&quot;b&quot;: 1}"), script("n.json", None)) == '{"b": 1}\n'


def test_a_file_that_does_not_parse_is_repaired_by_one_of_its_definitions() -> None:
    edit = Edit("a.py", BROKEN, "replace", Scope(asked="Fix the syntax error in f"))
    fixed = BROKEN.replace("def f(self)\n", "def f(self):\n")
    assert read_edit(fenced("def f(self):\n    return 1", "python"), edit) == fixed
    assert read_edit(fenced(fixed, "python"), edit) == fixed
    swap = "<<<<<<< SEARCH\n    def f(self)\n=======\n    def f(self):\n>>>>>>> REPLACE"
    assert read_edit(swap, edit) == fixed


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("def h(self):\n    return 1", FormatError, "does not parse"),
        ("def g(self):\n    return 1", SyntaxFailedError, "line 5"),
        ("class A:\n    def f(self):\n        return 1", RefusedError, "drops g"),
    ],
)
def test_a_file_that_still_does_not_parse_is_refused(code: str, error: type[EditError], words: str) -> None:
    with pytest.raises(error, match=words):
        read_edit(fenced(code, "python"), Edit("a.py", BROKEN, "replace", Scope()))
