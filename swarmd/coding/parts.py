"""The single parts of a prompt, each with what may stand instead when there is no room."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from swarmd.coding import symbols
from swarmd.coding.context import Part, fence, shorten
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.outline import outline
from swarmd.coding.target import Target
from swarmd.messages import Failure
from swarmd.workspace.tags import language_of, tags_of

_RESULT = r"(\s*->\s*[\w.]+(?:\[[^\]\n]*\])?(?:\s*\|\s*[\w.]+)*)?"

__all__ = [
    "excerpt",
    "excerpt_of",
    "failing_parts",
    "feedback_parts",
    "neighbour_parts",
    "new_heads",
    "other_parts",
    "page_parts",
    "project_parts",
    "request_part",
    "segments",
    "task_parts",
]


def task_parts(action: str, user_request: str) -> list[Part]:
    """The task in the planner's words, and in the user's where those say more."""
    said, action = user_request.strip(), action.strip()
    gist = " ".join(said.split())
    if action.endswith("…") or " ".join(action.split()) in gist:
        return [_shrinking("task", "Task: ", said, 4)]
    task = _shrinking("task", "Task: ", action, 4)
    if not said or gist in " ".join(action.split()):
        return [task]
    words = "It is part of this request: "
    request = Part("request", words + shorten(said, 1600), (words + shorten(said, 300), ""), rank=6)
    return [task, request]


def request_part(user_request: str) -> Part:
    """The user's words, for roles that read a finished change."""
    return _shrinking("request", "The request was: ", user_request.strip(), 4)


def _shrinking(name: str, label: str, text: str, rank: int) -> Part:
    long, short, tiny = (label + shorten(text, limit) for limit in (2400, 700, 200))
    return Part(name, long, (short, tiny), rank=rank)


def neighbour_parts(target: Target, wanted: Sequence[str], code: Part) -> list[Part]:
    """Signatures of what else the file has, when the file is not shown whole."""
    if target.source is None or not wanted or code.text.startswith("File "):
        return []
    source = target.source.replace("\r\n", "\n")
    known = {symbol.name: symbol for symbol in symbols.read(source)}
    used = {name for one in wanted if one in known for name in symbols.calls_in(known[one].node)}
    full, needed = outline(source, skip=wanted), outline(source, skip=wanted, only=used)
    steps = [text for text in (full, needed) if text]
    if not steps:
        return []
    texts = [f"These exist already, do not write them again:\n{fence(text, 'python')}" for text in steps]
    return [Part("signatures", texts[0], (*texts[1:], ""), rank=5)]


def other_parts(others: Mapping[str, str]) -> list[Part]:
    """Signatures of other files, by path."""
    return [
        Part("other files", f"Signatures in {path}:\n{fence(text, language_of(path) or '')}", ("",), rank=7)
        for path, text in others.items()
        if text
    ]


def project_parts(project_map: Sequence[str], told: str) -> list[Part]:
    """Where things are in the project, and what is customary there: data, the first to go."""
    found = []
    maps = [f"Elsewhere in the project:\n{fence(text)}" for text in dict.fromkeys(project_map) if text]
    if maps:
        found.append(Part("map", maps[0], (*maps[1:], ""), rank=11))
    if told:
        lines = told.split("\n")
        texts = [
            f"Conventions of this project (data):\n{fence(text)}"
            for text in dict.fromkeys((told, "\n".join(lines[:3]), lines[0]))
        ]
        found.append(Part("conventions", texts[0], (*texts[1:], ""), rank=10))
    return found


def failing_parts(evidence: Sequence[Evidence], unwritten: str | None) -> list[Part]:
    """The first failing test and its output. ``unwritten``: the head of a function without a body, whose
    failures say nothing but that, and whose docstring's examples need not be said twice."""
    if not evidence:
        return []
    first = evidence[0]
    parts = []
    if first.code:
        code = f"This test fails and must pass:\n{fence(first.code, 'python')}"
        short = f"This test fails and must pass:\n{fence(shorten(first.code, 500), 'python')}"
        parts.append(Part("test", code, (short, ""), rank=4))
    message = first.failure.message.strip()
    if unwritten is not None and (first.code or _is_said_in(message, unwritten)):
        return parts
    if message:
        said = [shorten(message, 900), shorten(message, 300)]
        if first.values:
            said.insert(0, "\n".join([said[0], *first.values]))
        long, *shorter = (f"Its output:\n{fence(text)}" for text in said)
        parts.append(Part("output", long, (*shorter, ""), rank=2))
    return parts


