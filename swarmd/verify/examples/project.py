"""Where the names in an example come from: the project's modules, read and never imported."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from swarmd.verify.discover import Tree
from swarmd.verify.protect import is_test_file, is_test_support

__all__ = ["Definition", "Project", "module_name"]

MAX_READ_FILES = 3000
MAX_READ_CHARS = 20_000_000

_NAME = re.compile(
    r"^(?:[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(?P<defined>\w+)"
    r"|(?P<bound>[A-Za-z_]\w*)[ \t]*(?::[^=\n]*)?=(?!=))",
    re.MULTILINE,
)
_STUB_TEXTS = frozenset(
    {"pass", "...", "raise NotImplementedError", "raise NotImplementedError()", "return None", "return"}
)


@dataclass(frozen=True)
class Definition:
    """A function, method or class of the project, or (with an empty name) a module."""

    path: str
    name: str
    """Qualified in its file: ``Cart.total``."""
    line: int
    """Of the definition; of the docstring's first line see ``doc_line``."""
    doc: str
    doc_line: int
    stub: bool
    """Its body is still to be written."""
    parameters: tuple[str, ...] = ()
    """What it can be given, in order, if it is a function that takes no others."""
    required: frozenset[str] = frozenset()
    """Those without a default."""

    @property
    def short(self) -> str:
        """The name without its class."""
        return self.name.rpartition(".")[2]


class Project:
    """The Python files of a checkout that are no tests."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._texts: dict[str, str] = {}
        self._definitions: dict[str, list[Definition]] = {}
        paths = sorted(path for path in tree.files if path.endswith(".py") and _is_source(path))
        self.paths = paths[:MAX_READ_FILES]
        self.modules = {name: path for path in self.paths if (name := module_name(path, tree.files))}
        """Dotted name -> file."""

    def text(self, path: str) -> str:
        """A file's text, empty when it is absent, too large or no plain file."""
        if path not in self._texts:
            self._texts[path] = self._tree.text(path).replace("\r\n", "\n")
        return self._texts[path]

    def module(self, path: str) -> str | None:
        """The name by which ``path`` is imported, whether it exists or not."""
        return module_name(path, self._tree.files)

    @cached_property
    def _bound(self) -> dict[str, list[str]]:
        """Top-level name or method name -> the files that define it."""
        found: dict[str, list[str]] = {}
        size = 0
        for path in self.paths:
            text = self.text(path)
            size += len(text)
            if size > MAX_READ_CHARS:
                break
            for name in {match["defined"] or match["bound"] for match in _NAME.finditer(text)}:
                found.setdefault(name, []).append(path)
        return found

    def mentioning(self, names: Collection[str]) -> list[str]:
        """Files that seem to define one of ``names``."""
        return sorted({path for name in names for path in self._bound.get(name, ())})

    def defining(self, name: str) -> list[str]:
        """Files that bind ``name`` at their top level."""
        return [path for path in self._bound.get(name, ()) if self.binds(path, name)]

    def binds(self, path: str, name: str) -> bool:
        """Whether the file at ``path`` binds ``name`` at its top level, by an import of its own too."""
        tree = _parsed(self.text(path))
        return tree is not None and name in set(_top_names(tree.body))

    def has(self, module: str) -> bool:
        """Whether ``module`` is one of the project's, or a package that holds one."""
        return module in self.modules or any(name.startswith(module + ".") for name in self.modules)

    def definitions(self, path: str) -> list[Definition]:
        """The module itself, its functions and classes, in the order of their lines."""
        if path not in self._definitions:
            tree = _parsed(self.text(path))
            self._definitions[path] = list(_definitions(tree, path)) if tree is not None else []
        return self._definitions[path]


def _is_source(path: str) -> bool:
    pure = PurePosixPath(path)
    hidden = any(part.startswith(".") or part in ("venv", "node_modules") for part in pure.parts)
    return not (
        hidden or is_test_file(path) or is_test_support(path) or pure.name in ("setup.py", "conftest.py")
    )


def module_name(path: str, files: Collection[str]) -> str | None:
    """The dotted name under which the judged code is imported: from the top folder, or from ``src`` where
    packages lie there. None for what cannot be imported by a name."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[:1] == ["src"] and len(parts) > 1 and "src/__init__.py" not in files:
        parts = parts[1:]
    if parts[-1:] == ["__init__"]:
        parts.pop()
    usable = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return ".".join(parts) if parts and usable else None


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """``body`` with what stands in it under ``if`` and ``try``."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _top_names(body: list[ast.stmt]) -> Iterator[str]:
    for node in _statements(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def _definitions(tree: ast.Module, path: str) -> Iterator[Definition]:
    yield Definition(path, "", 1, *_doc(tree), stub=False)
    queue = [("", node) for node in _statements(tree.body)]
    while queue:
        owner, node = queue.pop(0)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        told = _parameters(node)
        yield Definition(path, owner + node.name, node.lineno, *_doc(node), _is_stub(node), *told)
        if isinstance(node, ast.ClassDef):
            queue += [(f"{owner}{node.name}.", inner) for inner in _statements(node.body)]


def _parameters(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names of a function's parameters, and of those without a default; none where others may come."""
    if isinstance(node, ast.ClassDef) or node.args.vararg or node.args.kwarg:
        return (), frozenset()
    plain = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    required = plain[: len(plain) - len(node.args.defaults)]
    required += [one.arg for one, default in named if default is None]
    return (*plain, *(one.arg for one in node.args.kwonlyargs)), frozenset(required)


def _doc(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[str, int]:
    """The docstring without its indentation, and its first line."""
    raw = ast.get_docstring(node, clean=False) if node.body else None
    if not raw:
        return "", 0
    blank = len(raw) - len(raw.lstrip())
    return inspect.cleandoc(raw), node.body[0].lineno + raw.count("\n", 0, blank)


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if isinstance(node, ast.ClassDef):
        return False
    return all(re.sub(r"\(.*\)$", "()", ast.unparse(one), flags=re.DOTALL) in _STUB_TEXTS for one in body)
