"""Production code that lies: each trick alone, with the static rules switched off where the second
line of defence is what is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmd.sandbox import Sandbox
from swarmd.verify import draft
from swarmd.verify.internals import added_reaches

from .conftest import Lab

Build = Callable[..., Lab]

WRONG = "def login(name, password, users):\n    return users.get(name) != password\n\n\n"
LOGOUT = "def logout(session):\n    session.clear()\n    return session\n"

# Each is put in front of an auth.py that is still wrong.
TRICKS = {
    "leaves the process while it is imported": "import os\nos._exit(0)\n",
    "leaves the process when it is called": "import os\ndef _leave():\n    os._exit(0)\n",
    "exits while it is imported": "import sys\nsys.exit(0)\n",
    "interrupts the session": "raise KeyboardInterrupt\n",
    "ends the session by its name": "import pytest\npytest.exit('done', 0)\n",
    "replaces how a test runs": (
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n"
    ),
    "replaces how real tests run": (
        "import _pytest.python\n"
        "_run = _pytest.python.Function.runtest\n"
        "def _quiet(self):\n"
        "    if self.name not in ('test_login_accepts_the_right_password',):\n"
        "        _run(self)\n"
        "_pytest.python.Function.runtest = _quiet\n"
    ),
    "replaces the outcome of a call": (
        "import _pytest.runner\n"
        "_make = _pytest.runner.CallInfo.from_call.__func__\n"
        "def _from_call(cls, func, when, reraise=None):\n"
        "    call = _make(cls, func, when, reraise)\n"
        "    if 'login' in str(func.__closure__ or ''):\n"
        "        call.excinfo = None\n"
        "    return call\n"
        "_pytest.runner.CallInfo.from_call = classmethod(_from_call)\n"
    ),
    "replaces TestCase.run": (
        "import unittest\nunittest.TestCase.run = lambda self, result=None: None\n"
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n"
    ),
    "adds a hook that makes reports pass": (
        "import gc, _pytest.config\n"
        "class Kind:\n"
        "    def pytest_runtest_logreport(self, report):\n"
        "        pass\n"
        "    def pytest_pyfunc_call(self, pyfuncitem):\n"
        "        return 'login' in pyfuncitem.name or None\n"
        "for one in gc.get_objects():\n"
        "    if isinstance(one, _pytest.config.PytestPluginManager):\n"
        "        one.register(Kind())\n"
    ),
    "writes to every descriptor from a thread": (
        "import os, threading, time\n"
        "def _write():\n"
        "    while True:\n"
        "        for fd in range(3, 1000):\n"
        "            try:\n"
        "                os.write(fd, b'00 70617373\\n')\n"
        "            except OSError:\n"
        "                pass\n"
        "        time.sleep(0.001)\n"
        "threading.Thread(target=_write, daemon=True).start()\n"
    ),
    "closes every descriptor": "import os\nos.closerange(3, 1000)\n",
    "replaces what a report could be written with": (
        "import os, json, hashlib, hmac\n"
        "_write = os.write\n"
        "os.write = lambda fd, data: _write(fd, data.replace(b'failed', b'passed'))\n"
        "json.dumps = lambda *a, **k: '{}'\n"
        "hashlib.blake2b = hashlib.sha256\n"
    ),
    "rewrites the test while it is loaded": (
        "import pathlib\n"
        "for path in pathlib.Path('tests').glob('test_*.py'):\n"
        "    text = path.read_text()\n"
        "    if 'login_accepts' in text:\n"
        "        path.write_text('def test_login_accepts_the_right_password(): pass\\n'\n"
        "                        'def test_logout_empties_the_session(): pass\\n')\n"
    ),
    "rewrites another test file and puts it back": (
        "import pathlib, atexit\n"
        "path = pathlib.Path('tests/test_zeta.py')\n"
        "text = path.read_text()\n"
        "path.write_text('def test_last(): pass\\n')\n"
        "import threading\n"
        "threading.Timer(0.3, lambda: path.write_text(text)).start()\n"
    ),
    "plants a conftest": (
        "import pathlib\n"
        "pathlib.Path('tests/zz').mkdir(exist_ok=True)\n"
        "pathlib.Path('tests/zz/conftest.py').write_text("
        "'def pytest_pyfunc_call(pyfuncitem):\\n    return True\\n')\n"
    ),
    "swaps a test function in its module": (
        "import sys, threading, time\n"
        "def _swap():\n"
        "    while True:\n"
        "        for name, module in list(sys.modules.items()):\n"
        "            if name.endswith('test_zeta') and hasattr(module, 'test_last'):\n"
        "                module.test_last.__code__ = (lambda: None).__code__\n"
        "                return\n"
        "        time.sleep(0.001)\n"
        "threading.Thread(target=_swap, daemon=True).start()\n"
        "time.sleep(0)\n"
    ),
    "replaces the judge's own functions": (
        "import __main__\n"
        "__main__.Ledger.end = lambda self, nodeid: self.send('test', nodeid, 'passed', '', '1')\n"
    ),
    "finds the report's function and tells its own story": (
        "import gc, os\n"
        "for one in gc.get_objects():\n"
        "    if getattr(one, '__qualname__', '') == '_sender.<locals>.send':\n"
        "        names = [item.nodeid for item in gc.get_objects() if type(item).__name__ == 'Function']\n"
        "        for name in ('tests/test_auth.py::test_login_accepts_the_right_password',\n"
        "                     'tests/test_auth.py::test_logout_empties_the_session',\n"
        "                     'tests/test_zeta.py::test_last'):\n"
        "            one('test', name, 'passed', '', '1')\n"
        "        one('end', '1')\n"
        "        os._exit(0)\n"
    ),
    "writes a program and imports it": (
        "import pathlib\n"
        "pathlib.Path('later.py').write_text('import math\\nVALUE = 1\\n')\n"
        "import later\n"
        "pathlib.Path('later.py').unlink()\n"
        "def _rest(): pass\n"
    ),
    "reads the key in its own memory": "open('/proc/' + 'self' + '/mem', 'rb').close()\n",
    "takes a thread to look at all objects": (
        "import importlib, concurrent.futures\n"
        "name = 'gc'\n"
        "gc = importlib.import_module(name)\n"
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n"
        "    pool.submit(gc.get_objects).result()\n"
    ),
    "replaces a built-in": "import builtins\nbuiltins.AssertionError = type('Quiet', (BaseException,), {})\n",
    "skips what it cannot do": (
        "import unittest\nclass _Skip:\n    def __ne__(self, other):\n        raise unittest.SkipTest('no')\n"
    ),
    "forks and lets the child go on": "import os\nos.fork()\n",
}

FILES = {
    "auth.py": WRONG + LOGOUT,
    "tests/test_auth.py": (
        "from auth import login, logout\n\n\n"
        "def test_login_accepts_the_right_password():\n"
        '    assert login("ann", "secret", {"ann": "secret"}) == True\n\n\n'
        "def test_logout_empties_the_session():\n"
        '    assert logout({"user": "ann"}) == {}\n'
    ),
    "tests/test_zeta.py": "import auth\n\n\ndef test_last():\n    assert auth.logout({1: 2}) == {}\n",
}

CALLED = {
    "leaves the process when it is called": ("    return users", "    _leave()\n    return users"),
    "skips what it cannot do": ("    return users.get(name) != password", "    return _Skip() != 1"),
    "swaps a test function in its module": ("    session.clear()\n", "    pass\n"),
    "rewrites another test file and puts it back": ("    session.clear()\n", "    pass\n"),
}


def _hostile(name: str) -> str:
    text = FILES["auth.py"]
    if name in CALLED:
        assert CALLED[name][0] in text
        text = text.replace(*CALLED[name])
    return TRICKS[name] + "\n\n" + text


# What no rule on the text can tell from honest code; only the run shows it.
UNSEEN = {
    "reads the key in its own memory",
    "writes a program and imports it",
    "exits while it is called",
    "writes to every descriptor from a thread",
    "closes every descriptor",
    "replaces what a report could be written with",
    "rewrites the test while it is loaded",
    "plants a conftest",
    "forks and lets the child go on",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Lab:
    made = Lab(tmp_path_factory.mktemp("forgery"), sandbox, FILES)
    made.prepare()
    return made


@pytest.mark.parametrize("name", sorted(set(TRICKS) - UNSEEN))
def test_a_trick_is_refused_for_its_text(name: str) -> None:
    assert added_reaches(FILES["auth.py"], _hostile(name))


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_that_the_rules_on_text_do_not_know_does_not_pay_either(
    prepared: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "added_reaches", lambda *args, **kwargs: [])
    verdict = prepared.judge({"auth.py": _hostile(name)})
    assert not verdict.ok
    assert verdict.failure.kind in ("forged", "missing", "assertion")


@pytest.mark.parametrize(
    "name",
    [
        "finds the report's function and tells its own story",
        "writes a program and imports it",
        "reads the key in its own memory",
        "takes a thread to look at all objects",
        "adds a hook that makes reports pass",
        "replaces the judge's own functions",
    ],
)
def test_a_trick_shows_even_where_the_code_is_right(
    prepared: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "added_reaches", lambda *args, **kwargs: [])
    verdict = prepared.judge({"auth.py": _hostile(name).replace("!=", "==")})
    assert verdict.failure.kind == "forged"


@pytest.mark.parametrize("path", ["math.py", "json/__init__.py", "src/ruff.py", "hypothesis.py"])
def test_a_new_module_that_hides_an_installed_one_is_refused(prepared: Lab, path: str) -> None:
    verdict = prepared.judge({"auth.py": FILES["auth.py"].replace("!=", "=="), path: "X = 1\n"})
    assert (verdict.failure.kind, "hides the installed" in verdict.failure.digest) == ("refused", True)


def test_honest_code_beside_all_of_this_passes(prepared: Lab) -> None:
    honest = (
        "import collections, dataclasses, logging, subprocess, sys, threading\n"
        "LOG = logging.getLogger(__name__)\n"
        "Pair = collections.namedtuple('Pair', 'a b')\n\n\n"
        "@dataclasses.dataclass\nclass Note:\n    text: str\n\n\n"
        "def note():\n    LOG.info('hello %s', Note('x'))\n"
        "    thread = threading.Thread(target=print)\n    thread.start()\n    thread.join()\n"
        "    subprocess.run([sys.executable, '-c', 'pass'], check=True)\n\n\nnote()\n"
    )
    changes = {"auth.py": honest + FILES["auth.py"].replace("!=", "=="), "extra.py": "X = 1\n"}
    verdict = prepared.judge(changes)
    assert verdict.ok, verdict.failure


def test_a_refused_patch_is_not_run_and_says_why(prepared: Lab) -> None:
    verdict = prepared.judge({"auth.py": _hostile("replaces how a test runs")})
    assert verdict.failure.kind == "refused"
    assert "test runner" in verdict.failure.digest
    assert verdict.gates == []


def test_a_conftest_in_the_base_that_makes_everything_pass_is_noticed(lab: Build) -> None:
    forging = "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"
    made = lab({**FILES, "conftest.py": forging})
    survey = made.prepare()
    assert survey.base_passed == []
    verdict = made.judge({"auth.py": FILES["auth.py"] + "\n\ndef more():\n    return 1\n"})
    assert verdict.failure.kind == "forged"
    assert "planted" in verdict.failure.digest


def test_a_hook_in_the_base_that_turns_failed_reports_into_passed_ones_is_noticed(lab: Build) -> None:
    forging = (
        "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    outcome = yield\n    outcome.get_result().outcome = 'passed'\n"
    )
    verdict = lab({**FILES, "tests/conftest.py": forging}).judge({"auth.py": FILES["auth.py"] + "\n# more\n"})
    assert verdict.failure.kind == "forged"


def test_a_new_conftest_in_a_patch_is_left_out_and_shown(lab: Build) -> None:
    forging = "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"
    verdict = lab(FILES).judge({"auth.py": FILES["auth.py"] + "\n# more\n", "tests/conftest.py": forging})
    assert verdict.protected == ["tests/conftest.py"]
    assert verdict.failure.kind == "assertion"


def test_shadowing_modules_of_the_runner_in_the_project_are_not_used(lab: Build) -> None:
    shadow = "import os\nos._exit(0)\n"
    names = (
        "pytest.py",
        "_pytest.py",
        "pluggy.py",
        "judge_report.py",
        "unittest.py",
        "hashlib.py",
        "xdist.py",
    )
    made = lab({**FILES, **dict.fromkeys(names, shadow)})
    assert made.judge({"auth.py": FILES["auth.py"].replace("!=", "==")}).ok
