"""What an edit was asked to write, and what it may do: one file, that parses, and loses nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.coding import symbols, tagged
from swarmd.coding.failure import FormatError, NothingError, RefusedError, SyntaxFailedError
from swarmd.coding.merge import Scope
from swarmd.coding.names import names_of, rough_names
from swarmd.messages import EditForm

__all__ = ["Edit", "Form", "breaks", "check", "check_dropped", "may_drop", "parses"]

Form = EditForm
"""symbol: definitions, spliced by name. file: the whole text. replace: search/replace blocks."""

_REMOVES = re.compile(
    r"\b(?:remov|delet|drop|renam|mov|extract|inlin|replac|get rid|strip)\w*", re.IGNORECASE
)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_MARK = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)


@dataclass(frozen=True)
class Edit:
    """What the model was asked to write."""

    path: str
    source: str | None
    """The file as it is; None: it is to be made."""
    form: Form
    scope: Scope

    @property
    def is_python(self) -> bool:
        """True when the file is judged by its syntax tree."""
        return PurePosixPath(self.path).suffix in {".py", ".pyi"}


def check(edit: Edit, old: str | None, new: str) -> None:
    """Raises an EditError unless ``new`` may stand in the place of ``old``, both with plain line ends."""
    if old is not None and new.rstrip() == old.rstrip():
        raise NothingError("The reply is the same text as before: it changes nothing.")
    if _NO_TEXT.search(new) and not _NO_TEXT.search(old or ""):
        raise FormatError("The reply holds characters that no text file may have.")
    if _MARK.search(new) and not _MARK.search(old or ""):
        raise FormatError("The marks of a search/replace block would stand in the file; write them in order.")
    if edit.is_python:
        symbols.parse(new)
    elif breaks(edit.path, new) and (old is None or not breaks(edit.path, old)):
        raise SyntaxFailedError(f"{edit.path} does not parse any more: there is a syntax error in it.")
    check_dropped(edit, old, new)


def check_dropped(edit: Edit, old: str | None, new: str) -> None:
    """Raises RefusedError when ``new`` lacks a name of ``old`` that nobody asked to drop."""
    if old is None:
        return
    if edit.is_python and not parses(old):
        dropped = rough_names(old) - rough_names(new)
    else:
        dropped = names_of(edit.path, old) - names_of(edit.path, new)
    kept_back = sorted(name for name in dropped if not may_drop(edit.scope, name))
    if kept_back:
        raise RefusedError(
            f"The edit drops {', '.join(kept_back[:8])} from {edit.path}, which nobody asked for."
            " Keep everything that the task does not name."
        )


def may_drop(scope: Scope, name: str) -> bool:
    """Only what the task names, in words that speak of removing."""
    named = scope.mentions(name) or scope.mentions(name.rpartition(".")[2])
    return named and _REMOVES.search(scope.asked) is not None


def breaks(path: str, text: str) -> bool | None:
    """True when ``text`` does not parse as what ``path`` says that it is; None when nobody can tell."""
    if PurePosixPath(path).suffix.lower() != ".json":
        return tagged.breaks(path, text)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def parses(code: str) -> bool:
    """True when ``code`` is Python."""
    try:
        symbols.parse(code)
    except SyntaxFailedError:
        return False
    return True
