"""Ranks a project's files and definitions for a request.

The method is that of aider's repository map (Gauthier, "Building a better repository map with tree
sitter", 2023; ``aider/repomap.py``): files are nodes; a file that mentions a name points at the files
that define it; personalised PageRank gives the files' ranks; each file's rank is handed on along its
edges to the definitions that these stand for. Names that the request uses weigh more, private ones and
those that many files define less. What differs: plain words of the request count, too, by how rare they
are in the project's names, because a request seldom spells names.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.coding.modules import is_test
from swarmd.coding.repomap.focus import Focus, pieces
from swarmd.coding.repomap.pagerank import pagerank
from swarmd.workspace.tags import Definition, Tags

__all__ = ["Ranked", "Ranking", "rank"]

NAMED, LONG, PRIVATE, SHARED = 10.0, 3.0, 0.1, 0.1
"""How many times as much the name counts that an edge stands for: the request uses it; it is of several
words; it begins with an underscore; more than MAX_SHARED files define it."""
MAX_SHARED = 5
MAX_DEFINERS = 20
"""A name that more files define connects nothing."""
SELF = 0.1
"""A definition that nobody mentions has this much of its file's rank."""
MATCH = 20.0
"""How much a definition gains by a word of the request that no other file has."""
BY_PATH, BY_NAME, BY_WORD = 4.0, 3.0, 1.0
_EVERYWHERE = 0.02
"""What each file has of the start, compared with one that a rare word of the request names."""


@dataclass(frozen=True)
class Ranked:
    """One definition's place."""

    path: str
    definition: Definition
    score: float


@dataclass(frozen=True)
class Ranking:
    """A project ranked for a request."""

    files: tuple[tuple[str, float], ...] = ()
    """The project's own files, without tests, the best first: (path, rank)."""
    definitions: tuple[Ranked, ...] = ()
    """What they define, the best first."""
    named: frozenset[str] = frozenset()
    """The files that the request's words or the failing tests speak for, however faintly."""


def rank(files: Mapping[str, Tags], focus: Focus) -> Ranking:
    """``files`` and what they define, ranked for ``focus``. Equal ones are in order of their paths."""
    words = _holders(files, focus)
    wanted = _wanted(files, focus, words)
    edges = _edges(files, focus)
    start = {path: _EVERYWHERE + wanted.get(path, 0.0) for path in files}
    ranks = pagerank({path: _row(row) for path, row in edges.items()}, start)
    total = sum(wanted.values())
    # What files are mentioned by all say little of a request: its own words count as much as the rank.
    both = {path: rank + (wanted.get(path, 0.0) / total if total else 0.0) for path, rank in ranks.items()}
    handed = _hand_on(edges, ranks)
    definitions = [
        Ranked(path, one, _score(handed[path, one.name], both[path], one.name, focus, words))
        for path, tags in files.items()
        if not is_test(path)
        for one in tags.definitions
    ]
    definitions.sort(key=lambda one: (-one.score, one.path, one.definition.line))
    own = [(path, score) for path, score in both.items() if not is_test(path)]
    named = frozenset(path for path, weight in wanted.items() if weight > 0)
    return Ranking(tuple(sorted(own, key=lambda pair: (-pair[1], pair[0]))), tuple(definitions), named)


def _row(row: Mapping[tuple[str, str], float]) -> dict[str, float]:
    merged: dict[str, float] = defaultdict(float)
    for (path, _), weight in row.items():
        merged[path] += weight
    return merged


def _edges(files: Mapping[str, Tags], focus: Focus) -> dict[str, dict[tuple[str, str], float]]:
    """For each file: {(file, name that it defines): weight}."""
    definers: dict[str, dict[str, None]] = defaultdict(dict)
    free: set[str] = set()
    for path, tags in files.items():
        for one in tags.definitions:
            definers[one.name][path] = None
            if one.kind != "method":
                free.add(one.name)
    edges: dict[str, dict[tuple[str, str], float]] = {}
    for path, tags in files.items():
        row: dict[tuple[str, str], float] = {}
        for name, count in tags.references.items():
            places = definers.get(name, {})
            if places and path not in places and len(places) <= MAX_DEFINERS:
                weight = _importance(name, len(places), name in free, focus) * math.sqrt(count)
                row |= {(place, name): weight for place in places if weight}
        edges[path] = row
    return edges


def _importance(name: str, definers: int, free: bool, focus: Focus) -> float:
    factor = 1.0
    if name in focus.names:
        factor *= NAMED
    if len(name) >= 8 and len(pieces(name)) > 1:
        factor *= LONG
    elif not free and name not in focus.names:
        return 0.0  # a short method's name is the name of others' methods, too
    if name.startswith("_"):
        factor *= PRIVATE
    return factor * SHARED if definers > MAX_SHARED else factor


def _hand_on(
    edges: Mapping[str, Mapping[tuple[str, str], float]], ranks: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """What each definition, by file and name, gets of the ranks of the files that mention it."""
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for path, row in edges.items():
        total = sum(row.values())
        for place, weight in row.items():
            scores[place] += ranks.get(path, 0.0) * weight / total
    return scores


def _score(handed: float, file_rank: float, name: str, focus: Focus, words: Mapping[str, set[str]]) -> float:
    share = SELF * file_rank * (PRIVATE if name.startswith("_") else 1.0)
    match = sum(1 / len(words[piece]) for piece in pieces(name) if piece in words)
    return (handed + share) * (NAMED if name in focus.names else 1.0) * (1 + MATCH * match)


def _holders(files: Mapping[str, Tags], focus: Focus) -> dict[str, set[str]]:
    """The request's plain words, with the files in whose names they stand."""
    holders: dict[str, set[str]] = defaultdict(set)
    for path, tags in files.items():
        for name in _names_of(path, tags):
            for word in pieces(name) & focus.words:
                holders[word].add(path)
    return holders


def _wanted(files: Mapping[str, Tags], focus: Focus, words: Mapping[str, set[str]]) -> dict[str, float]:
    """How much the request and the failing tests speak for each file."""
    wanted: dict[str, float] = defaultdict(float)
    for path, weight in focus.files.items():
        if path in files:
            wanted[path] += weight
    for path, tags in files.items():
        if PurePosixPath(path).name in focus.text:
            wanted[path] += BY_PATH
        wanted[path] += BY_NAME * len({one.name for one in tags.definitions} & focus.names)
    for places in words.values():
        for path in places:
            wanted[path] += BY_WORD / len(places)
    return dict(wanted)


def _names_of(path: str, tags: Tags) -> Iterator[str]:
    yield from PurePosixPath(path).with_suffix("").parts[-2:]
    yield from (one.name for one in tags.definitions)
