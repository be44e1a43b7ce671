"""From a model's reply to the new text of one file, and from there to a patch.

Reading is tolerant, the effect is strict: the result touches the target file alone, parses, drops
nothing that the task does not name, and changes something; else an EditError says what was wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from swarmd.coding import symbols
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError
from swarmd.coding.merge import Scope, merge
from swarmd.coding.names import names_of
from swarmd.coding.replace import apply_replacements
from swarmd.coding.reply import Block, bare_code, blocks, is_for, replacements, strip_thinking

__all__ = ["Edit", "Form", "read_edit"]

Form = Literal["symbol", "file", "replace"]
"""symbol: definitions, spliced by name. file: the whole text. replace: search/replace blocks."""

_REMOVES = re.compile(
    r"\b(?:remov|delet|drop|renam|mov|extract|inlin|replac|get rid|strip)\w*", re.IGNORECASE
)
_PYTHON = frozenset({"", "python", "py", "python3", "pyi"})


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


def read_edit(reply: str, edit: Edit, *, cut: bool = False) -> str:
    """The file's new text. ``cut``: the reply reached its token cap.

    Raises FormatError, NothingError, RefusedError or SyntaxFailedError; the message is for the model.
    """
    old = edit.source.replace("\r\n", "\n") if edit.source is not None else None
    try:
        new = _new_text(strip_thinking(reply), edit, old)
    except EditError as error:
        if cut and not isinstance(error, NothingError):
            raise FormatError("The reply was cut at its length limit; answer with less.") from error
        raise
    new = new.rstrip("\n") + "\n" if new.strip() else ""
    if old is not None and new.rstrip() == old.rstrip():
        raise NothingError("The reply is the same text as before: it changes nothing.")
    if edit.is_python:
        symbols.parse(new)
    _check_dropped(edit, old, new)
    crlf = edit.source is not None and edit.source.count("\r\n") * 2 > edit.source.count("\n")
    return new.replace("\n", "\r\n") if crlf else new


def _new_text(reply: str, edit: Edit, old: str | None) -> str:
    changes = replacements(reply)
    if changes and old is not None:
        return apply_replacements(old, changes)
    if changes:
        return "\n".join(change.replace for change in changes)
    found = _blocks_for(reply, edit)
    if edit.is_python and old is not None and old.strip():
        return _merged(found, edit, old)
    return _whole(found, edit)


def _blocks_for(reply: str, edit: Edit) -> list[Block]:
    """The blocks meant for the target. Blocks for other files are left out: they are never touched."""
    found = blocks(reply)
    if not found:
        code = bare_code(reply) if edit.is_python else None
        if code is None:
            raise FormatError("The reply holds no code block. Answer with one block between ``` lines.")
        return [Block(code)]
    ours = [block for block in found if is_for(block, edit.path)]
    if not ours:
        raise RefusedError(f"The reply edits {found[0].path}; only {edit.path} may be changed.")
    return ours


def _merged(found: list[Block], edit: Edit, old: str) -> str:
    """Python goes in by name, block for block; a whole file that drops nothing replaces the file."""
    python = [block for block in found if block.language in _PYTHON] or found
    if edit.form == "file":
        largest = max(python, key=lambda block: len(block.text))
        if _replaces_whole(largest.text, edit, old):
            return largest.text
    text, problem = old, None
    for block in python:
        try:
            text = merge(text, block.text, edit.scope)
        except EditError as error:
            problem = problem or error
    if text == old and problem is not None:
        raise problem
    return text


def _replaces_whole(code: str, edit: Edit, old: str) -> bool:
    try:
        before, after = names_of(edit.path, old), names_of(edit.path, code)
    except EditError:
        return False
    return all(_may_drop(edit.scope, name) for name in before - after)


def _whole(found: list[Block], edit: Edit) -> str:
    """The block that is the file: the one labelled with its name, else the largest."""
    labelled = [block for block in found if block.path is not None]
    block = max(labelled or found, key=lambda block: len(block.text))
    if not block.closed and not edit.is_python:
        raise FormatError("The block has no end; write the whole file and close it with ```.")
    return block.text


def _check_dropped(edit: Edit, old: str | None, new: str) -> None:
    if old is None:
        return
    dropped = names_of(edit.path, old) - names_of(edit.path, new)
    kept_back = sorted(name for name in dropped if not _may_drop(edit.scope, name))
    if kept_back:
        raise RefusedError(
            f"The edit drops {', '.join(kept_back[:8])} from {edit.path}, which nobody asked for."
            " Keep everything that the task does not name."
        )


def _may_drop(scope: Scope, name: str) -> bool:
    """Only what the task names, in words that speak of removing."""
    named = scope.mentions(name) or scope.mentions(name.rpartition(".")[2])
    return named and _REMOVES.search(scope.asked) is not None
