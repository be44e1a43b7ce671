"""What the words of a task say about code: names that it uses, and names that it wants to be new."""

from __future__ import annotations

import builtins
import re

__all__ = ["EVERYDAY", "code_words", "new_names", "stands_in"]

_CODE_WORD = re.compile(
    r"`([^`\n]{1,80})`"  # quoted
    r"|\b([A-Za-z_]\w*(?:\.\w+)*)\("  # called
    r"|\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\b"  # dotted
    r"|\b(\w+_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*)\b"  # snake_case, camelCase, CamelCase
)
_NEW = re.compile(
    r"\b(?:(?:function|method|class|helper|property|constant|decorator|def|generator|exception|dataclass)s?\s+)+"
    r"(?:called\s+|named\s+)?[`'\"]?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)"
)
_CALL_SHAPE = re.compile(r"[`'\"]?\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)\s?\(")
_ADDS = re.compile(
    r"\b(?:add|creat|implement|introduc|writ|provid|new|mak|support|need|miss|defin|extract)\w*\b",
    re.IGNORECASE,
)
EVERYDAY = frozenset(
    re.findall(
        r"\w+",
        "add all call change check clear close copy create delete find fix get insert item items list load"
        " make name new open order print put read remove reset return run save send set size sort start"
        " state stop test text type update use user value values write",
    )
)
"""Words that say little when they stand in a sentence, although functions are called so."""
_NO_NAMES = frozenset({"that", "which", "for", "with", "and", "should", "called", "named", "the"})


def code_words(text: str) -> list[str]:
    """Words of ``text`` that look like names in code, in order: quoted, called, dotted, snake or camel."""
    found: dict[str, None] = {}
    for match in _CODE_WORD.finditer(text):
        word = next(group for group in match.groups() if group)
        word = re.split(r"[(\s:=\[]", word.removeprefix("def ").removeprefix("class "))[0]
        if word:
            found[word] = None
    return list(found)


def stands_in(name: str, text: str) -> bool:
    """True when ``name`` stands in ``text`` like an ordinary word, as it is or inflected: "is removed"."""
    plain = set(re.findall(r"[A-Za-z_]\w+", text))
    stems = {re.sub(r"(?:ing|ed|es|[sd])$", "", word.lower()) for word in plain}
    return len(name) > 2 and bool({name, re.sub(r"e$", "", name)} & (plain | stems))


def new_names(text: str) -> list[str]:
    """The names that ``text`` wants to be added; empty when it speaks of adding nothing."""
    if not _ADDS.search(text):
        return []
    found: dict[str, None] = {}
    for pattern in (_NEW, _CALL_SHAPE):
        for match in pattern.finditer(text):
            name = match[1]
            known = hasattr(builtins, name) or name in _NO_NAMES or len(name) < 3
            if not known and (pattern is not _NEW or _looks_named(text, match)):
                found[name] = None
    return list(found)


def _looks_named(text: str, match: re.Match[str]) -> bool:
    """After "function", a bare English word is a name only if it is quoted, called or said to be one."""
    quoted = text[match.start(1) - 1] in "`'\"" or text[match.end(1) : match.end(1) + 1] in {"(", "`"}
    said = re.search(r"\b(?:called|named|def|class)\s+$", text[: match.start(1)]) is not None
    return quoted or said or "_" in match[1]
