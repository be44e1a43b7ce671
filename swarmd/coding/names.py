"""What a file defines, by names that an edit must not lose: symbols, exported functions, headings."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.workspace.tags import tags_of

__all__ = ["names_of"]

_JAVASCRIPT = re.compile(
    r"^(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function\*?|class|const|let|var|interface|type|enum)"
    r"\s+([A-Za-z_$][\w$]*)",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)


def names_of(path: str, text: str) -> set[str]:
    """The names that ``text`` defines; empty for sorts of files that are not understood.

    Raises SyntaxFailedError for Python that does not parse.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in {".py", ".pyi"}:
        return {symbol.name for symbol in symbols.read(text) if symbol.kind != "constant"}
    if suffix in {".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"}:
        return set(_JAVASCRIPT.findall(text))
    if suffix in {".go", ".java"}:
        tags = tags_of(path, text)
        return {one.qualified for one in tags.definitions if one.kind != "constant"} if tags else set()
    if suffix in {".md", ".mdx"}:
        return set(_HEADING.findall(_FENCED.sub("", text)))
    return set()
