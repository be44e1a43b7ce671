"""Linters and type checkers: what they find, in a form that outlives shifted line numbers."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmd.errors import SwarmdError
from swarmd.sandbox import Completed
from swarmd.verify.context import GateContext

__all__ = ["Finding", "FindingsRun", "new_findings", "ruff_program", "run_mypy", "run_ruff"]

_MYPY_LINE = re.compile(
    r"^(?P<path>[^:\n]+):(?P<line>\d+)(?::\d+)?: error: (?P<text>.*?)(?:  \[(?P<code>[\w-]+)\])?$"
)


@dataclass(frozen=True)
class Finding:
    """One finding of a rule at a line."""

    path: str
    line: int
    code: str
    message: str

    @property
    def key(self) -> str:
        """What it is compared by: everything but the line, and numbers in its text that shift."""
        return f"{self.path}|{self.code}|{re.sub(r'line [0-9]+', 'line', self.message)}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code} {self.message}"


@dataclass(frozen=True)
class FindingsRun:
    """One run of a checker."""

    completed: Completed
    findings: list[Finding]
    usable: bool
    """False: the checker itself failed, so its findings mean nothing."""


def new_findings(found: Iterable[Finding], base_keys: Iterable[str]) -> list[Finding]:
    """Those of ``found`` that the base has not, or not as often."""
    left = Counter(base_keys)
    fresh = []
    for finding in found:
        left[finding.key] -= 1
        if left[finding.key] < 0:
            fresh.append(finding)
    return fresh


def ruff_program() -> Path:
    """The ruff of swarmd's own environment. Raises SwarmdError when it is not there."""
    for folder in (Path(sys.executable).parent, Path(sys.prefix) / "bin"):
        if (folder / "ruff").is_file():
            return folder / "ruff"
    raise SwarmdError("ruff is not installed beside swarmd", code="E-RUFF", hint='Run "pip install ruff".')


def run_ruff(
    context: GateContext,
    checkout: Path,
    *,
    seconds: float,
    options: Sequence[str] = (),
    paths: Sequence[str] = (".",),
) -> FindingsRun:
    """``ruff check`` with the project's configuration, or what ``options`` say."""
    program = ruff_program()
    argv = [str(program), "check", "--no-cache", "--no-fix", "--output-format=json", *options, "--", *paths]
    completed = context.run(checkout, argv, seconds=seconds, extra=[program])
    place = str(context.place(checkout)) + "/"
    text = completed.output.decode("utf-8", "replace")
    start = text.find("[")  # warnings on stderr come before the list
    try:
        rows = json.loads(text[start : text.rfind("]") + 1]) if start >= 0 else None
    except ValueError:
        rows = None
    usable = completed.exit_code in (0, 1) and isinstance(rows, list)
    found = [
        Finding(
            path=str(row.get("filename", "")).removeprefix(place),
            line=int((row.get("location") or {}).get("row") or 0),
            code=str(row.get("code") or "E999"),
            message=str(row.get("message", "")),
        )
        for row in rows or []
        if isinstance(row, dict)
    ]
    return FindingsRun(completed, found, usable)


def run_mypy(context: GateContext, checkout: Path, argv: Sequence[str], *, seconds: float) -> FindingsRun:
    """mypy with the project's own configuration and interpreter; its plugins run in the sandbox too."""
    fixed = [
        "--no-error-summary",
        "--hide-error-context",
        "--no-color-output",
        "--no-pretty",
        "--show-error-codes",
    ]
    program = [context.python, "-I", "-B", "-m", "mypy", *fixed, "--cache-dir=/tmp/swarmd-mypy-cache"]
    completed = context.run(checkout, [*program, *argv[1:]], seconds=seconds)
    found = []
    for line in completed.output.decode("utf-8", "replace").splitlines():
        match = _MYPY_LINE.match(line)
        if match:
            found.append(Finding(match["path"], int(match["line"]), match["code"] or "error", match["text"]))
    usable = completed.exit_code == 0 or (completed.exit_code in (1, 2) and bool(found))
    return FindingsRun(completed, found, usable)
