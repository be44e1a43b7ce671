"""From a model's reply to the new text of one file.

Reading is tolerant, the effect is strict (see ``effect``). What a reply holds is tried in the order in
which it says most surely what is meant: search/replace blocks, definitions and files in fenced blocks,
diffs, code without a fence. An edit that is refused ends the search; one that cannot be read does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.broken import mend
from swarmd.coding.effect import Edit, Form, breaks, check, check_dropped, may_drop, parses
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError
from swarmd.coding.merge import merge
from swarmd.coding.names import names_of, rough_names
from swarmd.coding.readings import read_code, undone
from swarmd.coding.replace import apply_replacements
from swarmd.coding.reply import Block, bare_code, blocks, is_for, replacements, strip_thinking
from swarmd.coding.tagged import splice_tagged
from swarmd.coding.unified import apply_hunks, hunks, is_diff, path_in

__all__ = ["MAX_REPLY", "Edit", "Form", "read_edit"]

MAX_BLOCKS = 100
"""Most blocks of a reply that are tried: each costs a reading of the file."""
MAX_REPLY = 200_000
"""A longer reply is not read, in characters: no token cap in use lets a model write so much."""
_PYTHON = frozenset({"", "python", "py", "python3", "pyi"})
_PAGES = frozenset({".md", ".mdx"})

_Way = Callable[[], str]


def read_edit(reply: str, edit: Edit, *, cut: bool = False) -> str:
    """The file's new text. ``cut``: the reply reached its token cap.

    Raises FormatError, NothingError, RefusedError or SyntaxFailedError; the message is for the model.
    """
    if len(reply) > MAX_REPLY:
        raise FormatError("The reply is far too long; answer with one block between ``` lines.")
    old = edit.source.replace("\r\n", "\n") if edit.source is not None else None
    try:
        new = _first_that_works(_ways(strip_thinking(reply), edit, old, cut), edit, old)
    except RecursionError:
        raise FormatError("The code is nested too deeply to be read.") from None
    except EditError as error:
        if cut and not isinstance(error, NothingError):
            raise FormatError("The reply was cut at its length limit; answer with less.") from error
        raise
    crlf = edit.source is not None and edit.source.count("\r\n") * 2 > edit.source.count("\n")
    return new.replace("\n", "\r\n") if crlf else new


def _first_that_works(ways: Iterator[_Way], edit: Edit, old: str | None) -> str:
    """The new text by the first of ``ways`` that has one. Raises the first error if none has, or at once
    when an edit that can be read is refused."""
    problem: EditError | None = None
    for way in ways:
        try:
            new = way()
            new = new.rstrip("\n") + "\n" if new.strip() else ""
            check(edit, old, new)
        except RefusedError:
            raise
        except EditError as error:
            problem = problem or error
        else:
            return new
    raise problem or FormatError("The reply holds no code block. Answer with one block between ``` lines.")


def _ways(reply: str, edit: Edit, old: str | None, cut: bool) -> Iterator[_Way]:
    """What the reply may mean, the surest first."""
    changes = [replace(one, closed=one.closed or not cut) for one in replacements(reply)]
    if changes:
        yield (
            lambda: (
                apply_replacements(old, changes)
                if old is not None
                else "\n".join(one.replace for one in changes)
            )
        )
    if changes and edit.is_python and old is not None:
        # Copied inexactly, what is to be replaced is not found; a definition has a name besides.
        written = [Block(one.replace) for one in changes if one.closed and rough_names(one.replace)]
        written = written[:MAX_BLOCKS]
        if written:
            yield lambda: _from_code(written, edit, old, cut)
    page = _bare_page(reply, edit, old, cut)
    if page is not None:
        yield lambda: _from_code([page], edit, old, cut)
        return  # its blocks are its own
    found = _blocks_for(reply, edit)[:MAX_BLOCKS]
    diffs = [block for block in found if is_diff(block.text, block.language)]
    plain = [block for block in found if block not in diffs and not replacements(block.text)]
    if plain:
        yield lambda: _from_code(plain, edit, old, cut)
    if diffs and old is not None:
        yield lambda: apply_hunks(old, [hunk for block in diffs for hunk in hunks(block.text)])
    bare = _bare(reply, cut) if edit.is_python else None
    if bare is not None:
        yield lambda: _from_code([bare], edit, old, cut)


def _blocks_for(reply: str, edit: Edit) -> list[Block]:
    """The blocks meant for the target. Blocks for other files are left out: they are never touched."""
    found = blocks(reply)
    if not found and is_diff(reply, ""):
        found = [Block(reply, "diff")]
    found = [_labelled(block) for block in found]
    ours = [block for block in found if is_for(block, edit.path)]
    if found and not ours:
        raise RefusedError(f"The reply edits {found[0].path}; only {edit.path} may be changed.")
    return ours


def _labelled(block: Block) -> Block:
    """A diff names its file inside the block."""
    path = path_in(block.text) if is_diff(block.text, block.language) else None
    return replace(block, path=path) if path else block


def _bare(reply: str, cut: bool) -> Block | None:
    """Python that stands in no fence."""
    code = bare_code(reply)
    if code is None:
        return None
    # Cut off, its last statement may be whole or not, whatever parses.
    ends_it = cut and code in reply and not reply[reply.index(code) + len(code) :].strip("` \n")
    return Block(code, closed=not ends_it)


def _bare_page(reply: str, edit: Edit, old: str | None, cut: bool) -> Block | None:
    """A page in no fence, that begins as the file does."""
    if PurePosixPath(edit.path).suffix.lower() not in _PAGES or not old or not old.strip() or cut:
        return None
    first = old.strip().split("\n")[0]
    return Block(reply.strip(), "markdown") if reply.strip().split("\n")[0] == first else None


def _from_code(found: Sequence[Block], edit: Edit, old: str | None, cut: bool) -> str:
    if old is None or not old.strip():
        return _whole(found, edit, cut)
    return _merged(found, edit, old, cut) if edit.is_python else _rewritten(found, edit, old, cut)


def _merged(found: Sequence[Block], edit: Edit, old: str, cut: bool) -> str:
    """Python goes in by name, block for block; a whole file that drops nothing replaces the file."""
    python = [block for block in found if block.language in _PYTHON] or found
    is_broken = not parses(old)
    if edit.form == "file" or is_broken:
        for block in reversed(python):
            if _is_whole(block, cut) and _replaces_whole(block.text, edit, old):
                return block.text
    text, problem = old, None
    for block in python:
        put = mend if is_broken and not parses(text) else merge
        try:
            text = put(text, block.text, edit.scope, cut=not _is_whole(block, cut))
        except EditError as error:
            problem = problem or error
    if text == old and problem is not None:
        raise problem
    return text


def _is_whole(block: Block, cut: bool) -> bool:
    """False for the block in which a reply that was cut breaks off."""
    return (block.closed and block.sure) or not cut


def _replaces_whole(code: str, edit: Edit, old: str) -> bool:
    """True for a whole file other than ``old`` that has all of its names, constants too."""
    if not parses(code) or code.strip() == old.strip():
        return False
    after = {symbol.name for symbol in symbols.read(code)}
    if not parses(old):
        return rough_names(old) <= {name.rpartition(".")[2] for name in after}
    return all(may_drop(edit.scope, symbol.name) for symbol in symbols.read(old) if symbol.name not in after)


def _rewritten(found: Sequence[Block], edit: Edit, old: str, cut: bool) -> str:
    """A file that is not Python: a block that has all of its names; else the definitions in the blocks."""
    if names_of(edit.path, old):
        for block in reversed(found):  # models show the old text first
            text = _clean(block, edit)
            if _is_whole(block, cut) and _has_all(edit, old, text):
                return text
    try:
        whole = _whole(found, edit, cut)
        check_dropped(edit, old, whole)
    except EditError:
        text = old
        for block in found:
            put = splice_tagged(edit.path, text, block.text, cut=not _is_whole(block, cut))
            text = text if put is None else put
        if text == old:
            raise
        return text
    return whole


def _has_all(edit: Edit, old: str, text: str) -> bool:
    try:
        check(edit, old, text)
    except EditError:
        return False
    return True


def _whole(found: Sequence[Block], edit: Edit, cut: bool) -> str:
    """The block that is the file: one that has what is to be added, the one labelled with its name, else
    the largest."""
    chosen = [block for block in found if rough_names(block.text) & edit.scope.adds] or [
        block for block in found if block.path is not None
    ]
    block = max(chosen or found, key=lambda block: len(block.text))
    if edit.is_python:
        text = read_code(block.text, cut=not _is_whole(block, cut)).text
        if edit.scope.adds and not edit.scope.adds & {symbol.name for symbol in symbols.read(text)}:
            raise FormatError(f"The reply must define {' or '.join(sorted(edit.scope.adds))}.")
        return text
    if not _is_whole(block, cut):
        raise FormatError("The block has no end; write the whole file and close it with ```.")
    return _clean(block, edit)


def _clean(block: Block, edit: Edit) -> str:
    """The block's text, without what stands around code when it is shown if only so it parses."""
    return next((text for text in undone(block.text) if breaks(edit.path, text) is False), block.text)
