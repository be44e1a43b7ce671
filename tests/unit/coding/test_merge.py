"""Splicing by name: only what was asked for changes, everything else keeps its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.coding import symbols
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError, SyntaxFailedError
from swarmd.coding.merge import Scope, merge

FILE = '''"""A shop."""

import os
from typing import Dict

LIMIT = 10


class Cart:
    """What is bought."""

    rate = 1

    def __init__(self):
        self.items = []

    @property
    def total(self) -> int:
        """Sum of all.

        In cents.
        """
        return sum(self.items) - 1

    @total.setter
    def total(self, value):
        self.items = [value]

    def add(self, item):  # keeps order
        self.items.append(item)


# About f: it matters.
def f(x):
    """Next of x."""
    # not a comment of the reply
    return x + 2


if __name__ == "__main__":
    print(f(1))
'''


def only(*names: str) -> Scope:
    return Scope(frozenset(names))


def adding(*names: str) -> Scope:
    return Scope(frozenset(), frozenset(names))


def without(text: str, *parts: str) -> str:
    for part in parts:
        assert part in text
        text = text.replace(part, "", 1)
    return text


def test_a_function_is_replaced_and_the_rest_keeps_its_bytes() -> None:
    new = merge(FILE, "def f(x):\n    return x + 1", only("f"))
    old_body = "    # not a comment of the reply\n    return x + 2\n"
    assert new == FILE.replace(old_body, "    return x + 1\n")


def test_a_method_may_come_without_its_class() -> None:
    new = merge(FILE, "def total(self):\n    return sum(self.items)", only("Cart.total"))
    assert "        return sum(self.items)\n" in new
    assert new.count("@property") == 1, "the decorator that the reply left out is kept"
    assert "        In cents.\n" in new, "so is the docstring"
    assert "@total.setter\n    def total(self, value):" in new, "and the setter of the same name"


def test_a_setter_is_told_from_its_getter() -> None:
    new = merge(
        FILE, "@total.setter\ndef total(self, value):\n    self.items = [value, 0]", only("Cart.total")
    )
    assert "return sum(self.items) - 1" in new
    assert "self.items = [value, 0]" in new


def test_a_class_with_one_method_replaces_just_that() -> None:
    add = "    def add(self, item):\n        self.items.insert(0, item)\n"
    reply = f"class Cart:\n{add}    def total(self): ...\n"
    new = merge(FILE, reply, only("Cart.add"))
    assert "self.items.insert(0, item)" in new
    assert "return sum(self.items) - 1" in new


def test_the_whole_file_repeated_changes_only_the_target() -> None:
    reply = FILE.replace("x + 2", "x + 1").replace("LIMIT = 10", "LIMIT = 99").replace("- 1", "- 7")
    new = merge(FILE, reply, only("f"))
    assert "x + 1" in new
    assert "LIMIT = 10" in new
    assert "- 7" not in new


def test_anything_may_be_replaced_when_no_target_is_known() -> None:
    new = merge(FILE, "LIMIT = 20\n\ndef f(x):\n    return x + 1", Scope())
    assert "LIMIT = 20" in new
    assert "return x + 1" in new


def test_new_imports_and_helpers_find_their_places() -> None:
    reply = (
        "import json\nimport unused\nfrom typing import List\nfrom shop import Cart\n\n"
        "SIZE = 3\n\ndef helper(x: List[int]):\n    return json.dumps(x[:SIZE])\n\n"
        "def f(x):\n    return helper([x])\n\nprint(f(3))\n"
    )
    new = merge(FILE, reply, only("f"))
    assert "import json\nimport os\nfrom typing import Dict, List\n" in new
    assert "unused" not in new
    assert "from shop" not in new
    assert new.index("def helper") < new.index("# About f") < new.index("def f")
    assert "LIMIT = 10\nSIZE = 3\n" in new
    assert new.count("print(") == 1


def test_a_new_function_goes_before_the_scripts_end() -> None:
    new = merge(FILE, "def g(x):\n    return f(x)", adding("g"))
    assert without(new, "def g(x):\n    return f(x)\n\n\n") == FILE
    assert new.index("def g") < new.index("if __name__")


def test_a_new_function_in_a_file_of_constants() -> None:
    new = merge("X = 1\n", "def g():\n    return 1", adding("g"))
    assert new.startswith("X = 1\n\n\ndef g():")


def test_a_new_method_goes_to_the_end_of_its_class() -> None:
    reply = "class Cart:\n    def clear(self):\n        self.items = []\n"
    for text in (reply, "def clear(self):\n    self.items = []"):
        new = merge(FILE, text, adding("Cart.clear"))
        assert "append(item)\n\n    def clear(self):\n        self.items = []\n\n\n# About f" in new


def test_tabs_and_two_spaces_are_kept() -> None:
    tabs = "class A:\n\tdef f(self):\n\t\treturn 1\n"
    new = merge(tabs, "def f(self):\n    if 1:\n        return 2\n    return 3", only("A.f"))
    assert new == "class A:\n\tdef f(self):\n\t\tif 1:\n\t\t\treturn 2\n\t\treturn 3\n"
    two = "def f():\n  return 1\n"
    assert (
        merge(two, "def f():\n    if 1:\n        return 2", only("f")) == "def f():\n  if 1:\n    return 2\n"
    )


@pytest.mark.parametrize(
    "reply",
    [
        "def f(x):\n        return x + 1\n",
        "    def f(x):\n        return x + 1\n",
        "def f(x):\n\treturn x + 1\n",
        "\n\ndef f(x):\n    return x + 1\n\n",
        "def shop.f(x):\n    return x + 1\n",
    ],
    ids=["deep", "indented", "tab", "blank", "dotted"],
)
def test_slips_of_form_are_undone(reply: str) -> None:
    assert "\ndef f(x):\n" in (new := merge(FILE, reply, only("f")))
    assert "\n    return x + 1\n" in new


def test_only_the_first_line_lost_its_indentation() -> None:
    reply = "@property\n    def total(self):\n        return sum(self.items)\n"
    assert "        return sum(self.items)\n" in merge(FILE, reply, only("Cart.total"))


def test_text_inside_strings_is_not_moved() -> None:
    reply = 'def add(self, item):\n    self.text = """\n  two\n"""\n'
    assert '        self.text = """\n  two\n"""\n' in merge(FILE, reply, only("Cart.add"))


def test_clauses_keep_their_levels() -> None:
    reply = (
        "def f(x):\n  try:\n    for y in x:\n      pass\n    else:\n      pass\n"
        "  except (A,\n          B) as e:\n    x = [\n      1,\n    ]\n  finally:\n    pass\n"
        "  if x:\n    pass\n  elif 1:\n    # why\n    pass\n"
        "  match x:\n    case 1:\n      return 2\n  return x\n"
    )
    new = merge(FILE, reply, only("f"))
    symbols.parse(new)
    for line in ("    try:", "        for y in x:", "        else:", "            pass", "    finally:"):
        assert f"\n{line}\n" in new
    for line in ("    elif 1:", "        # why", "        case 1:", "            return 2", "        ]"):
        assert f"\n{line}\n" in new


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("def g(x):\n    return x + 1", FormatError),
        ("def f(x):\n    '''Other words.'''\n    return x +", SyntaxFailedError),
        ("def f(x):\n    # other words\n    return x + 2", NothingError),
        ("def f(x):\n    return x + 2", NothingError),
        ("def f(x):\n    pass", RefusedError),
        ("def f(x):\n    ...", RefusedError),
        ("def f(x):\n    raise NotImplementedError", RefusedError),
        ("def f(x):\n    # ... rest of the code\n    return x", RefusedError),
        ("def f(x):\n    # Your code here\n    return x", RefusedError),
        ("print(f(1))", FormatError),
    ],
)
def test_what_is_refused(reply: str, error: type[EditError]) -> None:
    with pytest.raises(error):
        merge(FILE, reply, only("f"))


def test_the_failure_names_what_was_expected() -> None:
    with pytest.raises(FormatError, match=r"must define f, .* it defines g"):
        merge(FILE, "def g(x):\n    return 1", only("f"))


def test_a_decorator_goes_only_when_the_task_names_it() -> None:
    file = "import functools\n\n\n@functools.cache\ndef f(x):\n    return x\n"
    reply = "def f(x):\n    return x + 1\n"
    assert "@functools.cache" in merge(file, reply, only("f"))
    asked = Scope(frozenset({"f"}), asked="f must not use functools.cache")
    assert "@functools.cache" not in merge(file, reply, asked)


def test_an_import_that_the_file_binds_already_is_left_alone() -> None:
    new = merge(FILE, "import os\nfrom os import path\ndef f(x):\n    return os.sep + path.sep", only("f"))
    assert new.count("import os\n") == 1
    assert "from os import path\n" in new


def test_imports_go_below_docstring_and_future() -> None:
    file = '#!/usr/bin/python\n"""Doc."""\nfrom __future__ import annotations\n\n\ndef f():\n    return 1\n'
    new = merge(file, "import re\ndef f():\n    return re", only("f"))
    assert "annotations\n\nimport re\n\n\ndef f" in new
    bare = merge("# licence\n\ndef f():\n    return 1\n", "import re\ndef f():\n    return re", only("f"))
    assert bare == "# licence\n\nimport re\n\n\ndef f():\n    return re\n"


def test_definitions_under_try_can_be_replaced() -> None:
    file = "try:\n    import fast\nexcept ImportError:\n    def f(x):\n        return 1\n"
    assert "    def f(x):\n        return 2\n" in merge(file, "def f(x):\n    return 2", only("f"))


NAMES = st.sampled_from(["f", "g", "Cart", "total", "add", "LIMIT"])
BODIES = st.sampled_from(["return 1", "pass", "x = 1", '"""Doc."""', "return [\n        1,\n    ]"])


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, BODIES), max_size=4), st.sampled_from([None, "f", "Cart.add", "Cart"]))
def test_whatever_comes_the_result_parses_and_loses_nothing(pieces: list[tuple[str, str]], aim: str) -> None:
    reply = "\n".join(f"def {name}(self):\n    {body}" for name, body in pieces)
    try:
        new = merge(FILE, reply, only(aim) if aim else Scope())
    except EditError:
        return
    before = {symbol.name for symbol in symbols.read(FILE)}
    assert before <= {symbol.name for symbol in symbols.read(new)}
