"""Code as models write it down: what is undone, and what is whole in a text that is not."""

from __future__ import annotations

import pytest

from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError, FormatError, SyntaxFailedError
from swarmd.coding.merge import Scope
from swarmd.coding.readings import parse_reply, read_code

CODE = "def f(x):\n    y = x < 1\n    return y"
RING = (
    "class Ring:\n    def push(self, x):\n        self.x = x\n\n    def pop(self):\n        return self.x\n"
)


@pytest.mark.parametrize(
    "written",
    [
        ">>> def f(x):\n...     y = x < 1\n...     return y",
        " 9 | def f(x):\n10 |     y = x < 1\n11 |     return y",
        "1: def f(x):\n2:     y = x < 1\n3:     return y",
        "+def f(x):\n+    y = x < 1\n+    return y",
        "def f(x):\n    y = x &lt; 1\n    return y",
        "    def f(x):\n        y = x < 1\n        return y",
        "def f(x):\n        y = x < 1\n        return y",
        ">>> def f(x):\n...     y = x &lt; 1\n...     return y",
    ],
    ids=["session", "gutter", "colon", "plus", "entities", "indented", "first-line", "two-at-once"],
)
def test_how_code_is_written_down_is_undone(written: str) -> None:
    tree, lines = parse_reply(written)
    assert [line.strip() for line in lines] == [line.strip() for line in CODE.split("\n")]
    assert len(tree.body) == 1


def test_code_that_parses_is_left_as_it_is() -> None:
    code = 'def f():\n    return "&lt;" + """\n>>> 1\n"""'
    assert "\n".join(parse_reply(code)[1]) == code


def test_what_is_whole_is_taken_from_what_is_not() -> None:
    code = read_code(f"import re\n\n{CODE}\n\ndef g(:\n    pass\n\nX = (\n    1,\n)\n# End")
    assert "def g" not in code.text
    assert {"import re", "    return y", "X = ("} <= {*code.lines}
    with pytest.raises(SyntaxFailedError):
        read_code("def g(:\n    pass")


def test_a_cut_text_has_no_last_statement() -> None:
    assert "def g" not in read_code(f"{CODE}\n\ndef g(x):\n    return x", cut=True).text
    assert "def pop" not in read_code(RING, cut=True).text
    assert read_code(RING, cut=True).partial == {"Ring"}
    with pytest.raises(SyntaxFailedError, match="breaks off"):
        read_code(CODE, cut=True)


SOURCE = "class Ring:\n    def push(self, x):\n        pass\n\n    def pop(self):\n        pass\n"


def edit(*names: str) -> Edit:
    return Edit("ring.py", SOURCE, "symbol", Scope(frozenset(names)))


def test_a_method_before_the_cut_is_saved_and_the_one_at_it_is_not() -> None:
    reply = f"```python\n{RING}"
    new = read_edit(reply, edit("Ring.push"), cut=True)
    assert "self.x = x" in new
    assert "return self.x" not in new
    for name in ("Ring.pop", "Ring"):
        with pytest.raises(FormatError, match="cut"):
            read_edit(reply, edit(name), cut=True)
    assert "return self.x" in read_edit(reply, edit("Ring"))


def test_code_without_a_fence_that_was_cut_is_not_taken_for_whole() -> None:
    with pytest.raises(FormatError, match="cut"):
        read_edit("def pop(self):\n    y = 1\n    return", edit("Ring.pop"), cut=True)
    with pytest.raises(EditError):
        read_edit("Here:\n\ndef pop(self):\n    y = 1\n    return (", edit("Ring.pop"))


def test_tests_and_examples_stay_out_of_the_file() -> None:
    reply = (
        "```python\ndef f(x):\n    return help_it(x)\n\ndef help_it(x):\n    return x\n\n"
        "CASES = [1]\n\ndef test_f():\n    assert f(CASES)\n\nclass TestF:\n    pass\n\n"
        "result = f(3)\nprint(result)\n```"
    )
    for scope in (Scope(frozenset({"f"})), Scope()):
        new = read_edit(reply, Edit("a.py", "def f(x):\n    return 1\n", "symbol", scope))
        assert "def help_it" in new
        assert "test_f" not in new
        assert "CASES" not in new or not scope.wanted
        assert "TestF" not in new
        assert "result" not in new