def _is_said_in(message: str, head: str) -> bool:
    """Whether the failing example of ``message`` stands in ``head``."""
    first = next((line.strip() for line in message.split("\n") if line.startswith("    ")), "")
    return bool(first) and first in head


def feedback_parts(feedback: Failure | None, previous_patch: str | None) -> list[Part]:
    """What the last attempt changed, and why that was wrong."""
    parts = []
    if previous_patch:
        lines = [line for line in previous_patch.split("\n") if line[:1] in ("+", "-")]
        changed = "\n".join(line for line in lines if not line.startswith(("+++ ", "--- ")))
        text = f"This change was tried and is wrong:\n{fence(shorten(changed, 900), 'diff')}"
        parts.append(Part("last patch", text, ("",), rank=3))
    if feedback is not None:
        digest = feedback.digest.strip()
        long, short = (
            f"What went wrong the last time:\n{fence(shorten(digest, limit))}" for limit in (1200, 350)
        )
        parts.append(Part("feedback", long, (short, ""), rank=2))
    return parts


def page_parts(skill: str, pattern: str | None) -> list[Part]:
    """The pages that stand last and go first: how this skill is done, and a pattern from the knowledge."""
    parts = []
    if skill.strip():
        parts.append(Part("skill", skill.strip(), ("",), rank=8))
    if pattern and pattern.strip():
        parts.append(Part("pattern", f"A pattern that may help:\n{fence(pattern)}", ("",), rank=9))
    return parts


def segments(source: str, wanted: Sequence[str]) -> str:
    """The text of the symbols, methods under their class's head."""
    known = symbols.read(source)
    heads = {symbol.name: source.split("\n")[symbol.node.lineno - 1] for symbol in known}
    found, last_owner = [], ""
    for symbol in known:
        if symbol.name not in wanted or symbol.owner in wanted:
            continue
        if symbol.owner != last_owner and symbol.owner in heads:
            found.append(heads[symbol.owner])
        last_owner = symbol.owner
        found.append(symbols.segment(source, symbol))
    return "\n".join(found)


def new_heads(names: Sequence[str], asked: str) -> dict[str, str]:
    """How to speak of the functions to add, by their heads, as far as the task's words hold them.

    A small model that is told the head writes that function, and not a neighbour again.
    """
    heads: dict[str, str] = {}
    for name in names:
        owner, _, short = name.rpartition(".")
        match = re.search(rf"\b{re.escape(short)}\s?\(([^()\n]*)\){_RESULT}", asked)
        if match is None:
            continue
        arguments = match[1].strip()
        if owner and arguments.split(",")[0].strip() not in ("self", "cls"):
            arguments = f"self, {arguments}" if arguments else "self"
        head = f"def {short}({arguments}){match[2] or ''}:"
        if _parses(f"{head} ..."):
            sort = f"the method of `{owner}`" if owner else "the function"
            heads[name] = f"{sort} that begins with `{head}`"
    return heads


def _parses(code: str) -> bool:
    try:
        return bool(symbols.parse(code).body)
    except SyntaxFailedError:
        return False


def excerpt(source: str, asked: str, limit: int) -> str:
    """At most about ``limit`` characters of ``source``, whole lines, where most of the task's words are."""
    words = {word.lower() for word in re.findall(r"\w{3,}", asked)}
    lines = source.split("\n")
    hits = [len(words & {word.lower() for word in re.findall(r"\w{3,}", line)}) for line in lines]
    best, best_hits = (0, 0), -1
    start = size = found = 0
    for end, line in enumerate(lines):
        size, found = size + len(line) + 1, found + hits[end]
        while size > limit and start < end:
            size, found, start = size - len(lines[start]) - 1, found - hits[start], start + 1
        if found > best_hits:
            best, best_hits = (start, end + 1), found
    return "\n".join(lines[slice(*best)])


def excerpt_of(target: Target, source: str, limit: int) -> str:
    """The lines of the definitions that the task names in a file that is not Python, if it names any and
    they take at most ``limit`` characters; else empty."""
    known = tags_of(target.path, source) if target.names else None
    lines = source.split("\n")
    named = [one for one in (known.definitions if known else ()) if one.qualified in target.names]
    text = "\n…\n".join("\n".join(lines[one.line - 1 : one.end]) for one in named if one.kind != "class")
    return text if len(text) <= limit else ""
