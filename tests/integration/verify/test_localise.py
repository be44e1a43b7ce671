"""Which functions failing tests run, found out in the real sandbox; and projects that mislead or resist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.messages import Spectrum, Survey
from swarmd.sandbox import Sandbox

from .conftest import FIXED_AUTH, Lab, packet

Build = Callable[..., Lab]

MONEY = """\
def show(cents):
    return sign(cents) + str(whole(cents))


def sign(cents):
    return "-" if cents < 0 else ""


def whole(cents):
    if cents < 0:
        return negative(cents)
    return cents // 100


def negative(cents):
    return cents // 100


class Price:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return self.cents == other.cents + (self.cents < 0)

    def __repr__(self):
        return shown(self)


def shown(price):
    return show(price.cents)
"""
TEST_MONEY = """\
import threading

from money import Price, show, whole


def test_plus():
    assert show(1250) == "12"


def test_nothing():
    assert show(0) == "0"


def test_minus():
    assert show(-300) == "-3"
"""
TEST_CASE = """\
import unittest

from money import show


class ShowTest(unittest.TestCase):
    def test_plus(self):
        self.assertEqual(show(1250), "12")

    def test_minus(self):
        self.assertEqual(show(-300), "-3")
"""


def surveyed(
    root: Path, sandbox: Sandbox, files: dict[str, str], request: str = "Fix it", **set_: object
) -> Survey:
    lab = Lab(root, sandbox, files, user_request=request)
    lab.set(**set_)
    return lab.prepare()


def spectrum(root: Path, sandbox: Sandbox, tests: str, **set_: object) -> Spectrum:
    found = surveyed(root, sandbox, {"money.py": MONEY, "tests/test_money.py": tests}, **set_).spectrum
    assert found is not None
    return found


def test_the_helper_that_no_traceback_shows_comes_first(tmp_path: Path, sandbox: Sandbox) -> None:
    survey = surveyed(tmp_path, sandbox, {"money.py": MONEY, "tests/test_money.py": TEST_MONEY})
    found = survey.spectrum
    assert found is not None
    assert (found.failed, found.passed, found.note) == (1, 2, "")
    ranked = [(one.path, one.name, one.failed, one.passed) for one in found.suspects]
    assert ranked[0] == ("money.py", "negative", 1, 0)
    assert {name for _, name, _, _ in ranked} == {"negative", "whole", "show", "sign"}
    assert survey.base_failed == ["tests/test_money.py::test_minus"]
    assert all(
        not text.startswith("money.py") for one in survey.base_results[-1].failures for text in one.frames
    )


def test_unittest_is_traced_too(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmd.verify.context.GateContext.importable", lambda *_: [])  # no pytest
    files = {"money.py": MONEY, "tests/test_money.py": TEST_CASE}
    survey = surveyed(tmp_path, sandbox, files)
    assert [spec.runner for spec in survey.gates] == ["parse", "unittest"]
    found = survey.spectrum
    assert found is not None
    assert (found.failed, found.passed, found.suspects[0].name) == (1, 1, "negative")


@pytest.mark.parametrize("unit", [False, True])
def test_what_only_shows_the_failure_is_no_suspect(tmp_path: Path, sandbox: Sandbox, unit: bool) -> None:
    tests = "from money import Price\n\n\ndef test_same():\n    assert Price(-1) == Price(-1)\n"
    if unit:
        tests = (
            "import unittest\nfrom money import Price\n\n\nclass SameTest(unittest.TestCase):\n"
            "    def test_same(self):\n        self.assertEqual(Price(-1), Price(-1))\n"
        )
    found = spectrum(tmp_path, sandbox, tests)
    assert {one.name for one in found.suspects} == {"Price.__init__", "Price.__eq__"}


def test_threads_count(tmp_path: Path, sandbox: Sandbox) -> None:
    tests = (
        "import threading\nfrom money import negative\n\n\ndef test_thread():\n    said = []\n"
        "    one = threading.Thread(target=lambda: said.append(negative(-1)))\n"
        "    one.start()\n    one.join()\n"
        "    assert said == [0]\n"
    )
    assert [one.name for one in spectrum(tmp_path, sandbox, tests).suspects] == ["negative"]


def test_only_the_tests_that_the_request_names_count(tmp_path: Path, sandbox: Sandbox) -> None:
    tests = TEST_MONEY + "\n\ndef test_other():\n    assert whole(100) == 2\n"
    files = {"money.py": MONEY, "tests/test_money.py": tests}
    found = surveyed(tmp_path, sandbox, files, "Fix test_other").spectrum
    assert found is not None
    assert (found.failed, found.passed) == (1, 2)
    assert [one.name for one in found.suspects] == ["whole"]


def test_the_lines_of_one_function_are_told_apart(tmp_path: Path, sandbox: Sandbox) -> None:
    money = "def sign(cents):\n    if cents < 0:\n        return '+'\n    return ''\n"
    tests = "from money import sign\n\n\ndef test_minus():\n    assert sign(-1) == '-'\n"
    tests += "\n\ndef test_plus():\n    assert sign(1) == ''\n"
    found = surveyed(tmp_path, sandbox, {"money.py": money, "tests/test_money.py": tests}, "Fix it").spectrum
    assert found is not None
    (suspect,) = found.suspects
    assert suspect.lines == [(3, 1.0), (1, 0.7071), (2, 0.7071)], "line 4 is run by no failing test"


def test_at_most_so_many_tests_are_run(tmp_path: Path, sandbox: Sandbox) -> None:
    found = spectrum(tmp_path, sandbox, TEST_MONEY, trace_tests=1)
    assert (found.failed, found.passed) == (1, 1)


@pytest.mark.parametrize(
    ("files", "request_", "settings"),
    [
        ({"money.py": MONEY, "tests/test_money.py": TEST_MONEY}, "Fix it", {"trace_tests": 0}),
        ({"money.py": MONEY, "tests/test_money.py": TEST_MONEY}, "Say more in the README", {}),
        ({"auth.py": FIXED_AUTH, "tests/test_auth.py": "def test_a():\n    assert True\n"}, "Fix it", {}),
        (
            {"one.py": "LIMIT = 1\n", "test_one.py": "def test_a():\n    assert 0\n"},
            "Fix it",
            {},
        ),
    ],
    ids=["off", "no bugfix", "nothing fails", "no function"],
)
def test_nothing_is_run_for_nothing(
    tmp_path: Path, sandbox: Sandbox, files: dict[str, str], request_: str, settings: dict[str, object]
) -> None:
    assert surveyed(tmp_path, sandbox, files, request_, **settings).spectrum is None


def test_a_run_that_takes_too_long_says_so_and_hurts_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    tests = "import time\n" + TEST_MONEY.replace(
        "def test_minus():\n", "def test_minus():\n    time.sleep(2)\n"
    )
    lab = Lab(tmp_path, sandbox, {"money.py": MONEY, "tests/test_money.py": tests}, user_request="Fix it")
    lab.set(trace_s=1.5)
    survey = lab.prepare()
    assert survey.spectrum is not None
    assert survey.spectrum.suspects == []
    assert "no failing test ran to its end" in survey.spectrum.note
    right = MONEY.replace("return negative(cents)", "return -cents // 100")
    assert lab.judge({"money.py": right}).ok


HOSTILE = {
    "ends the tracing": "import sys\nsys.settrace(None)\nsys.setprofile(None)\n",
    "replaces it": "import sys\nsys.settrace = lambda *_: None\nsys.gettrace = lambda *_: None\n",
    "writes to every descriptor": (
        "import os\nfor fd in range(3, 1000):\n    try:\n        os.write(fd, b'x' * 99 + b'\\n')\n"
        "    except OSError:\n        pass\n"
    ),
    "makes functions without end": (
        "space = {}\n"
        "for n in range(8000):\n    code = compile('\\n' * n + 'def f(): pass', __file__, 'exec')\n"
        "    exec(code, space)\n    space['f']()\n"
    ),
    "leaves the process": "import os\nos._exit(0)\n",
    "names a file outside": (
        "space, path = {}, __file__.rpartition('/')[0] + '/../../etc/passwd'\n"
        "exec(compile('def f(): pass', path, 'exec'), space)\nspace['f']()\n"
    ),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_hostile_tests_mislead_at_most(tmp_path: Path, sandbox: Sandbox, trick: str) -> None:
    body = "".join(f"    {line}\n" for line in HOSTILE[trick].splitlines())
    tests = TEST_MONEY.replace("def test_minus():\n", "def test_minus():\n" + body)
    lab = Lab(tmp_path, sandbox, {"money.py": MONEY, "tests/test_money.py": tests}, user_request="Fix it")
    survey = lab.prepare()
    found = survey.spectrum
    if found is not None:  # else the tests do not even come to their end on the base
        assert {one.path for one in found.suspects} <= {"money.py"}
        assert len(found.suspects) <= 20
        assert found.suspects or found.note


def test_the_judging_of_a_patch_is_as_before(lab: Build) -> None:
    made = lab()
    survey = made.prepare()
    assert survey.spectrum is not None
    assert [one.name for one in survey.spectrum.suspects] == ["login"]
    report = made.do("judge", **made.propose({"auth.py": FIXED_AUTH}, packet()))
    assert report.verdict is not None
    assert report.verdict.ok
