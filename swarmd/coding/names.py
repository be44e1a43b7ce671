"""What a file defines, by names that an edit must not lose: symbols, exported functions, headings, keys."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.workspace.tags import tags_of

__all__ = ["names_of", "rough_names"]

_JAVASCRIPT = re.compile(
    r"^(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function\*?|class|const|let|var|interface|type|enum)"
    r"\s+([A-Za-z_$][\w$]*)",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*)$", re.MULTILINE)
_FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
MAX_DEPTH = 6
"""Deeper keys of data are not names that somebody would miss."""
_DEFINES = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
_SCRIPTS = frozenset({".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"})


def names_of(path: str, text: str) -> set[str]:
    """The names that ``text`` defines; empty for sorts of files that are not understood.

    Raises SyntaxFailedError for Python that does not parse.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in {".py", ".pyi"}:
        return {symbol.name for symbol in symbols.read(text) if symbol.kind != "constant"}
    if suffix in _SCRIPTS:
        # The syntax tree knows methods; the pattern also reads text of which no tree can be made.
        return _tagged(path, text) | set(_JAVASCRIPT.findall(text))
    if suffix in {".go", ".java"}:
        return _tagged(path, text)
    if suffix in {".json", ".toml"}:
        return set(_keys(_data(suffix, text)))
    if suffix in {".md", ".mdx"}:
        return {heading.rstrip().rstrip("#").rstrip() for heading in _HEADING.findall(_FENCED.sub("", text))}
    return set()


def _tagged(path: str, text: str) -> set[str]:
    tags = tags_of(path, text)
    return {one.qualified for one in tags.definitions if one.kind != "constant"} if tags else set()


def _data(suffix: str, text: str) -> object:
    """The values that ``text`` holds; None when it cannot be read."""
    try:
        return json.loads(text) if suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _keys(data: object, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """``tool.ruff`` and the like: the keys of tables in tables."""
    if isinstance(data, dict) and depth < MAX_DEPTH:
        for key, value in data.items():
            yield prefix + str(key)
            yield from _keys(value, f"{prefix}{key}.", depth + 1)


def rough_names(text: str) -> set[str]:
    """The short names after ``def`` and ``class`` in Python that need not parse."""
    return set(_DEFINES.findall(text))
