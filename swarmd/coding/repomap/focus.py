"""What a request is about, as far as its words and the failing tests tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from swarmd.coding.evidence import Evidence
from swarmd.coding.words import EVERYDAY, code_words

__all__ = ["Focus", "focus_on", "pieces", "stem"]

MAX_WORDS = 400
"""Most words of a request that count."""
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "about after and any are because been before but can cannot code could does done each else error fail"
        " fails failing file files for from function has have how into its just line must not now only other"
        " please project same should some such than that the their them then there these they this those"
        " was what when where which while who why will with without works wrong would you your",
    )
)
_FRAMED, _TOUCHED, _OWNED = 3.0, 1.5, 2.0


@dataclass(frozen=True)
class Focus:
    """Names, plain words and files that a request is about."""

    names: frozenset[str] = frozenset()
    """Names in code as the request spells them, without what stands before their last dot."""
    words: frozenset[str] = frozenset()
    """Stems of its other words that say something."""
    text: str = ""
    """All of it, to look for paths in."""
    files: dict[str, float] = field(default_factory=dict)
    """Files that the failing tests touch or the task owns, by weight."""


def focus_on(text: str, owned: Collection[str] = (), evidence: Sequence[Evidence] = ()) -> Focus:
    """The focus of a task with these words, whose patch may touch ``owned``."""
    names = {part for word in code_words(text) for part in word.split(".")[-2:]}
    plain = re.findall(r"[A-Za-z][a-z]{2,}", text)[:MAX_WORDS]
    words = {stem(word) for word in plain if word.lower() not in _COMMON | EVERYDAY}
    files = dict.fromkeys(owned, _OWNED)
    for item in evidence:
        for path, weight in _touched(item):
            files[path] = files.get(path, 0.0) + weight
    return Focus(frozenset(names), frozenset(words), text, files)


def _touched(item: Evidence) -> Iterable[tuple[str, float]]:
    yield from ((path, _FRAMED) for path in {path for path, _ in item.frames})
    yield from ((path, _TOUCHED) for path in {path for path, _ in item.files.values()})


@lru_cache(maxsize=65_536)
def pieces(name: str) -> frozenset[str]:
    """The stems of the words in a name: ``parseHTTPDate`` gives pars, http, date."""
    return frozenset(stem(piece) for piece in _PIECE.findall(name) if len(piece) > 2)


def stem(word: str) -> str:
    """``word`` in lower case without the usual endings, so that "parsing" meets ``parse``."""
    low = word.lower()
    for ending in ("ings", "ing", "ied", "ies", "ed", "es", "er", "s", "e"):
        if low.endswith(ending) and len(low) - len(ending) >= 3:
            return low.removesuffix(ending)
    return low
