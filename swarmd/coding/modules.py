"""From import statements to the project's files, and back, as the project lays its packages out."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import PurePosixPath

from swarmd.coding import symbols

__all__ = ["dotted", "file_of", "imported_files", "is_test"]

_SOURCE_ROOTS = frozenset({"src", "lib", "python"})
_TEST_FOLDERS = frozenset({"tests", "test", "__tests__", "spec"})


def is_test(path: str) -> bool:
    """Whether ``path`` is part of the tests, by its name or its folder."""
    pure = PurePosixPath(path)
    stem = pure.name.split(".")[0]
    named = stem.startswith("test_") or stem.endswith("_test") or stem in {"conftest", "test"}
    dotted_test = ".test." in pure.name or ".spec." in pure.name
    return named or dotted_test or any(part in _TEST_FOLDERS for part in pure.parts[:-1])


def file_of(module: str, files: Collection[str]) -> str | None:
    """The file that ``import module`` loads; the shortest path if several could be meant."""
    if not module.strip("."):
        return None
    stem = module.strip(".").replace(".", "/")
    names = (f"{stem}.py", f"{stem}/__init__.py")
    found = [path for path in files if path in names or path.endswith(tuple("/" + name for name in names))]
    return min(found, key=lambda path: (path.count("/"), path), default=None)


def dotted(path: str, files: Collection[str]) -> str:
    """The name under which tests import the file ``path``: from the folder above its packages."""
    pure = PurePosixPath(path)
    parts = [pure.stem] if pure.stem != "__init__" else []
    folder = pure.parent
    known = set(files)
    while folder.name and (f"{folder}/__init__.py" in known or _may_be_a_package(folder)):
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or pure.parent.name


def _may_be_a_package(folder: PurePosixPath) -> bool:
    """A top folder without __init__.py is taken for a package, unless it is a usual source root."""
    return not folder.parent.name and folder.name.isidentifier() and folder.name not in _SOURCE_ROOTS


def imported_files(tree: ast.Module, files: Collection[str]) -> dict[str, tuple[str, str | None]]:
    """What a file's imports bind: local name -> (project file, name in it; None for the module itself)."""
    bound: dict[str, tuple[str, str | None]] = {}
    for node in symbols.statements(tree.body):
        if isinstance(node, ast.Import):
            for name in node.names:
                path = file_of(name.name, files)
                if path:
                    bound[name.asname or name.name.split(".")[-1]] = (path, None)
        elif isinstance(node, ast.ImportFrom):
            path = file_of(node.module or "", files)
            for name in node.names:
                inner = file_of(f"{node.module or ''}.{name.name}", files)
                if inner:
                    bound[name.asname or name.name] = (inner, None)
                elif path:
                    bound[name.asname or name.name] = (path, name.name)
    return bound
