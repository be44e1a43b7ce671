"""Which gates a project has, from its files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from swarmd.errors import ConfigError
from swarmd.verify.discover import Found, Tree, discover
from swarmd.verify.interpreter import choose_interpreter


def found(
    root: Path, files: dict[str, str], available: Collection[str] = ("pytest", "mypy"), **fields: object
) -> Found:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    values = {"verify": [], "timeout_s": 60, "node_modules": False, "npm": True, **fields}
    tree = Tree(root, frozenset(files))
    return discover(tree, probe=lambda names: [name for name in names if name in available], **values)  # type: ignore[arg-type]


def gates(one: Found) -> list[tuple[str, str]]:
    return [(spec.gate, spec.runner) for spec in one.gates]


TEST = "def test_a():\n    assert 1\n"


def test_gates_come_cheapest_first(tmp_path: Path) -> None:
    config = "[tool.ruff]\n[tool.mypy]\nfiles = ['a.py']\n"
    files = {
        "pyproject.toml": config,
        "a.py": "",
        "tests/test_a.py": TEST,
        "package.json": '{"scripts":{"build":"x"}}',
    }
    one = found(tmp_path, files, verify=[["make", "check"]])
    assert gates(one) == [
        ("parse", "parse"), ("lint", "ruff"), ("types", "mypy"), ("build", "npm"), ("tests", "pytest"),
        ("verify-1", "command"),
    ]  # fmt: skip
    assert one.gates[2].argv == ["mypy"]
    assert one.test_files == ["tests/test_a.py"]


def test_a_plain_folder_has_only_the_parse_gate_and_says_so(tmp_path: Path) -> None:
    one = found(tmp_path, {"a.py": ""})
    assert gates(one) == [("parse", "parse")]
    assert "no tests" in one.not_verified[0]


def test_a_python_project_without_tests_could_run_its_first_ones(tmp_path: Path) -> None:
    def runner(files: dict[str, str], available: Collection[str]) -> str | None:
        spec = found(tmp_path, files, available).first_tests
        return spec and spec.runner

    assert runner({"a.py": ""}, ["pytest"]) == "pytest"
    assert runner({"a.py": ""}, []) == "unittest"
    assert runner({"a.py": "", "test_a.py": TEST}, ["pytest"]) is None
    assert runner({"a.py": "", "test_a.py": "import pytest\n"}, []) is None
    assert runner({"a.js": ""}, ["pytest"]) is None


def test_what_is_not_installed_is_named_with_what_to_do(tmp_path: Path) -> None:
    one = found(tmp_path, {"mypy.ini": "[mypy]\n", "test_a.py": "import pytest\n"}, available=())
    assert gates(one) == [("parse", "parse")]
    assert [text.split(":")[0] for text in one.not_verified] == ["types", "tests"]
    assert "pytest is not installed" in one.not_verified[1]


def test_unittest_is_used_where_pytest_is_not_there(tmp_path: Path) -> None:
    one = found(tmp_path, {"test_a.py": "import unittest\n"}, available=())
    assert gates(one)[-1] == ("tests", "unittest")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\npython_files = check_*.py\n"),
        ("tox.ini", "[pytest]\npython_files = check_*.py\n"),
        ("setup.cfg", "[tool:pytest]\npython_files = check_*.py\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\npython_files = ["check_*.py"]\n'),
    ],
)
def test_the_projects_own_names_for_test_files_count(tmp_path: Path, name: str, text: str) -> None:
    one = found(tmp_path, {name: text, "deep/check_a.py": TEST})
    assert one.test_files == ["deep/check_a.py"]
    assert gates(one)[-1] == ("tests", "pytest")


def test_npm_scripts_need_their_modules_only_if_there_are_dependencies(tmp_path: Path) -> None:
    package = '{"scripts":{"test":"jest","lint":"eslint","start":"x"},"devDependencies":{"jest":"1"}}'
    one = found(tmp_path, {"package.json": package})
    assert gates(one) == [("parse", "parse")]
    assert "npm ci" in one.not_verified[0]
    one = found(tmp_path, {"package.json": package}, node_modules=True)
    assert gates(one) == [("parse", "parse"), ("lint", "npm"), ("tests", "npm")]
    empty = '{"scripts":{"test":"echo \\\\"Error: no test specified\\\\" && exit 1"}}'
    assert gates(found(tmp_path, {"package.json": empty})) == [("parse", "parse")]


def test_an_npm_gate_does_not_hide_a_python_one(tmp_path: Path) -> None:
    one = found(tmp_path, {"package.json": '{"scripts":{"test":"x"}}', "test_a.py": TEST})
    assert gates(one)[1:] == [("tests", "pytest"), ("npm-tests", "npm")]


def test_broken_configuration_is_not_fatal(tmp_path: Path) -> None:
    files = {"pyproject.toml": "[tool", "setup.cfg": "no section", "package.json": "{", "a.py": ""}
    one = found(tmp_path, files)
    assert gates(one) == [("parse", "parse")]
    assert any("package.json" in text for text in one.not_verified)


def test_the_projects_environment_comes_first_unless_the_repository_brings_it(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert choose_interpreter(tmp_path, [], None).origin == "project"
    assert choose_interpreter(tmp_path, [".venv/bin/python"], None).origin == "swarmd"
    with pytest.raises(ConfigError):
        choose_interpreter(tmp_path / "none", [], "/no/such/python")
