"""Reads what a small model answers: fenced blocks, search/replace edits, or bare code.

Tolerant on purpose: the fence may lack its language or its end, prose may stand around it, and the
file may be spelled differently. What an edit may *do* is decided elsewhere, strictly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.splice import indent_of

__all__ = [
    "Block",
    "Replacement",
    "bare_code",
    "blocks",
    "continued",
    "is_for",
    "replacements",
    "strip_thinking",
]

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
_LANGUAGE = re.compile(r"^[A-Za-z0-9_+#-]+")
_EXTENSIONS = (
    "py|pyi|js|mjs|cjs|jsx|ts|tsx|json|toml|ya?ml|md|mdx|rst|txt|html?|css|cfg|ini|sh|sql"
    "|go|rs|java|rb|php|[ch](?:pp)?"
)
_PATH = re.compile(rf"(?<![\w/.-])((?:[\w.-]+/)*[\w-][\w.-]*\.(?:{_EXTENSIONS}))(?![\w/])")
_PATH_COMMENT = re.compile(
    rf"^\s*(?:#|//|--|/\*|<!--)\s*(?:file(?:name)?:?\s*)?(\S+\.(?:{_EXTENSIONS}))\s*(?:\*/|-->)?\s*$",
    re.IGNORECASE,
)
_CODE_START = re.compile(
    r"^\s*(?:@\w|async def |def |class |import |from \w[\w.]* import |[A-Z_][A-Z0-9_]* ?[:=])"
)
_SEARCH = re.compile(r"^\s*<{5,9}[ \t]*(?:SEARCH|ORIGINAL|HEAD)?[ \t]*$", re.IGNORECASE)
_MIDDLE = re.compile(r"^\s*={5,9}[ \t]*$")
_REPLACE = re.compile(r"^\s*>{5,9}[ \t]*(?:REPLACE|UPDATED)?[ \t]*$", re.IGNORECASE)
_LANGUAGES = frozenset({"python", "py", "javascript", "js", "typescript", "ts", "json", "go", "java"})
_NESTING = frozenset({"markdown", "md", "mdx", "rst"})
"""Languages whose text holds fences of its own."""
_MAX_TRIES = 200
_MAX_TRIED = 2_000_000
"""Characters that are parsed at most, over all tries."""
_MAX_BLOCKS = 100
_LABEL_WORDS = 3


@dataclass(frozen=True)
class Block:
    """One fenced block of a reply."""

    text: str
    language: str = ""
    path: str | None = None
    """The file that the model said it is for, as spelled by the model."""
    closed: bool = True
    """False when the reply ended before the fence did."""
    sure: bool = True
    """False when a fence inside it has no end, so that its own may be that one's."""


@dataclass(frozen=True)
class Replacement:
    """One search/replace edit."""

    search: str
    replace: str
    closed: bool = True


def continued(begun: str, reply: str, indent: str) -> str:
    """The whole reply to a prompt that ended with ``begun``, the head of a function in a block: ``reply``
    goes on with its body, which stands at ``indent``, unless the server let the model begin anew."""
    text = strip_thinking(reply).replace("\r\n", "\n")
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if _begins_anew(lines, first):
        return reply
    if not begun.endswith("\n"):
        return begun + text  # it goes on within a line
    if not first.startswith(indent[:1] or first[:1]):
        text = "\n".join(line if _FENCE.match(line) or not line.strip() else indent + line for line in lines)
    return begun + text.lstrip("\n")


def _begins_anew(lines: Sequence[str], first: str) -> bool:
    """Whether they are a reply of their own: a block, a definition, or prose before one."""
    if _FENCE.match(first) or (first[:1].strip() and _CODE_START.match(first)):
        return True
    after_fences = (
        following for line, following in pairwise(lines) if _FENCE.match(line) and following.strip()
    )
    return bool(first[:1].strip()) and any(_CODE_START.match(line) for line in after_fences)


def strip_thinking(reply: str) -> str:
    """``reply`` without a reasoning model's notes to itself."""
    *thoughts, rest = reply.split("</think>")
    kept: list[str] = []
    for thought in thoughts:
        before, begins, _ = thought.partition("<think>")
        if begins:
            kept.append(before)
        else:  # it began with the reply
            kept.clear()
    return "".join([*kept, rest])


def blocks(reply: str) -> list[Block]:
    """The fenced blocks of ``reply``, in order; without any fence, none."""
    lines = strip_thinking(reply).replace("\r\n", "\n").split("\n")
    fences = [(number, match) for number, line in enumerate(lines) if (match := _FENCE.match(line))]
    found: list[Block] = []
    position = 0
    while position < len(fences) and len(found) < _MAX_BLOCKS:
        start, opening = fences[position]
        is_last = not any(line.strip() for line in lines[fences[-1][0] + 1 :])
        closing, sure = _closing(fences, position, is_last)
        end = fences[closing][0] if closing else len(lines)
        block = _block(lines, start, end, opening)
        found.append(replace(block, closed=closing is not None, sure=sure))
        position = closing + 1 if closing else len(fences)
    return [block for block in found if block.text.strip()]


