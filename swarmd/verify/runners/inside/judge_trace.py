"""Inside the sandbox: notes which lines of the project's functions each test runs.

Only for the run that says where a defect may be, never for one that judges. The project's code can
mislead it, so nothing may rest on what it says; it must only do no harm to the tests themselves.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Recorder", "Tracer"]

MAX_LINES = 5000
"""Most lines that are noted for one test."""
MAX_PLACES = 20_000
"""Most lines over all tests."""
MAX_EVENTS = 30_000
"""So many executed lines are looked at in one test; after that only calls are, which takes little time."""
MAX_SKIPPED = 100_000
"""Most code that is remembered as not the project's, so that it is not looked at again."""
MAX_DEPTH = 150
OPTIMIZED = 0x1
"""Set in the code of functions, not of modules and class bodies."""
FOREIGN = ("/site-packages/", "/.venv/", "/venv/", "/node_modules/")
REPORTING = (
    "/_pytest/assertion/", "/_pytest/_io/", "/unittest/result.py", "/unittest/util.py", "/pprint.py",
    "/judge_report.py",
)  # fmt: skip
"""Code that shows a failure: a ``__repr__`` that only it calls has nothing to do with the failure."""
TOOL_IDS = (3, 4)
"""Identifiers of ``sys.monitoring`` that are nobody's by convention."""


class Recorder:
    """The lines of functions under ``root`` that have been run since the last ``take``, while not paused.

    From Python 3.12 on by ``sys.monitoring``, which tells each line once; before by trace functions, which
    are told of each line of the project's functions and only of the calls of others.
    """

    def __init__(self, root: str) -> None:
        self._prefix = root + os.sep
        self._active = False
        self._seen: dict[int, Any] = {}
        self._skipped: dict[int, Any] = {}
        self._lines: set[tuple[int, int]] = set()
        self._left = MAX_EVENTS
        self._tool: int | None = self._claim()
        self._before: Any = None

    def resume(self) -> None:
        """Note lines from now on."""
        self._active = True
        if self._tool is not None:
            monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
            monitoring.restart_events()
            monitoring.set_events(self._tool, monitoring.events.PY_START)
            return
        self._before = sys.gettrace()
        threading.settrace(self._called)
        sys.settrace(self._called)

    def pause(self) -> None:
        """Note nothing more, and put back what was there before."""
        self._active = False
        if self._tool is not None:
            monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
            monitoring.set_events(self._tool, 0)
            return
        sys.settrace(self._before)
        threading.settrace(None)  # type: ignore[arg-type,unused-ignore]

    def take(self) -> list[tuple[str, int]]:
        """(path below the root, line): the first line of each function that was called, and its lines."""
        size = len(self._prefix)
        codes = dict(self._seen)
        found = {(code.co_filename[size:], code.co_firstlineno) for code in codes.values()}
        found |= {(codes[key].co_filename[size:], line) for key, line in set(self._lines) if key in codes}
        self._seen, self._lines, self._left = {}, set(), MAX_EVENTS
        return sorted(found)

    def _claim(self) -> int | None:
        monitoring: Any = getattr(sys, "monitoring", None)
        for tool in TOOL_IDS if monitoring is not None else ():
            try:
                monitoring.use_tool_id(tool, "swarmd")
            except ValueError:
                continue
            monitoring.register_callback(tool, monitoring.events.PY_START, self._started)
            monitoring.register_callback(tool, monitoring.events.LINE, self._reached)
            return tool
        return None

    # trace functions, up to Python 3.11

    def _called(self, frame: Any, _event: str, _argument: Any) -> Any:
        """The trace function for calls: it gives one for lines to the project's own functions."""
        own = self._active and self._is_own(frame.f_code, frame)
        return self._traced if own and self._left > 0 else None

    def _traced(self, frame: Any, event: str, _argument: Any) -> Any:
        if event == "line" and self._active:
            self._left -= 1
            self._add(frame.f_code, frame.f_lineno)
            if self._left <= 0:
                frame.f_trace = None
                return None
        return self._traced

    # callbacks of sys.monitoring

    def _started(self, code: Any, _offset: int) -> Any:
        """What is known now need not be told again."""
        monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        if self._active and self._is_own(code, sys._getframe(1)):
            monitoring.set_local_events(self._tool, code, monitoring.events.LINE)
            return monitoring.DISABLE
        return monitoring.DISABLE if id(code) in self._skipped else None

    def _reached(self, code: Any, line: int) -> Any:
        if self._active:
            self._add(code, line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]

    def _add(self, code: Any, line: int) -> None:
        if len(self._lines) < MAX_LINES:
            self._lines.add((id(code), line))

    def _is_own(self, code: Any, frame: Any) -> bool:
        """Whether ``code`` is to be noted; its object is kept, so that no other one gets its id."""
        key = id(code)
        if key in self._seen:
            return True
        if key in self._skipped:
            return False
        try:
            path = code.co_filename
            own = path.startswith(self._prefix) and not any(part in path for part in FOREIGN)
            if not own or not code.co_flags & OPTIMIZED:
                if len(self._skipped) < MAX_SKIPPED:
                    self._skipped[key] = code
                return False
            if len(self._seen) >= MAX_LINES or _is_reporting(frame):
                return False
            self._seen[key] = code
        except Exception:  # near the limit of recursion; the test is to see what it would see without us
            return False
        return True


def _is_reporting(frame: Any) -> bool:
    for _ in range(MAX_DEPTH):
        frame = frame.f_back
        if frame is None:
            return False
        path = frame.f_code.co_filename
        if any(part in path for part in REPORTING):
            return True
    return False


class Tracer:
    """Sends what each test has run. Each line is told once, and then stands as a number."""

    def __init__(self, send: Callable[..., None], recorder: Recorder) -> None:
        self._send = send
        self._recorder = recorder
        self._numbers: dict[tuple[str, int], int] = {}

    def flush(self, test_id: str) -> None:
        """Send what has been run since the last time as what ``test_id`` ran."""
        numbers = []
        for place in self._recorder.take():
            if place not in self._numbers:
                if len(self._numbers) >= MAX_PLACES:
                    continue
                self._numbers[place] = len(self._numbers)
                self._send("place", place[0], str(place[1]))
            numbers.append(str(self._numbers[place]))
        self._send("covered", test_id, " ".join(numbers))
