"""Which file, and which symbols of it, a task is about.

Evidence, strongest first: names in the words of the task, the frames of the failing tests, the calls
in the statement that failed, other calls in the test, and what those call in turn.
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
from swarmd.coding.modules import file_of, is_test
from swarmd.coding.repomap import focus_on, rank
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.symbols import Symbol
from swarmd.coding.words import EVERYDAY, code_words, new_names, stands_in
from swarmd.messages import Survey
from swarmd.workspace.tags import Definition, Tags

__all__ = ["MAX_FILES", "Target", "choose"]

MAX_FILES = 3
"""Most files that one sample edits, each with a call of its own."""
MAX_READ = 60
"""Most files that are searched when a packet owns none."""
MAX_MAPPED = 20
"""Most of them that are searched because of their place in the project's map."""
MAX_TOGETHER = 3
"""Most symbols that one reply is asked to rewrite."""

NAMED, NAMED_PLAINLY = 12.0, 4.0
INNERMOST, OUTER = 11.0, 5.0
JUDGED, CALLED = 5.0, 3.0
CALLED_INSIDE, CLOSE = 0.7, 0.4


@dataclass(frozen=True)
class Target:
    """One file to edit."""

    path: str
    source: str | None
    """None: the file is to be made."""
    choices: tuple[tuple[str, ...], ...] = ()
    """Groups of symbols to rewrite, the likeliest first; empty when nothing is known."""
    adds: tuple[str, ...] = ()
    """Symbols to add, by qualified name."""
    score: float = 0.0
    names: tuple[str, ...] = ()
    """Definitions that the task names, by qualified name, in a file that is not Python."""

    def symbols_for(self, sample: int) -> tuple[str, ...]:
        """What sample number ``sample`` (from 1) rewrites: when it is not sure, samples try others."""
        return self.choices[(sample - 1) % len(self.choices)] if self.choices else ()


@dataclass
class _File:
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


def choose(
    owned: Sequence[str],
    text: str,
    survey: Survey,
    snapshot: Snapshot,
    evidence: Sequence[Evidence],
    tags: Mapping[str, Tags] | None = None,
) -> list[Target]:
    """The files to edit, the likeliest first, at most MAX_FILES; empty when nothing points at any.

    ``owned``: the only files that may change; empty: any source file of the project.
    ``text``: the task in its user's and planner's words.
    ``tags``: what the project's files define and mention; their ranking for the task decides when
    neither its words nor the failing tests do.
    """
    mapped = _by_map(owned, text, evidence, tags or {})
    candidates = _candidates(owned, text, survey, evidence, mapped)
    files = [_read(path, snapshot, tags or {}) for path in candidates[:MAX_READ]]
    words = code_words(text)
    for file in files:
        _weigh(file, text, words, evidence, survey)
    for file in files:
        _find_additions(file, files, text, evidence, survey)
    chosen = _select(files, owned) or [file for file in files if file.path in mapped[:1]]
    return [_target(file) for file in chosen]


def _by_map(
    owned: Sequence[str], text: str, evidence: Sequence[Evidence], tags: Mapping[str, Tags]
) -> list[str]:
    """The files that the task's words speak for however faintly, by their place in the project's map."""
    if not tags or len(owned) == 1:
        return []
    ranking = rank(tags, focus_on(text, owned, evidence))
    return [path for path, _ in ranking.files if path in ranking.named]


def _candidates(
    owned: Sequence[str], text: str, survey: Survey, evidence: Sequence[Evidence], mapped: Sequence[str]
) -> list[str]:
    """The files to look into, in the order in which equally likely ones are taken."""
    places = {path: place for place, path in enumerate(mapped)}
    found = list(owned) or [path for path in survey.files if not is_test(path)]
    if not owned and len(found) > MAX_READ:
        touched = {path for item in evidence for path, _ in (*item.frames, *item.files.values())}
        touched |= {*mapped[:MAX_MAPPED]}
        found = [path for path in found if path in touched or PurePosixPath(path).name in text]
    return sorted(found, key=lambda path: places.get(path, len(places)))


def _read(path: str, snapshot: Snapshot, tags: Mapping[str, Tags]) -> _File:
    source = snapshot.read(path)
    file = _File(path, source)
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


def _weigh(
    file: _File, text: str, words: Sequence[str], evidence: Sequence[Evidence], survey: Survey
) -> None:
    _weigh_words(file, words)
    _weigh_plain_words(file, text, evidence)
    mentioned = file.path in text or PurePosixPath(file.path).name in text
    file.by_words = max(file.scores.values(), default=0.0) + (NAMED if mentioned else 0.0)
    for item in evidence:
        inside = [line for path, line in item.frames if path == file.path]
        for line in inside:
            symbol = symbols.at_line([one for one in file.known if one.kind != "class"], line)
            innermost = item.frames[-1] == (file.path, line)
            if symbol:
                file.scores[symbol.name] += INNERMOST if innermost else OUTER
        _weigh_calls(file, item)
    _weigh_inner_calls(file)
    file.score = max(file.scores.values(), default=0.0) + (NAMED if mentioned else 0.0)


