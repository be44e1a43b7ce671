"""Imports that a model forgot."""

from __future__ import annotations

import ast

import pytest

from swarmd.coding.merge import Scope, merge
from swarmd.coding.missing import with_missing_imports


def completed(code: str) -> str:
    return with_missing_imports(
        code, [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return math.sqrt(x)", "import math"),
        ("return re.sub('a', 'b', x)", "import re"),
        ("return Counter(x).most_common()", "from collections import Counter"),
        ("return list(itertools.chain(x))", "import itertools"),
        ("return [sqrt for sqrt in map(math.sqrt, x)]", "import math"),
    ],
)
def test_a_name_that_means_one_thing_is_imported(body: str, line: str) -> None:
    assert completed(f"def f(x):\n    {body}\n").startswith(line + "\n")


@pytest.mark.parametrize(
    "code",
    [
        "def f(math):\n    return math.sqrt(2)\n",
        "def f(x):\n    import math\n    return math.sqrt(x)\n",
        "def f(x):\n    re = x\n    return re.sub\n",
        "math = object()\n\n\ndef f(x):\n    return math.sqrt(x)\n",
        "from numpy import *\n\n\ndef f(x):\n    return math.sqrt(x)\n",
        "def f(x):\n    return numpy.array(x) + math\n",
        "def f(string_list):\n    return string.split()\n",
        "chain, cycle = 3, 4\n\n\ndef f(x):\n    return chain + cycle\n",
        "for product in ():\n    pass\n\n\ndef f(x):\n    return product\n",
        "def g():\n    global product\n    product = 1\n\n\ndef f(x):\n    return product\n",
        "class Counter:\n    pass\n\n\ndef f(x):\n    return Counter()\n",
    ],
)
def test_nothing_is_imported_where_the_name_is_bound_or_may_mean_something_else(code: str) -> None:
    assert completed(code) == code


def test_code_that_was_there_before_keeps_its_faults() -> None:
    old = "def g(x):\n    return math.pi\n\n\ndef f(x):\n    pass\n"
    new = merge(old, "def f(x):\n    return x + 1\n", Scope(frozenset({"f"})))
    assert "import math" not in new
    assert "import math" in merge(old, "def f(x):\n    return math.pi\n", Scope(frozenset({"f"})))
