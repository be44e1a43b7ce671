"""Inside the sandbox: runs unittest discovery and reports what each test really did.

Started as ``python -s -B judge_unittest.py``; the checkout becomes importable only after unittest
and everything the report needs are loaded.
"""

from __future__ import annotations

# pathlib would be one more module to load before the project's code:
# ruff: noqa: PTH109, PTH110, PTH118, PTH119, PTH120
import sys
from typing import TYPE_CHECKING

sys.dont_write_bytecode = True
if TYPE_CHECKING:
    from swarmd.verify.runners.inside.judge_report import (
        Description,
        Watch,
        audit,
        connect,
        describe,
        fingerprint,
        import_paths,
    )
    from swarmd.verify.runners.inside.judge_trace import Recorder, Tracer
else:
    from judge_report import Description, Watch, audit, connect, describe, fingerprint, import_paths
    from judge_trace import Recorder, Tracer

sys.path.pop(0)
del sys.modules["judge_report"], sys.modules["judge_trace"]

import importlib.util  # noqa: E402
import os  # noqa: E402
import unittest  # noqa: E402
import unittest.mock  # noqa: E402 - watched too, and not looked for in the project
from collections.abc import Callable, Iterator  # noqa: E402
from typing import Any  # noqa: E402

__all__ = ["Collect", "Result", "TracingResult", "main"]

NOTHING = Description("", "", "", "", "", "")
ErrorTuple = Any
Collect = Callable[[str, dict[str, Any]], unittest.TestSuite]
"""Finds the tests of a folder, by the options that came with the key."""


class Result(unittest.TextTestResult):
    """A result that sends each test's worst outcome as soon as the test has ended."""

    def __init__(self, send: Callable[..., None], root: str, watch: Watch, stream: Any) -> None:
        super().__init__(stream, True, 1)
        self._send = send
        self._root = root
        self._watch = watch
        self._tampered: set[str] = set()
        self._outcome = "unknown"
        self._why = NOTHING

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._outcome, self._why = "unknown", NOTHING
        self._send("begin", test.id())

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self.check()
        method = getattr(test, getattr(test, "_testMethodName", ""), None)
        self._send("test", test.id(), self._outcome, fingerprint(method, self._root), "1", *self._why)

    def check(self) -> None:
        """Report what of the runner is no longer what it was."""
        for name in self._watch.changed():
            if name not in self._tampered and not (name.startswith("builtins.") and self.testsRun):
                self._tampered.add(name)
                self._send("tampered", name)

    def _note(self, outcome: str, test: unittest.TestCase, error: ErrorTuple | None = None) -> None:
        why = describe(error[1], self._root) if error else NOTHING
        if type(test).__name__ == "_ErrorHolder":  # setUpClass, setUpModule: there is no start and stop
            self._send("broken", test.id(), *why)
        elif self._outcome in ("unknown", "passed"):
            self._outcome, self._why = outcome, why

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self._note("passed", test)

    def addError(self, test: unittest.TestCase, err: ErrorTuple) -> None:  # noqa: N802
        super().addError(test, err)
        self._note("failed", test, err)

    def addFailure(self, test: unittest.TestCase, err: ErrorTuple) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note("failed", test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note("failed", test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note("skipped", test)

    def addExpectedFailure(self, test: unittest.TestCase, err: ErrorTuple) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._note("xfailed", test)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note("failed", test)


class TracingResult(Result):
    """A result that also reports what each test calls: for a run that judges nothing."""

    def __init__(self, send: Callable[..., None], root: str, watch: Watch, stream: Any) -> None:
        super().__init__(send, root, watch, stream)
        self._recorder = Recorder(root)
        self._tracer = Tracer(send, self._recorder)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._recorder.resume()

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._recorder.pause()
        self._tracer.flush(test.id())
        super().stopTest(test)


def _suites(root: str, paths: list[str]) -> Iterator[tuple[unittest.TestSuite, list[str]]]:
    """Each top folder's tests, with what could not be loaded: ``paths`` are the test files."""
    tops: dict[str, list[str]] = {}
    for path in paths:
        folder = os.path.dirname(os.path.join(root, path))
        while folder != root and os.path.exists(os.path.join(folder, "__init__.py")):
            folder = os.path.dirname(folder)
        tops.setdefault(folder, []).append(os.path.join(root, path))
    for top in sorted(tops):
        loader = unittest.TestLoader()
        if top not in sys.path:
            sys.path.insert(0, top)
        names = [os.path.relpath(path, top)[:-3].replace(os.sep, ".") for path in sorted(tops[top])]
        yield loader.loadTestsFromNames(names), [str(error) for error in loader.errors]


def _load_planted(path: str) -> unittest.TestSuite:
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return unittest.TestLoader().loadTestsFromModule(module)


def _load(root: str, options: dict[str, Any]) -> unittest.TestSuite:
    everything = unittest.TestSuite()
    for suite, _ in _suites(root, options["paths"]):
        everything.addTest(suite)
    return everything


def _cases(suite: Any) -> Iterator[Any]:
    """Its test cases, and what stands for those that could not be loaded."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _cases(test)
        else:
            yield test


def _only(suite: unittest.TestSuite, tests: list[str]) -> unittest.TestSuite:
    """The ``tests`` of ``suite``, in their order."""
    places = {test_id: number for number, test_id in enumerate(tests)}
    kept: list[Any] = [case for case in _cases(suite) if case.id() in places]
    kept.sort(key=lambda case: places[case.id()])
    return unittest.TestSuite(kept)


def _run(
    send: Callable[..., None], root: str, options: dict[str, Any], watch: Watch, collect: Collect
) -> int:
    make: type[Result] = TracingResult if "trace" in options else Result
    stream: Any = unittest.runner._WritelnDecorator(sys.stderr)
    result = make(send, root, watch, stream)
    everything = collect(root, options)
    if "trace" in options:
        everything = _only(everything, options["trace"])
    for path in options["planted"]:
        everything.addTest(_load_planted(os.path.join(root, path)))
    result.check()
    for case in _cases(everything):
        send("collected", case.id())
    everything.run(result)
    result.printErrors()
    return 0 if result.wasSuccessful() else 1


def main(collect: Collect = _load, watched: tuple[str, ...] = ()) -> None:
    """Run the tests that ``collect`` finds in the current folder and report; the exit status is of no
    meaning. ``watched``: more modules whose functions nobody may replace."""
    leave, flush_out, flush_err = os._exit, sys.stdout.flush, sys.stderr.flush
    send, options = connect()
    root = os.getcwd()
    watch = Watch("unittest", "builtins", "__main__", *watched)
    for name in watched:
        if name.startswith("judge_"):
            del sys.modules[name]
    audit(lambda name: send("tampered", name), root)
    sys.argv[:] = ["unittest"]
    for path in reversed(import_paths(root)):
        sys.path.insert(0, path)
    send("start", sys.version.split()[0], "unittest")
    try:
        status = _run(send, root, options, watch, collect)
    except BaseException as error:  # SystemExit included: the session did not finish
        send("stopped", type(error).__name__)
        status = 3
    flush_out()
    flush_err()
    send("end", str(status))
    leave(0)


if __name__ == "__main__":
    main()