def _weigh_words(file: _File, words: Sequence[str]) -> None:
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


def _weigh_plain_words(file: _File, text: str, evidence: Sequence[Evidence]) -> None:
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


def _weigh_calls(file: _File, item: Evidence) -> None:
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


def _weigh_inner_calls(file: _File) -> None:
    """What a suspect calls in its own file is a suspect too, a lesser one."""
    for symbol in list(file.known):
        score = file.scores.get(symbol.name, 0.0)
        if score < CALLED or symbol.kind == "class":
            continue
        for name in symbols.calls_in(symbol.node):
            for other in file.known:
                if other.short == name and other.name != symbol.name and other.kind != "class":
                    file.scores[other.name] = max(file.scores.get(other.name, 0.0), score * CALLED_INSIDE)


def _find_additions(
    file: _File, files: Sequence[_File], text: str, evidence: Sequence[Evidence], survey: Survey
) -> None:
    """Names that the task or a failing test wants this file to define, and it does not."""
    if not file.path.endswith((".py", ".pyi")):
        return
    for item in evidence:
        for owner, name in item.absent:
            if owner in {symbol.name for symbol in file.known if symbol.kind == "class"}:
                file.adds.append(f"{owner}.{name}")
            elif file_of(owner, survey.files) == file.path:
                file.adds.append(name)
    if not file.adds:
        everywhere = {symbol.short for other in files for symbol in other.known}
        for name in new_names(text):
            owner, _, short = name.rpartition(".")
            if short not in everywhere and short not in file.imported:
                owner = owner if any(s.name == owner for s in file.known) else _class_for(file, text)
                file.adds.append(f"{owner}.{short}" if owner else short)
    file.adds = list(dict.fromkeys(file.adds))[:MAX_TOGETHER]
    if file.adds and file.score == 0:
        file.score = 1.0


def _class_for(file: _File, text: str) -> str:
    """The class that a new method is for: the only one that the text names."""
    if not re.search(r"\b(?:method|property|attribute)\b", text):
        return ""
    classes = [symbol.name for symbol in file.known if symbol.kind == "class"]
    named = [name for name in classes if re.search(rf"\b{re.escape(name)}\b", text)]
    chosen = named or (classes if len(classes) == 1 else [])
    return chosen[0] if len(chosen) == 1 else ""


def _select(files: Sequence[_File], owned: Sequence[str]) -> list[_File]:
    """The best file, and with it those that the task names, that are to be made, or that are as likely."""
    ranked = sorted(files, key=lambda file: -file.score)
    if owned and len(ranked) == 1:
        return list(ranked)
    best = ranked[0].score if ranked else 0.0
    if best == 0:
        return list(ranked[:MAX_FILES]) if owned else ranked[:1] if len(ranked) == 1 else []
    chosen = [
        file
        for file in ranked
        if file.score >= max(best * 0.6, NAMED) or file.by_words >= NAMED_PLAINLY or file.source is None
    ]
    chosen = chosen or ranked[:1]
    return chosen[:MAX_FILES] if owned else chosen[:1]


def _target(file: _File) -> Target:
    if file.defined:
        return Target(file.path, file.source, names=tuple(dict.fromkeys(file.named)), score=file.score)
    named = [name for name in file.named if not _stands_for_place(name, file)]
    ranked = sorted(
        (symbol for symbol in file.known if file.scores.get(symbol.name, 0) > 0 and symbol.kind != "class"),
        key=lambda symbol: -file.scores[symbol.name],
    )
    choices: list[tuple[str, ...]] = []
    if named:
        choices.append(tuple(dict.fromkeys(named))[:MAX_TOGETHER])
    elif ranked and not file.adds:
        best = file.scores[ranked[0].name]
        close = [symbol for symbol in ranked if file.scores[symbol.name] >= best * CLOSE]
        choices += [(symbol.name,) for symbol in close[:MAX_TOGETHER]]
    return Target(file.path, file.source, tuple(choices), tuple(file.adds), file.score)


def _stands_for_place(name: str, file: _File) -> bool:
    """A class is only the place when one of its members is named, or is to be added, as well."""
    symbol = next(symbol for symbol in file.known if symbol.name == name)
    others = [*file.adds, *(other for other in file.named if other != name)]
    return symbol.kind == "class" and any(other.startswith(name + ".") for other in others)
