"""Inside the sandbox: runs pytest with a plugin that reports what each test really did.

Started as ``python -s -B judge_pytest.py``: only this folder is importable until pytest itself and
its plugins are loaded, so a ``pytest.py`` or ``json.py`` in the project is never used for them.
"""

from __future__ import annotations

# pathlib would be one more module to load before the project's code:
# ruff: noqa: PTH100, PTH109, PTH118, PTH119, PTH120
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

import os  # noqa: E402
import types  # noqa: E402
import unittest  # noqa: E402
from collections.abc import Callable, Generator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

__all__ = ["Ledger", "main", "make_plugin", "make_tracing"]

NOTHING = Description("", "", "", "", "", "")
FORCED: dict[str, Any] = {
    "maxfail": 0, "continue_on_collection_errors": True, "usepdb": False, "trace": False,
    "stepwise": False, "lf": False, "failedfirst": False, "collectonly": False,
    "numprocesses": None, "dist": "no", "distload": False, "tx": [], "looponfail": False,
}  # fmt: skip
"""Options of the project that would hide a result, or run tests in other processes."""
INSTALLED = (
    sys.prefix + os.sep,
    sys.base_prefix + os.sep,
    "/usr/",
    os.path.dirname(os.path.abspath(__file__)),
)
WORST_FIRST = ("failed", "xfailed", "skipped", "xpassed", "passed")


class Ledger:
    """What is known of each test. Outcomes come from what was raised, not only from what reports say."""

    def __init__(self, send: Callable[..., None], root: str, watch: Watch) -> None:
        self.send = send
        self.root = root
        self._changed = watch.changed
        self._tampered: set[str] = set()
        self._phases: dict[str, str] = {}
        self._raised: dict[str, bool] = {}
        self._why: dict[str, Description] = {}
        self._seals: dict[str, str] = {}
        self._hooks: Any = None

    def watch_hooks(self, hooks: Any) -> None:
        """From now on, ``check`` also looks for hooks that the project's own code has added."""
        self._hooks = hooks
        self.check()

    def begin(self, nodeid: str) -> None:
        """A test starts, perhaps once more."""
        self.send("begin", nodeid)
        self._phases.pop(nodeid, None)
        self._raised.pop(nodeid, None)
        self._why.pop(nodeid, None)

    def called(self, item: pytest.Item, seal: str, error: BaseException | None) -> None:
        """The test's function has been called and raised ``error``, or nothing."""
        harmless = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
        self._seals[item.nodeid] = seal
        self._raised[item.nodeid] = error is not None and not isinstance(error, harmless)
        self.check()

    def explain(self, nodeid: str, error: BaseException | None) -> None:
        """Why something failed."""
        self._why[nodeid] = describe(error, self.root)

    def reported(self, report: pytest.TestReport) -> None:
        """One phase of a test has been reported."""
        if report.failed:
            phase = "failed"
        elif type(report).__name__ == "SubtestReport":
            return  # one that did not fail says nothing of the whole test
        elif report.skipped:
            phase = "xfailed" if hasattr(report, "wasxfail") else "skipped"
        elif report.when == "call":
            phase = "xpassed" if hasattr(report, "wasxfail") else "passed"
        else:
            return
        before = self._phases.get(report.nodeid, "passed")
        self._phases[report.nodeid] = min(before, phase, key=WORST_FIRST.index)
        if phase == "failed" and report.nodeid not in self._why:
            text = str(getattr(report, "longreprtext", report.longrepr))
            self._why[report.nodeid] = NOTHING._replace(kind="Failed", message=text[-2000:])

    def end(self, nodeid: str) -> None:
        """A test has ended: send what became of it."""
        outcome = self._phases.pop(nodeid, "unknown")
        if outcome == "passed" and self._raised.get(nodeid, True):
            outcome = "lied"  # it raised, or its call was never made, and the report says passed
        why = self._why.pop(nodeid, NOTHING) if outcome == "failed" else NOTHING
        self.send("test", nodeid, outcome, self._seals.pop(nodeid, ""), "1", *why)

    def uncollected(self, report: pytest.CollectReport) -> None:
        """A file was not collected: it is broken, or it skips itself."""
        if report.failed:
            text = NOTHING._replace(kind="CollectError", message=str(report.longrepr)[-2000:])
            self.send("broken", report.nodeid, *self._why.pop(report.nodeid, text))
        elif report.skipped:
            self.send("test", report.nodeid, "skipped", "", "0", *NOTHING)

    def check(self) -> None:
        """Report what of the runner is no longer what it was. A test may replace built-ins for itself."""
        for name in [*self._changed(), *_project_hooks(self._hooks)]:
            if name not in self._tampered and not (name.startswith("builtins.") and self._raised):
                self._tampered.add(name)
                self.send("tampered", name)


def make_plugin(ledger: Ledger, root: str, planted: set[str]) -> Any:
    """The plugin: hooks that hold what they need in closures, so that no attribute leads to it."""
    plugin = types.ModuleType("swarmd_judge")
    vars(plugin).update({**_collecting_hooks(ledger, root, planted), **_running_hooks(ledger, root)})
    return plugin


