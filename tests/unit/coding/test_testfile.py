"""Test files that can count: tests which assert something about the subject, with imports that work."""

from __future__ import annotations

import ast

import pytest

from swarmd.coding.failure import FormatError
from swarmd.coding.testfile import Subject, assemble, prune

SOURCE = """def clamp(x, low, high):
    return max(low, min(x, high))


class Range:
    def size(self):
        return 1
"""
FILES = ["shop/__init__.py", "shop/ranges.py", "shop/other.py", "tests/test_other.py"]
CLAMP = Subject("shop/ranges.py", SOURCE, ("clamp",), FILES)


def block(code: str) -> str:
    return f"Here are the tests:\n```python\n{code}\n```\nThey cover all."


def names_in(text: str) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(text)) if getattr(node, "name", "").startswith("test")]


def test_good_tests_get_the_import_that_works() -> None:
    text = assemble(block("def test_low():\n    assert clamp(0, 1, 3) == 1"), CLAMP, "pytest")
    assert text == "from shop.ranges import clamp\n\n\ndef test_low():\n    assert clamp(0, 1, 3) == 1\n"


def test_wrong_imports_are_replaced() -> None:
    code = (
        "import math\nimport os\nimport pytest\nimport numpy as np\nfrom your_module import clamp\n"
        "from numbers2 import x\n"
        "from other import helper\n\n"
        "def test_a():\n    with pytest.raises(ValueError):\n        clamp(math.nan, helper(), 1)\n"
    )
    text = assemble(block(code), CLAMP, "pytest")
    assert "from shop.ranges import clamp\n" in text
    assert "from shop.other import helper\n" in text
    for word in ("your_module", "numpy", "numbers2", "import os"):
        assert word not in text


def test_a_module_that_is_used_by_name_is_imported() -> None:
    text = assemble(
        block("import ranges\ndef test_a():\n    assert ranges.clamp(1, 2, 3) == 2"), CLAMP, "pytest"
    )
    assert "from shop import ranges\n" in text or "import shop.ranges" in text


@pytest.mark.parametrize(
    "code",
    [
        "def test_a():\n    clamp(1, 2, 3)",
        "def test_a():\n    assert True",
        "def test_a():\n    assert sorted([2, 1]) == [1, 2]",
        "import pytest\n@pytest.mark.skip\ndef test_a():\n    assert clamp(1, 2, 3) == 2",
        "import pytest\n@pytest.mark.xfail(reason='x')\ndef test_a():\n    assert clamp(1, 2, 3) == 2",
        "def check():\n    assert clamp(1, 2, 3) == 2",
    ],
)
def test_tests_that_cannot_count_are_dropped(code: str) -> None:
    good = "def test_good():\n    assert clamp(5, 1, 3) == 3"
    assert names_in(assemble(block(f"{code}\n\n{good}"), CLAMP, "pytest")) == ["test_good"]
    with pytest.raises(FormatError, match="no test that calls clamp"):
        assemble(block(code), CLAMP, "pytest")


def test_a_copy_of_the_subject_is_left_out() -> None:
    test = "def test_a():\n    assert clamp(SIZES[0], 1, 2) == 1"
    code = f"def clamp(x, low, high):\n    return x\n\nSIZES = [1, 2]\n\n{test}"
    text = assemble(block(code), CLAMP, "pytest")
    assert "def clamp" not in text
    assert "SIZES = [1, 2]" in text


def test_fixtures_and_helpers_come_along_when_used() -> None:
    code = (
        "import pytest\n@pytest.fixture\ndef low():\n    return make(1)\n\ndef make(x):\n    return x\n\n"
        "def unused():\n    return 2\n\ndef test_a(low):\n    assert clamp(0, low, 3) == 1\n"
    )
    text = assemble(block(code), CLAMP, "pytest")
    assert "def low():" in text
    assert "def make(x):" in text
    assert "unused" not in text


def test_the_end_of_a_cut_reply_is_dropped() -> None:
    reply = "```python\ndef test_a():\n    assert clamp(0, 1, 3) == 1\n\ndef test_b():\n    assert clamp("
    assert names_in(assemble(reply, CLAMP, "pytest")) == ["test_a"]


def test_classes_keep_only_their_good_tests() -> None:
    code = (
        "class TestClamp:\n    def setup_method(self):\n        self.low = 1\n\n"
        "    def test_a(self):\n        assert clamp(0, self.low, 3) == 1\n\n"
        "    def test_b(self):\n        pass\n"
    )
    text = assemble(block(code), CLAMP, "pytest")
    assert names_in(text) == ["test_a"]
    assert "setup_method" in text


def test_unittest_projects_get_a_test_case() -> None:
    text = assemble(block("def test_a():\n    assert clamp(0, 1, 3) == 1"), CLAMP, "unittest")
    assert "import unittest\n" in text
    assert "class TestGenerated(unittest.TestCase):\n    def test_a(self):\n        assert clamp" in text


def test_methods_are_tested_through_their_class() -> None:
    subject = Subject("shop/ranges.py", SOURCE, ("Range.size",), FILES)
    text = assemble(block("def test_a():\n    assert Range().size() == 1"), subject, "pytest")
    assert "from shop.ranges import Range\n" in text


def test_several_assertions_become_several_tests() -> None:
    code = "def test_a():\n    assert clamp(0, 1, 3) == 1\n    assert clamp(\n        9, 1, 3\n    ) == 3\n"
    text = assemble(block(code), CLAMP, "pytest")
    assert names_in(text) == ["test_a_1", "test_a_2"]
    assert "    assert clamp(\n        9, 1, 3\n    ) == 3\n" in text
    told = "def test_a():\n    x = clamp(0, 1, 3)\n    assert x == 1\n    assert x < 2\n"
    assert names_in(assemble(block(told), CLAMP, "pytest")) == ["test_a"]


def test_failed_tests_can_be_taken_out() -> None:
    text = "X = 1\n\n\ndef test_a():\n    assert X\n\n\ndef test_a_2():\n    assert X\n"
    assert names_in(prune(text, "t.py::test_a failed\nassert 1 == 2")) == ["test_a_2"]
    assert names_in(prune(text, "t.py::test_a failed\nalso failing: t.py::test_a_2")) == []
    assert prune(text, "something else") == text


def test_a_test_written_twice_counts_once() -> None:
    code = "def test_a():\n    assert clamp(0, 1, 3) == 1\n\ndef test_a():\n    assert clamp(0, 1, 3) == 2\n"
    assert names_in(assemble(block(code), CLAMP, "pytest")) == ["test_a"]