def _closing(
    fences: Sequence[tuple[int, re.Match[str]]], position: int, is_last: bool
) -> tuple[int | None, bool]:
    """Which of ``fences`` closes the one at ``position``, None if none does; and whether that is sure.
    ``is_last``: nothing comes after the last of them."""
    opening, after = fences[position][1], range(position + 1, len(fences))
    mark, language = opening["mark"], _language(opening["info"])
    plain = (n for n in after if fences[n][1]["mark"].startswith(mark) and not fences[n][1]["info"].strip())
    first = next(plain, None)
    if first is None:
        return None, True
    inner_opens = any(fences[number][1]["info"].strip() for number in range(position + 1, first))
    if language not in _NESTING and (language or not inner_opens):
        return first, True
    # Inner blocks open with a language and close without one: the fence that balances is the end.
    depth = 0
    for number in after:
        if fences[number][1]["info"].strip():
            depth += 1
        elif depth:
            depth -= 1
        else:
            return number, True
    last = max(plain, default=first)
    # The blocks inside all have their ends, or the last of them ends with the reply: then this has none.
    return (None if not depth or (last == len(fences) - 1 and is_last) else last), False


def _language(info: str) -> str:
    match = _LANGUAGE.match(info.strip())
    names_a_file = match is not None and info.strip()[match.end() :].startswith((".", "/"))
    return match[0].lower() if match and not names_a_file else ""


def _block(lines: Sequence[str], start: int, end: int, opening: re.Match[str]) -> Block:
    body = [_cut_indent(line, len(opening["indent"])) for line in lines[start + 1 : end]]
    info = opening["info"].strip()
    path = _find_path(info) or _label_above(lines, start)
    language = _language(info)
    if body and not language and (own := body[0].strip().lower()) in _LANGUAGES:
        language, body = own, body[1:]  # it slipped to the next line
    if body and language not in _NESTING and (comment := _PATH_COMMENT.match(body[0])):
        path = path or comment[1]
        body = body[1:]
    return Block("\n".join(body), language, path)


def _cut_indent(line: str, width: int) -> str:
    """A fence inside a list is indented, and its content with it."""
    return line[width:] if not line[:width].strip() else line


def _label_above(lines: Sequence[str], start: int) -> str | None:
    """The path that stands by itself, or nearly so, above a fence; one inside a sentence is no label."""
    above = [line for line in lines[max(0, start - 2) : start] if line.strip()]
    path = _find_path(above[-1]) if above else None
    if path is None or len(re.findall(r"[A-Za-z']+", above[-1].replace(path, ""))) > _LABEL_WORDS:
        return None
    return path


def _find_path(text: str) -> str | None:
    match = _PATH.search(text)
    return match[1] if match else None


def is_for(block: Block, path: str) -> bool:
    """True unless the block is labelled with another file; ``./shop\\cart.py`` is ``shop/cart.py``."""
    if block.path is None:
        return True
    said = PurePosixPath(block.path.replace("\\", "/"))
    return said.name.casefold() == PurePosixPath(path).name.casefold()


def bare_code(reply: str) -> str | None:
    """The longest stretch of Python in a reply without fences that begins like code and parses.

    It ends where a statement does: what follows stands no deeper.
    """
    lines = strip_thinking(reply).replace("\r\n", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if _CODE_START.match(line)]
    tried = 0
    for start in starts[:3]:
        for end in range(len(lines), max(start, len(lines) - _MAX_TRIES), -1):
            if not lines[end - 1].strip() or not _ends_there(lines, start, end) or tried > _MAX_TRIED:
                continue
            text = "\n".join(lines[start:end])
            tried += len(text)
            if _parses(text):
                return text
    return None


def _ends_there(lines: Sequence[str], start: int, end: int) -> bool:
    following = next((line for line in lines[end:] if line.strip()), "")
    return len(indent_of(following)) <= len(indent_of(lines[start]))


def _parses(text: str) -> bool:
    try:
        return bool(symbols.parse(text).body)
    except SyntaxFailedError:
        return False


def replacements(reply: str) -> list[Replacement]:
    """The search/replace edits of ``reply``; the words after the markers and the last marker may lack."""
    found: list[Replacement] = []
    search: list[str] | None = None
    replace: list[str] | None = None
    for line in strip_thinking(reply).replace("\r\n", "\n").split("\n"):
        if _SEARCH.match(line):
            search, replace = [], None
        elif search is not None and replace is None and _MIDDLE.match(line):
            replace = []
        elif search is not None and replace is not None and _REPLACE.match(line):
            found.append(_replacement(search, replace))
            search = replace = None
        elif replace is not None:
            replace.append(line)
        elif search is not None:
            search.append(line)
    if search is not None and replace is not None:
        while replace and (not replace[-1].strip() or _FENCE.match(replace[-1])):
            replace.pop()
        found.append(_replacement(search, replace, closed=False))
    return found


def _replacement(search: list[str], replace: list[str], *, closed: bool = True) -> Replacement:
    """Without the fences that models put around either side."""
    sides = []
    for side in (search, replace):
        filled = [number for number, line in enumerate(side) if line.strip()]
        if len(filled) > 1 and all(_FENCE.match(side[number]) for number in (filled[0], filled[-1])):
            side = side[filled[0] + 1 : filled[-1]]
        sides.append("\n".join(side))
    return Replacement(sides[0], sides[1], closed)
