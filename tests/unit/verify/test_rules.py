"""Which files a role may touch, and what may become of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.home import Home
from swarmd.verify.additions import addition_violation
from swarmd.verify.protect import is_docs, is_protected
from swarmd.verify.roles import added_suppressions, docs_violation, may_touch, outside_scope, role_of

PROTECTED = [
    "tests/test_a.py", "test_a.py", "a_test.py", "src/tests/data/x.json", "web/add.test.ts", "TESTS/a.py",
    "conftest.py", "sub/conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml",
    "PyProject.toml", "ruff.toml", "mypy.ini", ".coveragerc", "Makefile", "makefile", "uv.lock",
    ".github/workflows/ci.yml", ".gitlab-ci.yml", "package.json", "web/package-lock.json",
    "requirements-dev.txt", "sitecustomize.py", "lib/x.pth", ".venv/bin/python", "node_modules/x.js",
    "jest.config.js", ".gitattributes", "tsconfig.base.json", "src/x.egg-info/entry_points.txt",
]  # fmt: skip


@pytest.mark.parametrize("path", PROTECTED)
def test_what_decides_the_verdict_is_protected(path: str) -> None:
    assert is_protected(path)


@pytest.mark.parametrize(
    "path", ["auth.py", "src/app/testing.py", "README.md", "data/x.json", "src/latest.py", "contest.py"]
)
def test_other_files_are_not(path: str) -> None:
    assert not is_protected(path)


def test_a_role_may_touch_what_is_its_work() -> None:
    assert may_touch("tests/test_new.py", "testing", exists=False)
    assert not may_touch("tests/test_new.py", "coding", exists=False)
    assert not may_touch("tests/conftest.py", "testing", exists=False)
    assert may_touch("tests/README.md", "docs", exists=True)
    assert not may_touch("pyproject.toml", "coding", exists=False)


def test_a_fresh_project_may_get_configuration_but_nothing_that_steers_its_tests() -> None:
    assert may_touch("pyproject.toml", "coding", exists=False, fresh=True)
    assert not may_touch("pyproject.toml", "coding", exists=True, fresh=True)
    for path in ("conftest.py", "setup.cfg", "tests/test_a.py", "x.pth"):
        assert not may_touch(path, "coding", exists=False, fresh=True)


def test_scope_is_exact_but_for_folders() -> None:
    assert outside_scope(["a.py", "b/c.py"], []) == []
    assert outside_scope(["a.py", "b/c.py", "bb.py"], ["a.py", "b/"]) == ["bb.py"]
    assert outside_scope(["a.py"], ["./a.py"]) == []
    assert outside_scope(["a.pyc"], ["a.py"]) == ["a.pyc"]


def test_the_role_is_read_from_the_types_own_folder(tmp_path: Path) -> None:
    home = Home(tmp_path)
    folder = home.agents / "migrations"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text('description = "x"\nrole = "testing"\n')
    assert role_of(home, "migrations") == "testing"
    assert role_of(home, "docs") == "docs"
    assert role_of(home, "unheard-of") == "coding"


CODE = '"""Module."""\n\n\ndef f(x):\n    """Doc."""\n    return x  # same\n'


@pytest.mark.parametrize(
    "new",
    [
        CODE.replace("Doc.", "Better.\n\n    And longer.\n    "),
        CODE.replace("# same", "# the same"),
        CODE.replace('    """Doc."""\n', ""),
        CODE.replace('"""Module."""', '"""A module."""'),
    ],
)
def test_docstrings_and_comments_may_change(new: str) -> None:
    assert docs_violation("a.py", CODE, new) is None


@pytest.mark.parametrize(
    "new",
    [
        CODE.replace("return x", "return x + 1"),
        CODE.replace("# same", "# type: ignore"),
        CODE.replace("# same", "# noqa"),
        CODE.replace("def f(x)", "def f(x=1)"),
        CODE + "import os\n",
        CODE + "def g(:\n",
        None,
    ],
)
def test_code_may_not(new: str | None) -> None:
    assert docs_violation("a.py", CODE, new)


def test_a_docs_task_makes_pages_but_no_code() -> None:
    assert docs_violation("docs/new.md", None, "# New\n") is None
    assert docs_violation("new.py", None, '"""Doc."""\n')
    assert docs_violation("data.json", "{}", "{ }")
    assert is_docs("README")
    assert not is_docs("requirements.txt")


def test_suppressions_are_counted() -> None:
    assert added_suppressions("a.py", "x = 1  # noqa\n", "x = 1  # noqa\ny = 2  # noqa\n") == ["# noqa"]
    assert added_suppressions("a.py", "x = 1  # noqa\n", "\n\nx = 1  # noqa\n") == []
    assert added_suppressions("a.py", "", 'x = "# noqa"\n') == []


TESTS = """\
import a


def test_one():
    assert a.f(1)


class TestMore:
    def test_two(self):
        assert a.f(2)
"""


@pytest.mark.parametrize(
    "new",
    [
        TESTS,
        TESTS + "\n\ndef test_three():\n    assert a.f(3)\n",
        "import b\n" + TESTS,
        TESTS + "\n    def test_four(self):\n        assert a.f(4)\n",
        TESTS.replace("class TestMore", "CASES = [1]\n\n\nclass TestMore"),
        TESTS + "\n\n@pytest.fixture\ndef thing():\n    return 1\n",
    ],
)
def test_tests_may_be_added(new: str) -> None:
    assert addition_violation("tests/test_a.py", TESTS, new) is None


@pytest.mark.parametrize(
    "new",
    [
        None,
        "import a\n",
        TESTS.replace("a.f(1)", "True"),
        TESTS.replace("a.f(2)", "True"),
        TESTS.replace("    def test_two(self):\n        assert a.f(2)\n", "    x = 1\n"),
        TESTS.replace("def test_one", "@pytest.mark.skip\ndef test_one"),
        TESTS + "\n\ndef test_one():\n    pass\n",
        TESTS + "\n    def test_two(self):\n        pass\n",
        TESTS + "\n\ntest_one = None\n",
        TESTS + "\n\npytestmark = 1\n",
        TESTS + "\n\ndel test_one\n",
        TESTS + "\n\na.f = lambda x: True\n",
        TESTS + "\n\nif True:\n    test_one = print\n",
        TESTS + "\n\n@pytest.fixture(autouse=True)\ndef quiet():\n    yield\n",
        TESTS + "\n\ndef setup_module():\n    a.f = print\n",
        TESTS + "\n\nfrom b import test_one\n",
        TESTS.replace("class TestMore:", "class TestMore(Base):"),
    ],
)
def test_existing_tests_may_not_be_changed_hidden_or_steered(new: str | None) -> None:
    assert addition_violation("tests/test_a.py", TESTS, new)
