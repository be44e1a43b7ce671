"""Which code is refused for what it reaches for, and which honest code is not."""

from __future__ import annotations

import pytest

from swarmd.verify.internals import Place, added_reaches, find_reaches

HOSTILE = [
    "import _pytest.python",
    "from _pytest import python",
    "import pytest",
    "from unittest import mock",
    "import pluggy",
    "__import__('_pytest')",
    "import importlib\nimportlib.import_module('_py' + 'test.python')",
    "import importlib\nname = '_pytest'\nimportlib.import_module(name)",
    "from importlib import import_module as load\nload(''.join(['_py', 'test']))",
    "import importlib\nimportlib.import_module(f'{1}pytest')",
    "import importlib\nimportlib.util.spec_from_file_location('x', 'y')",
    "import os\nos._exit(0)",
    "from os import _exit as leave\nleave(0)",
    "import os as o\no._exit(0)",
    "import os\nx = os\nx._exit(0)",
    "import os\ngetattr(os, '_exit')(0)",
    "import os\ngetattr(os, '_ex' + 'it')(0)",
    "import os\nos.__dict__['_exit'](0)",
    "import os\nvars(os)['_exit'](0)",
    "import os\ndef f():\n    os._exit(1)",
    "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "import os\nos.killpg(0, 9)",
    "import sys\nsys.exit(0)",
    "raise SystemExit",
    "exit()",
    "import sys\nsys.modules['_pytest.python']",
    "import sys\nfor module in sys.modules.values(): pass",
    "import sys\nm = sys.modules.get('pytest')",
    "from sys import modules\nmodules['pytest']",
    "import sys as s\ns.modules['x'] = 1",
    "import gc",
    "import ctypes",
    "import atexit",
    "import builtins",
    "__builtins__['print']",
    "import __main__",
    "import sys\nsys.settrace(print)",
    "import threading\nthreading.settrace(print)",
    "import sys\nsys._getframe(1)",
    "import inspect\ninspect.stack()",
    "import inspect\ninspect.currentframe()",
    "try:\n    pass\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_back",
    "def f(): pass\nf.__code__ = None",
    "().__class__.__base__.__subclasses__()",
    "import sys\nsys.meta_path.insert(0, None)",
    "open('/proc/self/mem')",
    "import os\nos.environ.get('PYTEST_CURRENT_TEST')",
    "import os\nos.environ['SWARMD_REPORT_FD']",
    "exec(compile('x', 'y', 'exec'))",
    "x = input()\neval(x)",
    "import pickle\npickle.loads(b'x')",
    "import sys\nsys.path.insert(0, 'lib')",
    "import math\nmath.isclose = lambda a, b: True",
    "import numpy as np\nnp.testing.assert_allclose = print",
    "import math\nsetattr(math, 'isclose', print)",
    "class Any:\n    def __eq__(self, other):\n        return True",
]

HONEST = [
    "import sys\nif __name__ == '__main__':\n    sys.exit(main())",
    "import sys\ndef main():\n    sys.exit(1)",
    "import os\nos.kill(child, 15)",
    "import os\nprint(os.environ.get('HOME'), os.getpid())",
    "import importlib\nimportlib.import_module('app.plugins.csv')",
    "import importlib\ndef load(name):\n    return importlib.import_module(f'app.plugins.{name}')",
    "from importlib import metadata, resources",
    "import importlib.util\nimportlib.util.find_spec('numpy')",
    "import sys\nlogger = sys.modules[__name__]",
    "class Registry:\n    @classmethod\n    def all(cls):\n        return cls.__subclasses__()",
    "import inspect\ninspect.signature(print)",
    "class P:\n    def __eq__(self, other):\n        return isinstance(other, P) and self.x == other.x",
    "import threading\nthreading.Thread(target=print).start()",
    "value = getattr(thing, name)",
    "def test(): return 'unittest'",
    "import re\nre.compile('x')",
    "import ast\nast.literal_eval('[1]')",
    "raise ValueError('no')",
    "def f():\n    raise SystemExit(2)",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_reaching_code_is_found(source: str) -> None:
    assert find_reaches(source)


@pytest.mark.parametrize("source", HONEST)
def test_honest_code_is_left_alone(source: str) -> None:
    assert find_reaches(source) == []


def test_only_what_a_patch_adds_counts() -> None:
    old = "import atexit\nimport os\n\n\ndef leave():\n    os._exit(1)\n"
    assert added_reaches(old, "# a comment\n" + old) == []
    more = added_reaches(old, old + "\n\ndef go():\n    os._exit(0)\n")
    assert [(reach.rule, reach.line) for reach in more] == [("os._exit", 10)]


def test_tests_may_use_the_runners_public_side_only() -> None:
    assert find_reaches("import pytest\nfrom unittest import mock, TestCase", Place(tests=True)) == []
    for inside in (
        "import _pytest",
        "from pytest import _core\nimport pytest._core",
        "import os\nos._exit(0)",
    ):
        assert find_reaches(inside, Place(tests=True))


def test_a_project_may_set_what_is_its_own() -> None:
    source = "import app.config\napp.config.DEBUG = True\n"
    assert find_reaches(source)
    assert find_reaches(source, Place(own=frozenset({"app"}))) == []


def test_production_code_may_not_import_the_projects_tests() -> None:
    modules = frozenset({"test_auth"})
    for source in ("import test_auth", "import tests.test_auth", "from tests import test_auth"):
        assert find_reaches(source, Place(test_modules=modules))
    assert find_reaches("import auth", Place(test_modules=modules)) == []


def test_code_that_does_not_parse_is_left_to_the_parse_gate() -> None:
    assert find_reaches("def (") == []
