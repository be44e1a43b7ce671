"""Problems made up for these tests, in the form of published ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from swarmd.bench.dataset import Task

__all__ = ["FENCE", "SHELVES", "as_jsonl", "write_gzip"]

FENCE = Task(
    task_id="Invented/fence",
    prompt='''def fence_posts(length: int, gap: int) -> int:
    """How many posts a fence of ``length`` needs, one every ``gap``, and one at each end.

    >>> fence_posts(10, 5)
    3
    """
''',
    entry_point="fence_posts",
    canonical_solution="""    # a part of a gap needs a post, too
    full = length // gap
    if length % gap != 0:
        full = full + 1
    return full + 1
""",
    test='''
METADATA = {"author": "nobody"}


def check(candidate):
    """Cases."""
    assert candidate(10, 5) == 3, "told in the docstring"
    assert candidate(0, 5) == 1
    assert candidate(11, 5) == 4
    assert candidate(4, 5) == 2
    assert candidate(100, 10) == 11
    assert candidate(99, 10) == 11
    assert True
''',
)

SHELVES = Task(
    task_id="Invented/shelves",
    prompt='''from typing import List


def total(items: List[int]) -> int:
    """The sum of ``items``."""
    result = 0
    for item in items:
        result += item
    return result


def heaviest(shelves: List[List[int]]) -> int:
    """The number of the heaviest of ``shelves``; the first of several."""
''',
    entry_point="heaviest",
    canonical_solution="""    best = 0
    for number, shelf in enumerate(shelves):
        if total(shelf) > total(shelves[best]):
            best = number
    return best
""",
    test="""
def check(candidate):
    for size in range(1, 4):
        assert candidate([[1]] * size) == 0
    assert candidate([[1], [2, 3], [4]]) == 1
""",
)


def as_jsonl(*tasks: Task) -> bytes:
    return b"".join(json.dumps(task.__dict__).encode() + b"\n" for task in tasks)


def write_gzip(path: Path, *tasks: Task) -> Path:
    path.write_bytes(gzip.compress(as_jsonl(*tasks)))
    return path
