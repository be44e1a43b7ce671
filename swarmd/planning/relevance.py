"""Which files of a project matter to a request, and what they hold, in a few lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.messages import Survey
from swarmd.planning.mentions import Read
from swarmd.planning.paths import DOCUMENTS, SOURCES, changeable

__all__ = ["RankedFile", "fitting", "rank", "words"]

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FILLERS = """
the and for with that this from into our all its are was has have not but when then than should must can
will add fix new use make write create implement file function method class test code project please
support return init main src lib def app
"""
_STOP = frozenset(_FILLERS.split())
_SIGNATURE = re.compile(
    r"^(?:export\s+(?:default\s+)?)?"
    r"((?:async\s+)?def\s+\w+\s*\([^)\n]*\)|(?:async\s+)?function\*?\s+\w+\s*\([^)\n]*\)|class\s+\w+)",
    re.MULTILINE,
)
_VENDORED = frozenset({"node_modules", "vendor", "third_party", "dist", "build", "site-packages"})
_MAX_READ = 40
"""Files that are looked into: the ones whose paths fit best."""
_MAX_SIGNATURES, _MAX_SIGNATURE = 8, 80


@dataclass(frozen=True)
class RankedFile:
    """A file that an agent may change, and how well it fits the request (0: not at all)."""

    path: str
    score: int
    signatures: tuple[str, ...] = ()


def words(text: str) -> set[str]:
    """The telling words of ``text``: identifiers are taken apart, plurals and fillers dropped."""
    found = {word.lower() for word in _WORD.findall(text[:16_000])}
    return {word.removesuffix("s") for word in found if len(word) > 2} - _STOP


def rank(text: str, survey: Survey, read: Read, pointed: Iterable[str] = ()) -> list[RankedFile]:
    """The project's files that agents may change, best first; ``pointed`` are known to matter."""
    wanted = _stems(text)
    boost = {path: 20 - place for place, path in enumerate(pointed)}
    paths = [path for path in changeable(survey) if _is_own_text(path)]
    paths.sort(key=lambda p: (-boost.get(p, 0) - _path_score(p, wanted), p.count("/"), p))
    ranked = [_look(path, wanted, boost.get(path, 0), read) for path in paths[:_MAX_READ]]
    ranked += [RankedFile(path, 0) for path in paths[_MAX_READ:]]
    return sorted(ranked, key=lambda file: -file.score)


def fitting(ranked: Sequence[RankedFile], most: int) -> list[RankedFile]:
    """Those of ``ranked`` that have something to do with the request; if none has, the first ones.

    A small model plans work for every file that it is shown, so what does not fit is not shown.
    """
    return ([file for file in ranked if file.score] or list(ranked))[:most]


def _stems(text: str) -> set[str]:
    """Beginnings of the telling words: "expiry" meets "expires", "numbering" meets "number"."""
    return {word[:5] for word in words(text)}


def _is_own_text(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.suffix.removeprefix(".") in SOURCES | DOCUMENTS and not _VENDORED.intersection(pure.parts)


def _path_score(path: str, wanted: set[str]) -> int:
    return 3 * len(wanted & _stems(str(PurePosixPath(path).with_suffix(""))))


def _look(path: str, wanted: set[str], boost: int, read: Read) -> RankedFile:
    lines = [" ".join(match[1].split()) for match in _SIGNATURE.finditer(read(path) or "")]
    lines = [line.removeprefix("def ").removeprefix("function ") for line in lines]
    telling = sorted(lines, key=lambda line: -len(wanted & _stems(line)))  # stable: else in file order
    score = boost + _path_score(path, wanted) + sum(bool(wanted & _stems(line)) for line in lines)
    shown = tuple(line[:_MAX_SIGNATURE] for line in telling[:_MAX_SIGNATURES])
    return RankedFile(path, score, shown)
