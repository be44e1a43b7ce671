"""The examples of a request: from its text, from docstrings and from the README of the base commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarmd.messages import Request
from swarmd.messages.example import MAX_EXAMPLES, Example, Origin, Step
from swarmd.verify.discover import Tree
from swarmd.verify.examples.asked import Asked
from swarmd.verify.examples.described import WORD, described
from swarmd.verify.examples.pairs import is_suspicious, pairs
from swarmd.verify.examples.project import Definition, Project
from swarmd.verify.examples.resolve import Resolver, Uses
from swarmd.verify.examples.sessions import imports_in, sessions
from swarmd.verify.examples.syntax import constant, normalised

__all__ = ["collect"]

MAX_TEXT = 200_000
"""Most characters of one text that are read."""
MAX_DOCSTRINGS = 400
MAX_CANDIDATES = 600
MAX_ID = 110

_README = re.compile(r"readme(?:\.(?:md|rst|txt))?", re.IGNORECASE)


@dataclass(frozen=True)
class _Source:
    """One text with examples in it."""

    origin: Origin
    text: str
    path: str | None = None
    first_line: int = 1
    definition: Definition | None = None


@dataclass(frozen=True)
class _Found:
    line: int
    steps: tuple[Step, ...]
    doubtful: bool


def collect(request: Request, tree: Tree) -> tuple[list[Example], list[str]]:
    """At most MAX_EXAMPLES examples, those of the request first, and warnings about those that contradict
    each other. Runs nothing."""
    project = Project(tree)
    asked = Asked(request, project)
    found: list[Example] = []
    for source in _sources(asked, project, tree):
        hints = imports_in(source.text)
        for one in _read(source):
            example = _example(one, source, hints, asked, project)
            if example is not None:
                found.append(example)
        if len(found) >= MAX_CANDIDATES:
            break
    agreed, warnings = _without_contradictions(found)
    return _named(agreed[:MAX_EXAMPLES]), warnings


# texts


def _sources(asked: Asked, project: Project, tree: Tree) -> Iterator[_Source]:
    """The most important first."""
    yield _Source("request", asked.text[:MAX_TEXT].encode("utf-8", "replace").decode())
    documented = list(_documented(asked, project))
    about = [one for one in documented if asked.is_about(one)]
    yield from map(_docstring, about)
    named = [one for one in documented if one.path in asked.files and one not in about]
    yield from map(_docstring, named)
    for path in sorted(path for path in tree.files if _README.fullmatch(path)):
        yield _Source("readme", tree.text(path).replace("\r\n", "\n")[:MAX_TEXT], path)
    yield from (_docstring(one) for one in documented if one not in about and one not in named)


def _documented(asked: Asked, project: Project) -> Iterator[Definition]:
    """What has a docstring with examples, in the files that the request names or whose names it uses."""
    count = 0
    known = [path for path in asked.files if path in project.paths]
    for path in dict.fromkeys([*known, *project.mentioning(asked.words)]):
        for one in project.definitions(path):
            wanted = path in known or one.short in asked.words or asked.is_about(one)
            if wanted and ("(" in one.doc or WORD in one.doc) and count < MAX_DOCSTRINGS:
                count += 1
                yield one


def _docstring(one: Definition) -> _Source:
    return _Source("docstring", one.doc[:MAX_TEXT], one.path, one.doc_line, one)


def _read(source: _Source) -> Iterator[_Found]:
    """The sessions, then the pairs in what is left."""
    lines = source.text.split("\n")
    left = list(lines)
    in_request = source.origin == "request"
    for session in sessions(source.text):
        first, last = session.lines
        around = "\n".join([*lines[max(0, first - 3) : first - 1], *lines[last - 1 : last + 1]])
        yield _Found(session.line, session.steps, in_request and is_suspicious(around))
        for number in range(first - 1, min(last - 1, len(left))):
            left[number] = ""
    rest = re.sub(r"(?m)^([ \t]*)>>>", r"\1   ", "\n".join(left))
    told = described(rest, source.definition) if source.definition is not None else ()
    for pair in (*pairs(rest), *told):
        yield _Found(pair.line, (pair.step,), in_request and pair.doubtful)


# one example


def _example(
    one: _Found,
    source: _Source,
    hints: dict[str, tuple[str, str | None]],
    asked: Asked,
    project: Project,
) -> Example | None:
    uses = Resolver(hints, source.path, asked, project).uses(one.steps)
    if uses is None or not uses.called:
        return None
    about = _is_about(source, uses, asked)
    return Example(
        example_id="",
        steps=list(one.steps),
        names=uses.names,
        symbol=uses.called[0],
        origin=source.origin,
        path=source.path,
        line=source.first_line + one.line - 1 if source.path else None,
        about=about,
        doubtful=one.doubtful or (source.origin != "request" and about and asked.wants_change),
    )


def _is_about(source: _Source, uses: Uses, asked: Asked) -> bool:
    if source.origin == "request":
        return True
    if source.definition is not None and source.definition.name and asked.is_about(source.definition):
        return True
    general = source.definition is None or source.definition.short[:1].isupper() or not source.definition.name
    return general and any(asked.names(name) for name in uses.called)


# all of them


def _without_contradictions(found: Iterable[Example]) -> tuple[list[Example], list[str]]:
    """``found`` without repetitions, without those that say different things of the same call, and without
    doubtful ones where another one is certain."""
    groups: dict[str, list[Example]] = {}
    for one in found:
        groups.setdefault("\n".join(normalised(step.source) for step in one.steps), []).append(one)
    kept, warnings = [], []
    for group in groups.values():
        certain = [one for one in group if not one.doubtful] or group
        said = {_said(one): one for one in reversed(certain)}
        if len(said) == 1:
            kept.append(certain[0])
        elif all(not one.doubtful for one in certain):
            texts = "; ".join(sorted(f"{_where(one)} says {_short(_said(one), 60)}" for one in said.values()))
            warnings.append(
                f"Examples of {_short(group[0].text, 80)} contradict each other and are ignored: {texts}."
            )
    return kept, warnings[:10]


def _said(example: Example) -> str:
    parts = []
    for step in example.steps:
        if step.expects == "raises":
            parts.append("a " + step.expected.partition(":")[0].rpartition(".")[2])
        elif step.expects != "nothing":
            plain = constant(step.expected) is not None
            parts.append(normalised(step.expected) if plain else " ".join(step.expected.split()))
    return ", ".join(parts)


def _where(example: Example) -> str:
    return f"{example.path}:{example.line}" if example.path else "the request"


def _named(examples: Sequence[Example]) -> list[Example]:
    """With ids that tell where they stand and what they say, each only once."""
    taken: set[str] = set()
    named = []
    for one in examples:
        source = _short(one.steps[-1].source, MAX_ID - 50)
        gives = "gives" if one.steps[-1].expects == "raises" else "=="
        text = f"{_where(one)}: {source} {gives} {_short(_said(one), 40)}"
        number = 1
        while (example_id := f"{text} (example{f' {number}' if number > 1 else ''})") in taken:
            number += 1
        taken.add(example_id)
        named.append(one.model_copy(update={"example_id": example_id}))
    return named


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
