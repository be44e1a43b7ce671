"""Runs a few tests of the base commit once more, to see which functions the failing ones call."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

from swarmd.errors import SwarmdError
from swarmd.messages import GateResult, GateSpec, Request, Spectrum
from swarmd.verify.demand import kind_of, targets
from swarmd.verify.discover import Tree
from swarmd.verify.facts import TestFacts
from swarmd.verify.gates import Gates
from swarmd.verify.protect import is_test_file, is_test_support
from swarmd.verify.runners.report import TestRun
from swarmd.verify.runners.suites import run_suite
from swarmd.verify.spectrum import Function, functions_of, rank

__all__ = ["chosen_tests", "localise"]

MAX_READ_FILES = 400
"""Most files whose functions are looked for."""
_FRAME = re.compile(r"(?P<path>[^\s:][^:]*):(?P<line>\d{1,7}) ")
_NO_CODE = frozenset({"docs", "test", "review", "research", "deploy"})


def localise(
    request: Request,
    gates: Gates,
    checkout: Path,
    base: tuple[GateSpec, GateResult, TestFacts],
    *,
    most: int,
    seconds: float,
) -> Spectrum | None:
    """Which functions the failing tests that ``request`` is about call, by a run in ``checkout``, which is
    used up by it. None when nothing fails, or no function could be chosen. It never raises for the project's
    sake: what cannot be found out is said in the note.

    ``base``: the gate of the tests and how it went; ``most``: failing, and passing, tests to run.
    """
    spec, result, facts = base
    kind = kind_of(request, None)
    failing = [test for test in facts.failed if test in targets(request, kind, facts.failed)]
    tree = Tree(checkout, frozenset(gates.tracked))
    if not failing or not most or kind in _NO_CODE or not _has_code(tree):
        return None
    if not facts.finished or facts.wrong:
        return Spectrum(note="the tests do not run to their end")
    tests = chosen_tests(failing, facts.passed, most)
    try:
        run = _traced(spec, gates, checkout, tests, seconds)
    except (SwarmdError, OSError) as error:
        return Spectrum(note=f"the tests could not be run once more: {error}"[:500])
    return _spectrum(run, tests, failing, tree, _frames(result, failing))


def chosen_tests(failing: Sequence[str], passing: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of each, the failing ones first, then of the passing ones those next to them: in the
    same class or file, then in the same folder."""
    homes = {_home(test) for test in failing}
    folders = {_folder(home) for home in homes}

    def distance(test: str) -> int:
        home = _home(test)
        return 0 if home in homes else 1 if _folder(home) in folders else 2

    return [*failing[:most], *sorted(passing, key=distance)[:most]]


def _home(test_id: str) -> str:
    """The file of ``a/test_b.py::test_c``, the module of ``a.test_b.TestC.test_d``."""
    path, colons, _ = test_id.partition("::")
    return path if colons else ".".join(test_id.split(".")[:-2])


def _folder(home: str) -> str:
    return home.rpartition("/" if home.endswith(".py") else ".")[0]


def _has_code(tree: Tree) -> bool:
    """Whether there is a function that could be at fault."""
    sources = (path for path in sorted(tree.files) if _is_source(path))
    return any(functions_of(path, tree.text(path)) for path in islice(sources, MAX_READ_FILES))


def _is_source(path: str) -> bool:
    return path.endswith(".py") and not is_test_file(path) and not is_test_support(path)


def _traced(spec: GateSpec, gates: Gates, checkout: Path, tests: Sequence[str], seconds: float) -> TestRun:
    known = set(gates.test_files)
    files = [path for path in dict.fromkeys(map(_home, tests)) if path in known]
    suite = run_suite(
        gates.context,
        checkout,
        "unittest" if spec.runner == "unittest" else "pytest",
        test_files=gates.test_files,
        tracked=gates.tracked,
        seconds=min(seconds, spec.timeout_s),
        paths=files if spec.runner == "pytest" else (),
        more={"trace": list(tests)},
    )
    return suite.run


def _spectrum(
    run: TestRun, tests: Sequence[str], failing: Collection[str], tree: Tree, frames: list[tuple[str, int]]
) -> Spectrum:
    """What ``run`` shows. A test counts by how it ended in this run, when it ends so on the base, too."""
    seen = [test for test in tests if test in run.covered]
    red = [test for test in run.outcomes("failed") if test in seen and test in failing]
    green = [test for test in run.outcomes("passed", "xpassed") if test in seen and test not in failing]
    if not run.genuine or not red:
        why = "" if run.genuine else ": something else wrote to its report"
        return Spectrum(note=f"no failing test ran to its end while it was traced{why}")
    calls = {
        test: {run.places[number] for number in run.covered[test] if number < len(run.places)}
        for test in [*red, *green]
    }
    suspects = rank(calls, red, green, _defined(calls.values(), frames, tree), frames)
    left = len(tests) - len(seen)
    note = f"{left} of {len(tests)} tests were not traced" if left else ""
    if not suspects:
        note = "no function of the project was seen while the failing tests ran"
    return Spectrum(failed=len(red), passed=len(green), suspects=suspects, note=note)


def _defined(
    calls: Collection[Collection[tuple[str, int]]], frames: Sequence[tuple[str, int]], tree: Tree
) -> dict[str, list[Function]]:
    """The functions of the project's own files, other than tests, that were seen."""
    seen = dict.fromkeys([*(path for path, _ in frames), *(path for one in calls for path, _ in sorted(one))])
    paths = [path for path in seen if path in tree.files and _is_source(path)][:MAX_READ_FILES]
    return {path: functions_of(path, tree.text(path)) for path in paths}


def _frames(result: GateResult, failing: Collection[str]) -> list[tuple[str, int]]:
    """(file, line) of the frames at the failures, innermost first, each failure's innermost before the
    outer ones of others."""
    places: list[tuple[int, str, int]] = []
    for failure in result.failures:
        if failure.test_id in failing:
            found = [match for text in failure.frames if (match := _FRAME.match(text)) is not None]
            sources = [match for match in reversed(found) if _is_source(match["path"])]
            places += [(depth, match["path"], int(match["line"])) for depth, match in enumerate(sources)]
    return [(path, line) for _, path, line in sorted(places, key=lambda place: place[0])]
