"""In which format an edit is asked for: what the target allows, in the order that suits the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.edits import Form
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.target import Target
from swarmd.coding.tokens import estimate

__all__ = ["DEFAULT_ORDER", "choose", "is_python", "parses", "possible"]

DEFAULT_ORDER: tuple[Form, ...] = ("symbol", "file", "replace")
"""For models that are not calibrated. The less there is to copy, the less a small model copies wrongly; a
block to search for must be copied without any mistake."""
REPLY_MARGIN = 0.85
"""A whole file is asked for when it takes at most this share of the reply."""


def choose(preferred: Sequence[Form], target: Target, wanted: Sequence[str], reply: int) -> Form:
    """The first format of ``preferred``, then of the default order, that is ``possible``."""
    allowed = possible(target, wanted, reply)
    return next(form for form in (*preferred, *DEFAULT_ORDER) if form in allowed)


def possible(target: Target, wanted: Sequence[str], reply: int) -> set[Form]:
    """The formats in which an edit of ``target``, of its symbols ``wanted``, fits into ``reply`` tokens.

    A file that is to be made can only be written whole; a definition can only be named in Python that
    parses; a block to replace is always possible.
    """
    if target.source is None or not target.source.strip():
        return {"file"}
    found: set[Form] = {"replace"}
    if estimate(target.source) <= reply * REPLY_MARGIN:
        found.add("file")
    if is_python(target.path) and parses(target.source) and (wanted or target.adds or _defines(target)):
        found.add("symbol")
    return found


def is_python(path: str) -> bool:
    """Whether the file at ``path`` is read by its syntax tree."""
    return PurePosixPath(path).suffix in {".py", ".pyi"}


def parses(source: str) -> bool:
    """Whether ``source`` is Python; the defect may be just that it is not."""
    try:
        symbols.parse(source.replace("\r\n", "\n"))
    except SyntaxFailedError:
        return False
    return True


def _defines(target: Target) -> bool:
    return bool(symbols.read((target.source or "").replace("\r\n", "\n")))
