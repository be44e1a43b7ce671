"""The files that decide how a project is judged: they are judged as they are in the base commit."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

__all__ = [
    "is_docs",
    "is_protected",
    "is_steering",
    "is_test_file",
    "is_test_support",
    "protected_paths",
    "top_names",
]

TEST_NAMES = (
    "test_*.py", "*_test.py", "tests.py", "test.py",
    "*.test.js", "*.test.jsx", "*.test.ts", "*.test.tsx", "*.test.mjs", "*.test.cjs",
    "*.spec.js", "*.spec.jsx", "*.spec.ts", "*.spec.tsx", "*.spec.mjs", "*.spec.cjs",
)  # fmt: skip
TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec"})

# Steers a test runner or the interpreter by being there: never taken from a patch, not even new.
ALWAYS_NAMES = (
    "conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg",
    "sitecustomize.py", "usercustomize.py", "*.pth", ".gitattributes", ".gitmodules",
)  # fmt: skip

# Names that decide how tests run or how findings are counted, wherever they lie.
CONFIG_NAMES = (
    *ALWAYS_NAMES, "noxfile.py", "setup.py", "pyproject.toml", ".coveragerc",
    "ruff.toml", ".ruff.toml", "mypy.ini", ".mypy.ini", ".flake8", ".pylintrc", "pylintrc",
    "pyrightconfig.json", ".bandit", ".pre-commit-config.yaml", "Makefile", "GNUmakefile", "justfile",
    "package.json", "tsconfig*.json", "jsconfig.json", ".npmrc", ".yarnrc", ".yarnrc.yml", ".mocharc*",
    "jest.config.*", "vitest.config.*", "vite.config.*", "babel.config.*", ".babelrc*", "karma.conf.*",
    "eslint.config.*", ".eslintrc*", ".eslintignore", ".swcrc",
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lockb",
    "poetry.lock", "uv.lock", "pdm.lock", "Pipfile", "Pipfile.lock", "requirements*.txt", "constraints*.txt",
    ".gitlab-ci.yml", ".travis.yml", "azure-pipelines.yml", "Jenkinsfile",
    ".python-version", "swarmd.toml",
)  # fmt: skip

# A top folder in which everything is protected.
CONFIG_FOLDERS = frozenset({
    ".github", ".gitlab", ".circleci", ".ci", ".buildkite", ".husky", ".venv", "venv", "node_modules", ".git",
})  # fmt: skip


def is_test_file(path: str) -> bool:
    """Whether ``path`` is a file of tests by its name."""
    return any(fnmatchcase(PurePosixPath(path).name, pattern) for pattern in TEST_NAMES)


def is_test_support(path: str) -> bool:
    """Whether ``path`` lies where tests lie: data, fixtures and helpers count as tests."""
    return any(part.lower() in TEST_FOLDERS for part in PurePosixPath(path).parts[:-1])


def is_steering(path: str) -> bool:
    """Whether ``path`` steers a test runner or the interpreter just by being there."""
    name = PurePosixPath(path).name.lower()
    if any(_is_config_folder(part.lower()) for part in PurePosixPath(path).parts[:-1]):
        return True
    return any(fnmatchcase(name, pattern) for pattern in ALWAYS_NAMES)


def is_protected(path: str) -> bool:
    """Whether ``path``, existing or new, decides how the project is judged.

    The comparison ignores case, because some file systems do.
    """
    pure = PurePosixPath(path)
    name = pure.name.lower()
    if any(fnmatchcase(name, pattern.lower()) for pattern in CONFIG_NAMES):
        return True
    if any(_is_config_folder(part.lower()) for part in pure.parts[:-1]):
        return True
    return is_test_file(name) or is_test_support(path)


def _is_config_folder(name: str) -> bool:
    # an entry point in such metadata is a plugin that pytest loads
    return name in CONFIG_FOLDERS or name.endswith((".egg-info", ".dist-info"))


def protected_paths(paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that are protected, sorted."""
    return sorted(path for path in paths if is_protected(path))


def is_docs(path: str) -> bool:
    """Whether ``path`` is a page of prose."""
    pure = PurePosixPath(path)
    prose = pure.suffix.lower() in {".md", ".rst", ".adoc"}
    named = pure.name.upper() in {"README", "CHANGELOG", "CONTRIBUTING", "AUTHORS", "NOTICE", "SECURITY"}
    text = pure.suffix.lower() == ".txt" and "docs" in pure.parts[:-1] and not is_protected(path)
    return prose or named or text


def top_names(path: str) -> list[str]:
    """The names under which tests can import what lies at ``path``: from the top, or from ``src``."""
    parts = list(PurePosixPath(path).parts)
    if not path.endswith(".py"):
        return []
    tops = [parts[0], parts[1]] if parts[0] == "src" and len(parts) > 1 else parts[:1]
    return [top.removesuffix(".py") for top in tops]
