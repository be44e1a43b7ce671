"""What ruff's and bandit's rules say about the lines that a diff changed."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmd.sandbox import interpreter_mounts
from swarmd.verify.bench import Bench
from swarmd.verify.gates import Changed
from swarmd.verify.protect import is_test_file
from swarmd.verify.runners.findings import Finding, run_ruff

__all__ = ["StaticFinding", "changed_lines", "points_at", "static_findings"]

SECONDS = 120.0
_FATAL = ("F8", "E9")
"""Undefined or overwritten names, and code that does not parse: defects, not taste."""


@dataclass(frozen=True)
class StaticFinding:
    """A finding on a changed line."""

    finding: Finding
    rejects: bool
    """Whether it alone is a reason to reject."""

    def __str__(self) -> str:
        return str(self.finding)


def static_findings(bench: Bench, old: str, new: str) -> list[StaticFinding]:
    """Findings of ruff's default rules and of bandit, on lines that differ from commit ``old`` to
    ``new``. Neither tool runs the project's code. Raises SandboxError, SwarmdError."""
    changed = bench.changed(old, new)
    paths = [path for path, texts in changed.items() if path.endswith(".py") and texts[1] is not None]
    if not paths:
        return []
    lines = {path: changed_lines(*changed[path]) for path in paths}
    checkout = bench.checkout(new, "gates")
    try:
        options = ["--isolated", "--select=E4,E7,E9,F"]
        ruff = run_ruff(bench.context, checkout, seconds=SECONDS, options=options, paths=paths)
        found = [StaticFinding(one, one.code.startswith(_FATAL)) for one in ruff.findings]
        found += _bandit(bench, checkout, [path for path in paths if not is_test_file(path)])
    finally:
        bench.clear()
    return [one for one in found if one.finding.line in lines.get(one.finding.path, ())]


def changed_lines(old: str | None, new: str | None) -> set[int]:
    """Numbers of the lines of ``new`` that are not in ``old``."""
    before, after = (old or "").splitlines(), (new or "").splitlines()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return {
        number
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag != "equal"
        for number in range(start + 1, end + 1)
    }


def _bandit(bench: Bench, checkout: Path, paths: Sequence[str]) -> list[StaticFinding]:
    if not paths:
        return []
    argv = [
        sys.executable,
        "-I",
        "-B",
        "-m",
        "bandit",
        "--quiet",
        "--format=json",
        "--exit-zero",
        "--ini=/dev/null",
    ]
    extra = interpreter_mounts(Path(sys.executable))
    completed = bench.context.run(checkout, [*argv, *paths], seconds=SECONDS, extra=extra)
    text = completed.output.decode("utf-8", "replace")
    try:
        rows = json.loads(text[text.index("{") : text.rindex("}") + 1]).get("results", [])
    except (ValueError, AttributeError):
        return [StaticFinding(Finding(paths[0], 0, "bandit", "bandit did not work"), False)]
    return [
        StaticFinding(
            Finding(
                str(row["filename"]).removeprefix("./"),
                int(row["line_number"]),
                str(row["test_id"]),
                f"{row['issue_severity'].lower()}: {row['issue_text']}",
            ),
            rejects=row["issue_severity"] == "HIGH",
        )
        for row in rows
    ]


def points_at(findings: Sequence[str], changed: Changed) -> list[str]:
    """Those of a reviewer's ``findings`` that name a changed line as ``path:line``."""
    places = {f"{path}:{line}" for path, texts in changed.items() for line in changed_lines(*texts)}
    return [text for text in findings if any(word.strip("`'\"(),.;:") in places for word in _words(text))]


def _words(text: str) -> list[str]:
    words = text.split()
    return words + [":".join(word.split(":")[:2]) for word in words]
