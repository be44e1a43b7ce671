"""Failures, trimmed to what the next attempt needs: what was expected, what happened, and where."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from swarmd.messages import Failure, GateResult, TestFailure
from swarmd.messages.gate import FailureClass
from swarmd.verify.evidence import clean
from swarmd.verify.runners.report import TestRecord

__all__ = ["MAX_DIGEST", "class_of", "failure", "gate_failure", "test_failure"]

MAX_DIGEST = 1500
MAX_MESSAGE = 700

_CLASSES: dict[str, FailureClass] = {
    "NameError": "name",
    "UnboundLocalError": "name",
    "ImportError": "name",
    "ModuleNotFoundError": "name",
    "AttributeError": "name",
    "SyntaxError": "syntax",
    "IndentationError": "syntax",
    "TabError": "syntax",
    "MemoryError": "limits",
    "ExampleTimeoutError": "timeout",
}


def class_of(exception: str) -> FailureClass:
    """The failure class of an exception's class name."""
    return _CLASSES.get(exception, "assertion")


def failure(
    kind: FailureClass, digest: str, *, gate: str | None = None, marks: Iterable[str] = ()
) -> Failure:
    """A failure whose signature is equal for others of the same class, gate and ``marks``.

    Without marks, the digest itself counts, less what changes from run to run.
    """
    text = _shorten(clean(digest).strip(), MAX_DIGEST)
    parts = [kind, gate or "", *(_normalised(mark) for mark in (marks or [text]))]
    signature = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return Failure(kind=kind, gate=gate, digest=text, signature=signature)


def _normalised(text: str) -> str:
    """``text`` without addresses, numbers and paths' temporary parts, which differ between runs."""
    text = re.sub(r"0x[0-9a-fA-F]+", "0x", text)
    return re.sub(r"\d+(?:\.\d+)?", "0", text)


def test_failure(record: TestRecord) -> TestFailure:
    """``record`` as it goes into the evidence."""
    shown = list(record.frames)
    if record.source:
        shown += [f"    {line}" for line in record.source[:8]]
    return TestFailure(
        test_id=clean(record.test_id)[:500],
        path=record.path or record.test_id.partition("::")[0] or None,
        line=record.line,
        message=_shorten(clean(record.message).strip(), MAX_MESSAGE),
        frames=[clean(line)[:300] for line in shown],
    )


test_failure.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest take it for a test


def gate_failure(result: GateResult, *, marks: Sequence[str] = ()) -> Failure:
    """Why ``result`` is red, from its failing tests, its findings or its detail."""
    kind = result.failure_kind or "assertion"
    lines: list[str] = []
    if result.detail:
        lines.append(result.detail)
    if result.failures:
        lines += _test_lines(result.failures)
    elif result.findings:
        lines += [f"{result.gate}: {len(result.findings)} new findings", *result.findings[:10]]
    own = list(marks) or _marks(result)
    return failure(kind, "\n".join(lines) or f"the gate {result.gate} failed", gate=result.gate, marks=own)


def _marks(result: GateResult) -> list[str]:
    if result.failures:
        return sorted(
            f"{item.test_id} {item.message.splitlines()[0] if item.message else ''}"
            for item in result.failures
        )
    return sorted(re.sub(r":\d+:", ":", finding) for finding in result.findings) or [result.detail]


def _test_lines(failures: Sequence[TestFailure]) -> list[str]:
    first = failures[0]
    lines = [f"{first.test_id} failed", first.message]
    if first.frames:
        lines += ["at:", *(line if line.startswith("    ") else f"  {line}" for line in first.frames)]
    others = [item.test_id for item in failures[1:6]]
    if others:
        more = f" and {len(failures) - 6} more" if len(failures) > 6 else ""
        lines.append(f"also failing: {', '.join(others)}{more}")
    return lines


def _shorten(text: str, limit: int) -> str:
    """The beginning and the end of ``text``: both tell, the middle tells least."""
    if len(text) <= limit:
        return text
    gap = "\n[…]\n"
    head = (limit - len(gap)) * 2 // 3
    return text[:head] + gap + text[-(limit - len(gap) - head) :]
