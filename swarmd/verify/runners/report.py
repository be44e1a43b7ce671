"""Reading back what a judge script reported: who wrote each line, and what became of each test."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Outcome", "TestRecord", "TestRun", "parse_report"]

Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "lied", "unknown"]
OUTCOMES: frozenset[str] = frozenset({"passed", "failed", "skipped", "xfailed", "xpassed", "lied", "unknown"})
MAX_TEXT = 4000
MAX_PLACES = 20_000


@dataclass(frozen=True)
class TestRecord:
    """One test, or one file that could not be collected (``outcome`` failed then)."""

    __test__ = False

    test_id: str
    outcome: Outcome
    seal: str = ""
    """A hash of the test function's code as it was called; empty where it has none."""
    kind: str = ""
    """The exception's class."""
    message: str = ""
    path: str = ""
    line: int | None = None
    frames: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    """The innermost project frame's source line, then its local values."""


@dataclass
class TestRun:
    """All that a test run reported."""

    __test__ = False

    genuine: bool = True
    """False: a line is not from our script, or lines were changed or lost in the middle."""
    started: bool = False
    version: str = ""
    tests: dict[str, TestRecord] = field(default_factory=dict)
    broken: dict[str, TestRecord] = field(default_factory=dict)
    """Files that could not be collected, and class or module fixtures that failed."""
    collected: set[str] = field(default_factory=set)
    deselected: set[str] = field(default_factory=set)
    tampered: set[str] = field(default_factory=set)
    """Parts of the test runner that the project's code replaced."""
    conftests: set[str] = field(default_factory=set)
    """The conftest files that were loaded, relative to the checkout."""
    running: str | None = None
    """The test that was running when the report ended."""
    places: list[tuple[str, int]] = field(default_factory=list)
    """(path, first line) of the functions that a tracing run saw."""
    covered: dict[str, frozenset[int]] = field(default_factory=dict)
    """Which of ``places`` each test of a tracing run called."""
    status: int | None = None
    """The runner's exit status; None: it never came to its end."""

    @property
    def finished(self) -> bool:
        """Whether the session went through to its normal end."""
        return self.genuine and self.status in (0, 1)

    def outcomes(self, *kinds: Outcome) -> list[str]:
        """Ids of the tests that ended as one of ``kinds``, in the order they ran."""
        return [test_id for test_id, record in self.tests.items() if record.outcome in kinds]


def parse_report(data: bytes, key: bytes, *, cut: bool) -> TestRun:
    """Check every line against ``key`` and sum up. ``cut``: the process was ended by a limit, so
    the last line may be torn."""
    run = TestRun()
    lines = data.split(b"\n")
    torn = lines.pop()
    if torn and not cut:
        run.genuine = False
    for fields in _authentic(lines, key, run):
        if not _take(run, fields):
            run.genuine = False
    return run


def _authentic(lines: list[bytes], key: bytes, run: TestRun) -> Iterator[list[str]]:
    last = b""
    for line in lines:
        mac, _, payload = line.partition(b" ")
        expected = hashlib.blake2b(last + payload, key=key, digest_size=16).hexdigest().encode()
        if not hmac.compare_digest(mac, expected):
            run.genuine = False
            return
        last = mac
        yield [bytes.fromhex(part.decode("ascii")).decode("utf-8") for part in payload.split(b" ")]


def _take(run: TestRun, fields: list[str]) -> bool:
    match fields:
        case ["start", _, version] if not run.started:
            run.started, run.version = True, version
        case ["collected", test_id]:
            run.collected.add(test_id)
        case ["deselected", test_id]:
            run.deselected.add(test_id)
        case ["tampered", name]:
            run.tampered.add(name)
        case ["conftest", path]:
            run.conftests.add(path)
        case ["begin", test_id]:
            run.running = test_id
        case ["broken", test_id, *why]:
            run.broken[test_id] = _record(test_id, "failed", "", why)
        case ["test", test_id, outcome, seal, _, *why] if outcome in OUTCOMES:
            run.running = None
            _merge(run.tests, _record(test_id, outcome, seal, why))
        case ["place", path, line] if _is_number(line) and len(run.places) < MAX_PLACES:
            run.places.append((path, int(line)))
        case ["covered", test_id, numbers]:
            return _cover(run, test_id, numbers.split())
        case ["stopped", _]:
            pass
        case ["end", status] if run.status is None:
            run.status = int(status)
        case _:
            return False
    return True


def _is_number(text: str) -> bool:
    return len(text) <= 7 and text.isascii() and text.isdecimal()


def _cover(run: TestRun, test_id: str, numbers: list[str]) -> bool:
    """Take what a test called; False for what our script does not write."""
    if test_id in run.covered or not all(map(_is_number, numbers)):
        return test_id in run.covered
    found = frozenset(map(int, numbers))
    if found and max(found) >= len(run.places):
        return False
    run.covered[test_id] = found
    return True


def _merge(tests: dict[str, TestRecord], record: TestRecord) -> None:
    """An id that is reported twice keeps its worse outcome."""
    old = tests.get(record.test_id)
    if old is None or old.outcome == "passed":
        tests[record.test_id] = record


def _record(test_id: str, outcome: str, seal: str, why: list[str]) -> TestRecord:
    kind, message, path, line, frames, source = [*why, *[""] * 6][:6]
    return TestRecord(
        test_id=test_id,
        outcome=outcome,  # type: ignore[arg-type]  # checked against OUTCOMES
        seal=seal,
        kind=kind,
        message=message[:MAX_TEXT],
        path=path,
        line=int(line) if line.isdecimal() else None,
        frames=tuple(frames.splitlines()),
        source=tuple(source.splitlines()),
    )
