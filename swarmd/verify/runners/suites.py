"""Runs a project's tests under one of the judge scripts and says whether the run can be believed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from swarmd.sandbox import Completed
from swarmd.verify.context import GateContext
from swarmd.verify.protect import is_protected
from swarmd.verify.runners.plant import Planted, check_planted, plant, without_planted
from swarmd.verify.runners.report import TestRun, parse_report

__all__ = ["SuiteRun", "folder_of", "run_suite"]

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class SuiteRun:
    """One run of the tests, without the planted ones."""

    completed: Completed
    run: TestRun
    wrong: list[str]
    """Why the run cannot be believed, whatever the base does; empty when it can."""
    touched: list[str]
    """Tracked files of the judging kind (tests, configuration) that were written while it ran."""
    note: str
    """For the kept output: which tests in it are planted."""


def run_suite(
    context: GateContext,
    checkout: Path,
    runner: Literal["pytest", "unittest", "examples"],
    *,
    test_files: Sequence[str],
    tracked: Collection[str],
    seconds: float,
    paths: Sequence[str] = (),
    more: Mapping[str, object] | None = None,
) -> SuiteRun:
    """Run the tests in ``checkout``, which is used up by it: planted files and caches stay behind.

    ``paths``: only these test files. ``more``: what else the runner is told beside the key.
    Raises SandboxError when the sandbox cannot be set up.
    """
    chosen = list(paths or test_files)
    planted = plant(checkout, chosen if runner == "pytest" else [])
    key = secrets.token_bytes(32)
    options = {
        "key": key.hex(),
        "planted": [file.path for file in planted],
        "paths": list(paths) if runner == "pytest" else chosen,
        **(more or {}),
    }
    watched = _stamps(checkout, tracked)
    completed = context.run(
        checkout,
        [context.python, "-s", "-B", context.script(f"judge_{runner}.py")],
        seconds=seconds,
        secret=json.dumps(options).encode(),
    )
    run = parse_report(completed.report, key, cut=completed.limit is not None)
    wrong = _wrong(run, planted, tracked, runner)
    touched = sorted(path for path, stamp in _stamps(checkout, watched).items() if stamp != watched[path])
    clean = replace(without_planted(run, planted), running=_real_running(run, planted))
    return SuiteRun(completed, clean, wrong, touched, _note(planted))


def _wrong(run: TestRun, planted: list[Planted], tracked: Collection[str], runner: str) -> list[str]:
    if not run.genuine:
        return ["the report of the test run was written to by something other than its runner"]
    folders = {test_id: folder_of(test_id) for test_id in run.tests} if runner == "pytest" else {}
    wrong = check_planted(run, planted, folders) if run.finished else []
    unknown = sorted(path for path in run.conftests if path not in tracked)
    if unknown:
        wrong.append(f"{', '.join(unknown)} came into being while the tests ran")
    return wrong


def folder_of(test_id: str) -> str:
    """The folder of the file that a pytest id names."""
    path = test_id.partition("::")[0]
    return path.rpartition("/")[0] or "."


def _real_running(run: TestRun, planted: list[Planted]) -> str | None:
    return None if run.running is None or any(file.owns(run.running) for file in planted) else run.running


def _stamps(checkout: Path, paths: Collection[str]) -> dict[str, Stamp]:
    """Inode, size and change time of the protected files: no program can set a change time back."""
    stamps: dict[str, Stamp] = {}
    for path in paths:
        if is_protected(path):
            try:
                status = (checkout / path).lstat()
                stamps[path] = (status.st_ino, status.st_size, status.st_ctime_ns)
            except OSError:
                stamps[path] = (0, 0, 0)
    return stamps


def _note(planted: list[Planted]) -> str:
    names = ", ".join(file.path for file in planted)
    return f"[swarmd planted tests that must fail, to check the runner: {names}]\n"
