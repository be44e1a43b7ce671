"""Finds where a call or a constant ends in running text."""

from __future__ import annotations

import re

from swarmd.verify.examples.syntax import MAX_EXPECTED, MAX_SOURCE, SPECIAL_FLOATS, constant

__all__ = ["take_call", "take_constant"]

_CALL = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\(")
_MORE = re.compile(
    r"(?:\.[A-Za-z_]\w*)*[(\[]|\.[A-Za-z_]\w*(?![\w(.])(?=\s*(?:==|->|=>|→|is\b|should\b|must\b))"
)
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?j?(?![\w])")
_WORD = re.compile(r"(?:True|False|None)\b|(?:set|frozenset|dict|list|tuple)\(\)|" + SPECIAL_FLOATS.pattern)
_STRING = re.compile(r"[rRbBuU]{0,2}(?=['\"])")


def take_call(text: str, start: int) -> int | None:
    """Where the call at ``start`` ends, with what is called or looked up on its result; else None."""
    match = _CALL.match(text, start)
    if match is None:
        return None
    end = _close(text, match.end() - 1, MAX_SOURCE)
    while end is not None and end - start <= MAX_SOURCE:
        more = _MORE.match(text, end)
        if more is None:
            return end
        end = _close(text, more.end() - 1, MAX_SOURCE) if more[0][-1] in "([" else more.end()
    return None


def take_constant(text: str, start: int) -> int | None:
    """Where the constant at ``start`` ends, else None."""
    first = text[start : start + 1]
    end: int | None
    if first and first in "([{":
        end = _close(text, start, MAX_EXPECTED)
    elif match := _WORD.match(text, start) or _NUMBER.match(text, start):
        end = match.end()
    elif match := _STRING.match(text, start):
        end = _string_end(text, match.end())
    else:
        return None
    return end if end is not None and constant(text[start:end]) is not None else None


def _close(text: str, start: int, most: int) -> int | None:
    """The position behind the bracket that closes the one at ``start``, at most ``most`` characters on;
    what stands in strings does not count."""
    open_brackets: list[str] = []
    position, limit = start, min(len(text), start + most)
    while position < limit:
        char = text[position]
        if char in "'\"":
            end = _string_end(text, position)
            if end is None:
                return None
            position = end
            continue
        if char in "([{":
            open_brackets.append(char)
        elif char in ")]}":
            if not open_brackets or "([{".index(open_brackets.pop()) != ")]}".index(char):
                return None
            if not open_brackets:
                return position + 1
        position += 1
    return None


def _string_end(text: str, start: int) -> int | None:
    quote = text[start] * 3 if text.startswith(text[start] * 3, start) else text[start]
    position, limit = start + len(quote), min(len(text), start + MAX_EXPECTED)
    while position < limit:
        if text[position] == "\\":
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        elif text[position] == "\n" and len(quote) == 1:
            return None
        else:
            position += 1
    return None
