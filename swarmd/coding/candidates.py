"""A file under consideration, and how likely each of its symbols is to be what a task is about.

Evidence, strongest first: names in the words of the task, the frames of the failing tests, which tests run
the symbol, the calls in the statement that failed, other calls in the test, and what those call in turn.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from swarmd.coding import imports, symbols
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.symbols import Symbol
from swarmd.coding.words import EVERYDAY, stands_in
from swarmd.messages import Spectrum
from swarmd.workspace.tags import Definition, Tags

__all__ = ["NAMED", "NAMED_PLAINLY", "Candidate", "read", "weigh"]

NAMED, NAMED_PLAINLY = 12.0, 4.0
INNERMOST, OUTER = 11.0, 5.0
JUDGED, CALLED = 5.0, 3.0
CALLED_INSIDE = 0.7
TRACED, EQUAL = 10.0, 0.001
"""Once it is known which functions the failing tests call, that is worth more than what the tests' text and
tracebacks say, which only orders functions that are as suspicious."""


@dataclass
class Candidate:
    """A file under consideration."""

    path: str
    source: str | None
    known: list[Symbol] = field(default_factory=list)
    defined: tuple[Definition, ...] = ()
    """What a file in another language than Python defines."""
    imported: frozenset[str] = frozenset()
    scores: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    named: list[str] = field(default_factory=list)
    adds: list[str] = field(default_factory=list)
    score: float = 0.0
    by_words: float = 0.0
    """What the words of the task alone say for it."""


def read(path: str, snapshot: Snapshot, tags: Mapping[str, Tags]) -> Candidate:
    """The file as it is, without any scores."""
    source = snapshot.read(path)
    file = Candidate(path, source)
    if path in tags and not path.endswith((".py", ".pyi")):
        file.defined = tuple(tags[path].definitions)
    if source is not None and path.endswith((".py", ".pyi")):
        try:
            tree = symbols.parse(source.replace("\r\n", "\n"))
        except SyntaxFailedError:
            return file
        file.known = symbols.read(tree)
        file.imported = frozenset(item.binds for item in imports.collect(symbols.statements(tree.body)))
    return file


def weigh(
    file: Candidate,
    text: str,
    words: Sequence[str],
    evidence: Sequence[Evidence],
    spectrum: Spectrum | None = None,
) -> None:
    """Give each symbol of ``file`` its score, and the file its best one's."""
    _weigh_words(file, words)
    _weigh_plain_words(file, text, evidence)
    mentioned = file.path in text or PurePosixPath(file.path).name in text
    by_words = dict(file.scores)
    file.by_words = max(by_words.values(), default=0.0) + (NAMED if mentioned else 0.0)
    for item in evidence:
        inside = [line for path, line in item.frames if path == file.path]
        for line in inside:
            symbol = symbols.at_line([one for one in file.known if one.kind != "class"], line)
            innermost = item.frames[-1] == (file.path, line)
            if symbol:
                file.scores[symbol.name] += INNERMOST if innermost else OUTER
        _weigh_calls(file, item)
    _weigh_inner_calls(file)
    if spectrum is not None and spectrum.suspects:
        _weigh_traced(file, by_words, spectrum)
    file.score = max(file.scores.values(), default=0.0) + (NAMED if mentioned else 0.0)


def _weigh_words(file: Candidate, words: Sequence[str]) -> None:
    for symbol in file.known:
        is_named = any(_same_name(word, symbol) for word in words)
        if is_named:
            file.named.append(symbol.name)
            # A class is named as the place of a method more often than for its own sake.
            file.scores[symbol.name] += NAMED / 2 if symbol.kind == "class" else NAMED
    for one in file.defined:
        if any(word in (one.name, one.qualified) or word.endswith(f".{one.qualified}") for word in words):
            file.named.append(one.qualified)
            file.scores[one.qualified] += NAMED / 2 if one.kind == "class" else NAMED


def _weigh_plain_words(file: Candidate, text: str, evidence: Sequence[Evidence]) -> None:
    """Names that stand in the text like ordinary words; a test that calls them makes them more than that."""
    called = {name for item in evidence for name in item.called}
    for symbol in file.known:
        if symbol.name not in file.named and stands_in(symbol.short, text):
            exact = re.search(rf"\b{re.escape(symbol.short)}\b", text) is not None
            vague = symbol.kind == "constant" or symbol.short in EVERYDAY or not exact
            file.scores[symbol.name] += 1.0 if vague and symbol.short not in called else NAMED_PLAINLY
    for one in file.defined:
        if one.qualified not in file.named and re.search(rf"\b{re.escape(one.name)}\b", text):
            file.scores[one.qualified] += 1.0 if one.name in EVERYDAY else NAMED_PLAINLY


def _same_name(word: str, symbol: Symbol) -> bool:
    if "." in word:
        return word == symbol.name or word.endswith("." + symbol.name) or symbol.name.endswith("." + word)
    return word == symbol.short


def _weigh_calls(file: Candidate, item: Evidence) -> None:
    from_here = {name for name, (path, _) in item.files.items() if path == file.path}
    if not from_here:
        return
    real = {target or name for name, (path, target) in item.files.items() if path == file.path}
    for symbol in file.known:
        if symbol.kind == "class":
            continue
        top = symbol.name.split(".")[0]
        # Calling a class is calling its __init__.
        short = symbol.owner if symbol.short == "__init__" else symbol.short
        reachable = top in real or bool(from_here & {PurePosixPath(file.path).stem}) or symbol.owner == ""
        if reachable and short in item.judged:
            file.scores[symbol.name] += JUDGED
        elif reachable and short in item.called:
            file.scores[symbol.name] += CALLED


def _weigh_inner_calls(file: Candidate) -> None:
    """What a suspect calls in its own file is a suspect too, a lesser one."""
    for symbol in list(file.known):
        score = file.scores.get(symbol.name, 0.0)
        if score < CALLED or symbol.kind == "class":
            continue
        for name in symbols.calls_in(symbol.node):
            for other in file.known:
                if other.short == name and other.name != symbol.name and other.kind != "class":
                    file.scores[other.name] = max(file.scores.get(other.name, 0.0), score * CALLED_INSIDE)


def _weigh_traced(file: Candidate, by_words: Mapping[str, float], spectrum: Spectrum) -> None:
    """Let the suspiciousness of functions take the place of what was guessed from the tests."""
    places = {one.name: place for place, one in enumerate(spectrum.suspects) if one.path == file.path}
    for symbol in file.known:
        if symbol.kind not in ("function", "method"):
            continue
        words = by_words.get(symbol.name, 0.0)
        guessed = file.scores.get(symbol.name, 0.0) - words
        place = places.get(symbol.name)
        traced = 0.0
        if place is not None:
            traced = TRACED * spectrum.suspects[place].score - EQUAL * EQUAL * place
        file.scores[symbol.name] = words + traced + EQUAL * guessed
