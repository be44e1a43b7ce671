"""Reads what a small model answers: fenced blocks, search/replace edits, or bare code.

Tolerant on purpose: the fence may lack its language or its end, prose may stand around it, and the
file may be spelled differently. What an edit may *do* is decided elsewhere, strictly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.coding import symbols
from swarmd.coding.failure import SyntaxFailedError

__all__ = ["Block", "Replacement", "bare_code", "blocks", "is_for", "replacements", "strip_thinking"]

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
_NESTING = frozenset({"markdown", "md", "mdx", "rst"})
"""Languages whose text holds fences of its own."""
_MAX_TRIES = 200
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


@dataclass(frozen=True)
class Replacement:
    """One search/replace edit."""

    search: str
    replace: str
    closed: bool = True


def strip_thinking(reply: str) -> str:
    """``reply`` without a reasoning model's notes to itself."""
    reply = re.sub(r"<think>.*?</think>", "", reply, flags=re.DOTALL)
    return reply.split("</think>", 1)[-1]


def blocks(reply: str) -> list[Block]:
    """The fenced blocks of ``reply``, in order; without any fence, none."""
    lines = strip_thinking(reply).replace("\r\n", "\n").split("\n")
    found: list[Block] = []
    position = 0
    while position < len(lines):
        opening = _FENCE.match(lines[position])
        if opening is None:
            position += 1
            continue
        end, closed = _end_of_fence(lines, position, opening)
        found.append(_block(lines, position, end, opening, closed))
        position = end + 1
    return [block for block in found if block.text.strip()]


def _end_of_fence(lines: Sequence[str], start: int, opening: re.Match[str]) -> tuple[int, bool]:
    """The line that closes the fence opened at ``start``; the reply's end if there is none."""
    closers = [
        number
        for number in range(start + 1, len(lines))
        if (match := _FENCE.match(lines[number]))
        and match["mark"].startswith(opening["mark"])
        and not match["info"].strip()
    ]
    if not closers:
        return len(lines), False
    language = _language(opening["info"])
    inner_opens = any(
        (match := _FENCE.match(lines[number])) and match["info"].strip()
        for number in range(start + 1, closers[0])
    )
    if language not in _NESTING and (language or not inner_opens):
        return closers[0], True
    # Inner blocks open with a language and close without one: the fence that balances is the end.
    depth = 0
    for number in range(start + 1, len(lines)):
        inner = _FENCE.match(lines[number])
        if inner and inner["info"].strip():
            depth += 1
        elif inner and depth:
            depth -= 1
        elif inner:
            return number, True
    return closers[-1], True


def _language(info: str) -> str:
    match = _LANGUAGE.match(info.strip())
    names_a_file = match is not None and info.strip()[match.end() :].startswith((".", "/"))
    return match[0].lower() if match and not names_a_file else ""


def _block(lines: Sequence[str], start: int, end: int, opening: re.Match[str], closed: bool) -> Block:
    body = [_cut_indent(line, len(opening["indent"])) for line in lines[start + 1 : end]]
    info = opening["info"].strip()
    path = _find_path(info) or _label_above(lines, start)
    language = _language(info)
    if body and language not in _NESTING and (comment := _PATH_COMMENT.match(body[0])):
        path = path or comment[1]
        body = body[1:]
    return Block("\n".join(body), language, path, closed)


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
    """The longest stretch of Python in a reply without fences that begins like code and parses."""
    lines = strip_thinking(reply).replace("\r\n", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if _CODE_START.match(line)]
    for start in starts[:3]:
        for end in range(len(lines), max(start, len(lines) - _MAX_TRIES), -1):
            text = "\n".join(lines[start:end])
            if lines[end - 1].strip() and _parses(text):
                return text
    return None


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
            found.append(Replacement("\n".join(search), "\n".join(replace)))
            search = replace = None
        elif replace is not None:
            replace.append(line)
        elif search is not None:
            search.append(line)
    if search is not None and replace is not None:
        while replace and (not replace[-1].strip() or _FENCE.match(replace[-1])):
            replace.pop()
        found.append(Replacement("\n".join(search), "\n".join(replace), closed=False))
    return found
