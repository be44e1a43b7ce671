"""Which file, and which symbols of it, a task is about."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmd.coding.candidates import NAMED, NAMED_PLAINLY, Candidate, read, weigh
from swarmd.coding.evidence import Evidence
from swarmd.coding.modules import file_of, is_test
from swarmd.coding.repomap import focus_on, rank
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.words import code_words, new_names
from swarmd.messages import Spectrum, Survey
from swarmd.workspace.tags import Tags

__all__ = ["MAX_FILES", "Target", "choose"]

MAX_FILES = 3
"""Most files that one sample edits, each with a call of its own."""
MAX_READ = 60
"""Most files that are searched when a packet owns none."""
MAX_MAPPED = 20
"""Most of them that are searched because of their place in the project's map."""
MAX_TOGETHER = 3
"""Most symbols that one reply is asked to rewrite."""

CLOSE = 0.4
"""What has at least this share of the best score is tried by later samples."""


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


def choose(
    owned: Sequence[str],
    text: str,
    survey: Survey,
    snapshot: Snapshot,
    evidence: Sequence[Evidence],
    tags: Mapping[str, Tags] | None = None,
    *,
    sample: int = 1,
    repaired: Collection[str] = (),
) -> list[Target]:
    """The files to edit, the likeliest first, at most MAX_FILES; empty when nothing points at any.

    ``owned``: the only files that may change; empty: any source file of the project.
    ``text``: the task in its user's and planner's words.
    ``tags``: what the project's files define and mention; their ranking for the task decides when
    neither its words nor the failing tests do.
    ``sample``: number of the sample, from 1; where it is known which functions the failing tests call,
    samples try other suspects, in whichever file. ``repaired``: files that the patch changes that is to be
    repaired; where they hold suspects, no other file is tried.
    """
    spectrum = survey.spectrum if evidence else None
    mapped = _by_map(owned, text, evidence, tags or {})
    candidates = _candidates(owned, text, survey, evidence, mapped)
    files = [read(path, snapshot, tags or {}) for path in candidates[:MAX_READ]]
    words = code_words(text)
    for file in files:
        weigh(file, text, words, evidence, spectrum)
    for file in files:
        _find_additions(file, files, text, evidence, survey)
    suspects = _suspects(files, spectrum)
    if suspects:
        return [_in_turn(suspects, sample, repaired)]
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
        touched |= {*mapped[:MAX_MAPPED], *_traced_files(survey)}
        found = [path for path in found if path in touched or PurePosixPath(path).name in text]
    return sorted(found, key=lambda path: places.get(path, len(places)))


def _traced_files(survey: Survey) -> set[str]:
    return {one.path for one in survey.spectrum.suspects} if survey.spectrum is not None else set()


def _find_additions(
    file: Candidate, files: Sequence[Candidate], text: str, evidence: Sequence[Evidence], survey: Survey
) -> None:
    """Names that the task or a failing test wants this file to define, and it does not."""
    if not file.path.endswith((".py", ".pyi")):
        return
    for item in evidence:
        for owner, name in item.absent:
            if item.frames and survey.spectrum is not None and name not in text:
                continue  # what the project's own code asks the wrong object for, rather than what it lacks
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


def _class_for(file: Candidate, text: str) -> str:
    """The class that a new method is for: the only one that the text names."""
    if not re.search(r"\b(?:method|property|attribute)\b", text):
        return ""
    classes = [symbol.name for symbol in file.known if symbol.kind == "class"]
    named = [name for name in classes if re.search(rf"\b{re.escape(name)}\b", text)]
    chosen = named or (classes if len(classes) == 1 else [])
    return chosen[0] if len(chosen) == 1 else ""


def _suspects(files: Sequence[Candidate], spectrum: Spectrum | None) -> list[tuple[Candidate, str]]:
    """The functions that one defect would have to be in, the likeliest first; none when the task names what
    it is about, or no single function has part in all failures."""
    if spectrum is None or any(file.named or file.adds for file in files):
        return []
    if not any(one.failed == spectrum.failed for one in spectrum.suspects):
        return []
    traced = {(one.path, one.name) for one in spectrum.suspects}
    found = [
        (file.scores[symbol.name], file, symbol.name)
        for file in files
        for symbol in file.known
        if symbol.kind in ("function", "method") and (file.path, symbol.name) in traced
    ]
    found.sort(key=lambda one: -one[0])
    return [(file, name) for score, file, name in found if score >= found[0][0] * CLOSE][:MAX_TOGETHER]


def _in_turn(suspects: Sequence[tuple[Candidate, str]], sample: int, repaired: Collection[str]) -> Target:
    """The target of one sample: its turn decides the file, and its other choices are those in that file."""
    kept = [one for one in suspects if one[0].path in repaired] or list(suspects)
    file, name = kept[(sample - 1) % len(kept)]
    choices = tuple((other,) if candidate is file else (name,) for candidate, other in kept)
    return Target(file.path, file.source, choices, score=file.score)


def _select(files: Sequence[Candidate], owned: Sequence[str]) -> list[Candidate]:
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


def _target(file: Candidate) -> Target:
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


def _stands_for_place(name: str, file: Candidate) -> bool:
    """A class is only the place when one of its members is named, or is to be added, as well."""
    symbol = next(symbol for symbol in file.known if symbol.name == name)
    others = [*file.adds, *(other for other in file.named if other != name)]
    return symbol.kind == "class" and any(other.startswith(name + ".") for other in others)
