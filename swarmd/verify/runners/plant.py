"""Tests that must fail: a runner that says they pass, or does not run them, is not believed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from swarmd.verify.runners.report import TestRun

__all__ = ["Planted", "check_planted", "plant", "without_planted"]

MAX_FOLDERS = 12
TEMPLATE = """\
import unittest


def {function}():
    left, right = {a}, {b}
    assert left == right


class {case}(unittest.TestCase):
    def {method}(self):
        self.assertEqual({c}, {d})
"""


@dataclass(frozen=True)
class Planted:
    """One planted file: its path in the checkout and the name that marks its tests."""

    path: str
    mark: str

    def owns(self, test_id: str) -> bool:
        """Whether ``test_id`` is one of this file's tests."""
        return self.mark in test_id

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)


def plant(checkout: Path, test_files: Iterable[str]) -> list[Planted]:
    """Write a failing test file beside the ``test_files``: one in each of their folders, at most 12,
    those with the most tests first. Names and values are random."""
    counts: dict[str, int] = {}
    for path in test_files:
        folder = str(PurePosixPath(path).parent)
        counts[folder] = counts.get(folder, 0) + 1
    folders = sorted(counts, key=lambda folder: (-counts[folder], folder))[:MAX_FOLDERS]
    return [_plant_one(checkout, folder) for folder in folders or ["."]]


def _plant_one(checkout: Path, folder: str) -> Planted:
    mark = secrets.token_hex(5)
    numbers = [secrets.randbelow(10**6) for _ in range(4)]
    text = TEMPLATE.format(
        function=f"test_{mark}",
        case=f"Test{mark}",
        method=f"test_{mark}",
        a=numbers[0],
        b=numbers[0] + 1 + numbers[1],
        c=numbers[2],
        d=numbers[2] + 1 + numbers[3],
    )
    path = str(PurePosixPath(folder) / f"test_{mark}.py")
    (checkout / path).write_text(text)
    return Planted(path, mark)


def check_planted(run: TestRun, planted: Sequence[Planted], folder_of: dict[str, str]) -> list[str]:
    """What is wrong with the planted tests' outcomes; empty when the runner can be believed.

    ``folder_of`` gives the folder of each real test that was reported: a planted test must have
    failed wherever a real one ran, and somewhere in any case.
    """
    wrong: list[str] = []
    seen = 0
    needed = {folder_of.get(test_id) for test_id in run.tests}
    for file in planted:
        records = [record for test_id, record in run.tests.items() if file.owns(test_id)]
        if any(record.outcome != "failed" for record in records):
            wrong.append(
                f"a planted test in {file.folder}/ that must fail was reported as {records[0].outcome}"
            )
        elif not records and file.folder in needed:
            wrong.append(f"a planted test in {file.folder}/ that must fail was not run")
        seen += len(records)
    if run.finished and not seen:
        wrong.append("no planted test was run")
    return wrong


def without_planted(run: TestRun, planted: Sequence[Planted]) -> TestRun:
    """``run`` without the planted tests."""

    def real(test_id: str) -> bool:
        return not any(file.owns(test_id) for file in planted)

    return replace(
        run,
        tests={test_id: record for test_id, record in run.tests.items() if real(test_id)},
        broken={test_id: record for test_id, record in run.broken.items() if real(test_id)},
        collected={test_id for test_id in run.collected if real(test_id)},
        deselected={test_id for test_id in run.deselected if real(test_id)},
    )
