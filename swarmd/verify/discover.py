"""Finds the gates of a project at a commit, from its own files; runs none of its code.

Cheapest first: parse, lint, types, build, tests, then what the request asks for.
"""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from swarmd.messages import GateSpec
from swarmd.verify.protect import is_test_file

__all__ = ["Found", "Tree", "discover", "find_test_files"]

Probe = Callable[[Collection[str]], Collection[str]]
"""Of these modules, those that the project's interpreter can import."""

ORDER = ("parse", "lint", "types", "build", "tests")
NPM_SCRIPTS = {"lint": "lint", "typecheck": "types", "type-check": "types", "build": "build", "test": "tests"}
MAX_CONFIG = 1_000_000


@dataclass(frozen=True)
class Found:
    """The gates of a project, and what of it no gate can show."""

    gates: list[GateSpec]
    not_verified: list[str]
    language: Literal["python", "node", "other"]
    test_files: list[str]
    """Python test files, for the runner."""
    first_tests: GateSpec | None = None
    """How Python tests would be run, where there are none yet."""


@dataclass(frozen=True)
class Tree:
    """A checkout to look into: its tracked files and the few settings that matter."""

    root: Path
    files: frozenset[str]

    def text(self, path: str) -> str:
        """The file's text; empty when it is absent, too large, or not a plain file."""
        target = self.root / path
        if path not in self.files or target.is_symlink() or not target.is_file():
            return ""
        if target.stat().st_size > MAX_CONFIG:
            return ""
        return target.read_text(encoding="utf-8", errors="replace")

    def toml(self, path: str) -> dict[str, Any]:
        """The file as TOML; empty when it does not parse."""
        try:
            return tomllib.loads(self.text(path))
        except tomllib.TOMLDecodeError:
            return {}

    def ini(self, path: str) -> Mapping[str, Mapping[str, str]]:
        """The file's sections; empty when it does not parse."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(self.text(path))
        except configparser.Error:
            return {}
        return {name: dict(parser[name]) for name in parser.sections()}

    def tool(self, name: str) -> dict[str, Any] | None:
        """The table ``tool.<name>`` of pyproject.toml; None when there is none."""
        table = self.toml("pyproject.toml").get("tool", {})
        value = table.get(name) if isinstance(table, dict) else None
        return value if isinstance(value, dict) else None

    def has_python(self) -> bool:
        """Whether any Python file is tracked."""
        return any(path.endswith(".py") for path in self.files)


def discover(
    tree: Tree,
    *,
    probe: Probe,
    verify: Sequence[Sequence[str]],
    timeout_s: int,
    node_modules: bool,
    npm: bool,
) -> Found:
    """Look for gates in ``tree``. ``verify`` are the request's own argument lists; ``node_modules``
    tells whether the workspace has that folder, ``npm`` whether this machine has the program."""
    python = tree.has_python()
    gates = [GateSpec(gate="parse", runner="parse", argv=["parse", "changed files"], timeout_s=60)]
    missing: list[str] = []
    files = find_test_files(tree)
    first_tests: GateSpec | None = None
    if python:
        available = set(probe(["pytest", "mypy"]))
        gates += _lint(tree, timeout_s)
        gates += _types(tree, available, timeout_s, missing)
        if files or _pytest_config(tree) is not None:
            gates += _tests(tree, files, available, timeout_s, missing)
        else:
            first_tests = _pytest(timeout_s) if "pytest" in available else _unittest(timeout_s)
    gates += _npm(tree, {gate.gate for gate in gates}, timeout_s, node_modules, npm, missing)
    gates.sort(key=lambda gate: ORDER.index(gate.gate.removeprefix("npm-")))
    gates += [
        GateSpec(gate=f"verify-{number}", runner="command", argv=list(argv), timeout_s=timeout_s)
        for number, argv in enumerate(verify, 1)
    ]
    if not any(gate.gate in ("tests", "npm-tests") for gate in gates) and not missing:
        missing.append('behaviour: the project has no tests that swarmd can find; add some, or give "verify"')
    node = tree.text("package.json") != ""
    language: Literal["python", "node", "other"] = "python" if python else "node" if node else "other"
    return Found(gates, missing, language, files, first_tests)


def _lint(tree: Tree, timeout_s: int) -> list[GateSpec]:
    configured = tree.tool("ruff") is not None or not tree.files.isdisjoint({"ruff.toml", ".ruff.toml"})
    argv = ["ruff", "check", "."]
    return [GateSpec(gate="lint", runner="ruff", argv=argv, timeout_s=timeout_s)] if configured else []


def _types(tree: Tree, available: Collection[str], timeout_s: int, missing: list[str]) -> list[GateSpec]:
    sections = [tree.ini(name).get("mypy") for name in ("mypy.ini", ".mypy.ini", "setup.cfg")]
    tables = [table for table in [*sections, tree.tool("mypy")] if table is not None]
    if not tables:
        return []
    if "mypy" not in available:
        missing.append("types: mypy is configured but not installed in the project's environment")
        return []
    chosen = any(key in table for table in tables for key in ("files", "packages", "modules"))
    argv = ["mypy"] if chosen else ["mypy", "."]
    return [GateSpec(gate="types", runner="mypy", argv=argv, timeout_s=timeout_s)]


def _tests(
    tree: Tree, files: list[str], available: Collection[str], timeout_s: int, missing: list[str]
) -> list[GateSpec]:
    if "pytest" in available:
        return [_pytest(timeout_s)]
    plain = [
        path for path in files if "unittest" in tree.text(path) and "import pytest" not in tree.text(path)
    ]
    if plain:
        return [_unittest(timeout_s)]
    missing.append("tests: there are pytest tests, but pytest is not installed in the project's environment")
    return []


def _pytest(timeout_s: int) -> GateSpec:
    return GateSpec(gate="tests", runner="pytest", argv=["pytest"], timeout_s=timeout_s)


def _unittest(timeout_s: int) -> GateSpec:
    argv = ["python", "-m", "unittest"]
    return GateSpec(gate="tests", runner="unittest", argv=argv, timeout_s=timeout_s)


def _pytest_config(tree: Tree) -> Mapping[str, Any] | None:
    for name in ("pytest.ini", ".pytest.ini"):
        if name in tree.files:
            return tree.ini(name).get("pytest", {})
    pyproject = tree.tool("pytest")
    if pyproject is not None:
        options = pyproject.get("ini_options", pyproject)
        return options if isinstance(options, dict) else {}
    sections = (tree.ini("tox.ini").get("pytest"), tree.ini("setup.cfg").get("tool:pytest"))
    return next((section for section in sections if section is not None), None)


def find_test_files(tree: Tree) -> list[str]:
    """Python files that hold tests, by the project's own ``python_files`` where it has them."""
    given = (_pytest_config(tree) or {}).get("python_files")
    patterns = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    names = [str(pattern) for pattern in patterns]

    def holds_tests(path: str) -> bool:
        name = PurePosixPath(path).name
        if any(fnmatchcase(name, pattern) for pattern in names):
            return True
        return is_test_file(path) and name not in ("tests.py", "test.py")

    return sorted(path for path in tree.files if path.endswith(".py") and holds_tests(path))


