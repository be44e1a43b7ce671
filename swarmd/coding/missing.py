"""Imports that a model forgot: names that nothing in a file binds, and that mean one thing in the standard
library.

Small models forget an import more often than anything else, above all where a reply was begun for them
and there is no place left for it. Only a name that nobody else could mean is imported: a module by its name
where an attribute of it is used, and a few classes and functions that everybody imports by name.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from swarmd.coding import symbols
from swarmd.coding.imports import Import, add, module_level_names

__all__ = ["with_missing_imports"]

_MODULES = frozenset(
    {
        *(
            "abc",
            "argparse",
            "array",
            "ast",
            "asyncio",
            "base64",
            "bisect",
            "calendar",
            "cmath",
            "collections",
        ),
        *("contextlib", "copy", "csv", "decimal", "difflib", "enum", "fnmatch", "fractions"),
        *(
            "functools",
            "glob",
            "gzip",
            "hashlib",
            "heapq",
            "hmac",
            "html",
            "inspect",
            "io",
            "itertools",
            "json",
        ),
        *(
            "keyword",
            "locale",
            "logging",
            "math",
            "operator",
            "os",
            "pathlib",
            "pickle",
            "platform",
            "pprint",
        ),
        *(
            "random",
            "re",
            "secrets",
            "shlex",
            "shutil",
            "socket",
            "sqlite3",
            "statistics",
            "string",
            "struct",
        ),
        *("subprocess", "sys", "tempfile", "textwrap", "threading", "time", "tokenize", "traceback"),
        *("typing", "unicodedata", "uuid", "warnings", "weakref", "zipfile", "zlib"),
    }
)
_NAMES = {
    "collections": ("ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "contextlib": ("contextmanager", "suppress"),
    "dataclasses": ("dataclass",),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "functools": ("lru_cache", "partial", "reduce", "wraps"),
    "itertools": (
        *("accumulate", "chain", "combinations", "combinations_with_replacement", "cycle", "groupby"),
        *("islice", "permutations", "product", "starmap", "takewhile", "zip_longest"),
    ),
    "pathlib": ("Path",),
    "typing": (
        *("Any", "Callable", "ClassVar", "Dict", "Final", "Generator", "Generic", "Iterable", "Iterator"),
        *(
            "List",
            "Literal",
            "Mapping",
            "NamedTuple",
            "Optional",
            "Sequence",
            "Set",
            "Tuple",
            "TypeVar",
            "Union",
        ),
    ),
}
_BY_NAME = {name: Import(module, name) for module, names in _NAMES.items() for name in names}


def with_missing_imports(source: str, nodes: Iterable[ast.AST]) -> str:
    """``source`` with the imports that ``nodes``, what is new in it, need and that nobody wrote."""
    tree = symbols.parse(source)
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return source  # nobody can tell what it binds
    bound = {*module_level_names(tree), *dir(builtins)}
    return add(source, list(dict.fromkeys(_wanted(nodes, bound))))


def _wanted(nodes: Iterable[ast.AST], bound: set[str]) -> Iterator[Import]:
    for node in nodes:
        known = bound | _bound_in(node)
        for child in ast.walk(node):
            if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                name = child.value.id
                if name in _MODULES and name not in known:
                    yield Import(name, None)
            elif isinstance(child, ast.Name) and child.id in _BY_NAME and child.id not in known:
                yield _BY_NAME[child.id]


def _bound_in(node: ast.AST) -> set[str]:
    """The names that anything in ``node`` binds, in whichever of its scopes."""
    found: set[str] = set()
    for child in ast.walk(node):
        match child:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found.update(one.asname or one.name.partition(".")[0] for one in names)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                found.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                found.update(names)
    return found