def _collecting_hooks(ledger: Ledger, root: str, planted: set[str]) -> dict[str, Any]:

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests() -> None:
        # The checkout becomes importable only now, after pytest's own plugins are loaded.
        for path in reversed(import_paths(root)):
            sys.path[:] = [path, *(other for other in sys.path if other != path)]

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, None]:
        for name, value in FORCED.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(session: pytest.Session) -> None:
        # Planted tests are found whatever names the project's tests have.
        session.config.args = [*session.config.args, *sorted(planted)]
        for path in planted:
            session.config.addinivalue_line("python_files", os.path.basename(path))
            session.config.addinivalue_line("python_functions", os.path.basename(path)[:-3])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, Any, None]:
        # A planted test stays, whatever the project's -k, -m or hooks select.
        kept = [item for item in items if _path(item) in planted]
        yield
        items.extend(item for item in kept if item not in items)

    def pytest_deselected(items: list[pytest.Item]) -> None:
        for item in items:
            ledger.send("deselected", item.nodeid)

    def pytest_collection_finish(session: pytest.Session) -> None:
        ledger.watch_hooks(session.config.hook)
        for _, plugin in session.config.pluginmanager.list_name_plugin():
            path = str(getattr(plugin, "__file__", None) or "")
            if path.startswith(root + os.sep) and os.path.basename(path) == "conftest.py":
                ledger.send("conftest", path[len(root) + 1 :])
        for item in session.items:
            ledger.send("collected", item.nodeid)

    def pytest_exception_interact(call: Any, report: Any) -> None:
        if isinstance(report, pytest.CollectReport):
            ledger.explain(report.nodeid, getattr(call.excinfo, "value", None))

    def pytest_collectreport(report: pytest.CollectReport) -> None:
        ledger.uncollected(report)

    return {name: value for name, value in locals().items() if name.startswith("pytest_")}


def _running_hooks(ledger: Ledger, root: str) -> dict[str, Any]:
    def pytest_runtest_logstart(nodeid: str) -> None:
        ledger.begin(nodeid)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
        seal = fingerprint(getattr(item, "obj", None), root)
        outcome = yield
        ledger.called(item, seal, outcome.excinfo[1] if outcome.excinfo else None)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, None]:
        outcome = yield
        if call.excinfo is not None and outcome.get_result().failed:
            ledger.explain(item.nodeid, call.excinfo.value)

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        ledger.reported(report)

    def pytest_runtest_logfinish(nodeid: str) -> None:
        ledger.end(nodeid)

    return {name: value for name, value in locals().items() if name.startswith("pytest_")}


def make_tracing(send: Callable[..., None], root: str, planted: set[str], tests: list[str]) -> Any:
    """A plugin for a run that judges nothing: only ``tests`` run, in their order, and what each of them
    calls is reported."""
    recorder = Recorder(root)
    tracer = Tracer(send, recorder)
    places = {nodeid: number for number, nodeid in enumerate(tests)}

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, Any, None]:
        yield
        kept = [item for item in items if item.nodeid in places or _path(item) in planted]
        items[:] = sorted(kept, key=lambda item: places.get(item.nodeid, len(places)))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup() -> Generator[None, Any, None]:
        recorder.resume()
        yield
        recorder.pause()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call() -> Generator[None, Any, None]:
        recorder.resume()
        yield
        recorder.pause()

    def pytest_runtest_logfinish(nodeid: str) -> None:
        tracer.flush(nodeid)

    plugin = types.ModuleType("swarmd_trace")
    vars(plugin).update({name: value for name, value in locals().items() if name.startswith("pytest_")})
    return plugin


def _project_hooks(hooks: Any) -> list[str]:
    """Hooks whose code is neither pytest's, nor an installed plugin's, nor a conftest's or ours."""
    found = []
    for caller in list(vars(hooks).values()) if hooks is not None else []:
        for impl in getattr(caller, "get_hookimpls", list)():
            code = getattr(getattr(impl.function, "__func__", impl.function), "__code__", None)
            path = code.co_filename if code is not None else "unknown"
            if not path.startswith(INSTALLED) and os.path.basename(path) != "conftest.py":
                found.append("the hook " + impl.function.__name__ + " of " + path)
    return found


def _path(node: Any) -> str:
    return str(getattr(node, "path", None) or getattr(node, "fspath", ""))


def main() -> None:
    """Run pytest on the current folder and report; the exit status is of no meaning."""
    leave, flush_out, flush_err = os._exit, sys.stdout.flush, sys.stderr.flush
    send, options = connect()
    root = os.getcwd()
    planted = {os.path.join(root, path) for path in options["planted"]}
    sys.argv[:] = ["pytest"]
    send("start", sys.version.split()[0], pytest.__version__)
    fixed = ["--color=no", "-o", "cache_dir=/tmp/swarmd-pytest-cache"]
    watch = Watch("_pytest", "pluggy", "pytest", "unittest", "builtins", "__main__")
    audit(lambda name: send("tampered", name), root)
    plugins = [make_plugin(Ledger(send, root, watch), root, planted)]
    if "trace" in options:
        plugins.append(make_tracing(send, root, planted, options["trace"]))
    try:
        status = int(pytest.main([*fixed, *options["paths"]], plugins=plugins))
    except BaseException as error:  # SystemExit included: the session did not finish
        send("stopped", type(error).__name__)
        status = 3
    flush_out()
    flush_err()
    send("end", str(status))
    leave(0)


if __name__ == "__main__":
    main()