def _npm(
    tree: Tree, taken: Collection[str], timeout_s: int, node_modules: bool, npm: bool, missing: list[str]
) -> list[GateSpec]:
    try:
        package = json.loads(tree.text("package.json") or "{}")
    except ValueError:
        missing.append("npm scripts: package.json is not valid JSON")
        return []
    scripts = package.get("scripts") if isinstance(package, dict) else None
    wanted = [name for name in NPM_SCRIPTS if isinstance(scripts, dict) and _is_real(scripts.get(name))]
    if not wanted:
        return []
    if not npm:
        missing.append(f"npm {', '.join(wanted)}: npm is not installed on this machine")
        return []
    if (package.get("dependencies") or package.get("devDependencies")) and not node_modules:
        missing.append(f'npm {", ".join(wanted)}: node_modules is missing; run "npm ci" in the workspace')
        return []
    missing.append("npm scripts are judged by their exit code: code that ends the process early can feign it")
    return [_npm_gate(name, taken, timeout_s) for name in wanted]


def _npm_gate(script: str, taken: Collection[str], timeout_s: int) -> GateSpec:
    gate = NPM_SCRIPTS[script]
    gate = f"npm-{gate}" if gate in taken else gate
    return GateSpec(gate=gate, runner="npm", argv=["npm", "run", "--silent", script], timeout_s=timeout_s)


def _is_real(script: Any) -> bool:
    return isinstance(script, str) and bool(script.strip()) and "no test specified" not in script
