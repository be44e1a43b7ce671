"""Doctest sessions in any text: ``>>>`` prompts, with or without continuation prompts."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.messages.example import Step
from swarmd.verify.examples.syntax import assigned_names, constant, free_names, statement

__all__ = ["Session", "imports_in", "sessions"]

MAX_CONTINUED = 12
"""Most lines of one statement."""
MAX_WANTED = 40
"""Most lines of output that one statement may show."""
MAX_STEPS = 20
"""Most statements of one session; what follows is not taken."""

_PROMPT = re.compile(r"^(?P<indent>[ \t]*)>>>[ \t]?(?P<source>.*)$")
_CONTINUED = re.compile(r"^[ \t]*\.\.\.(?:[ \t](?P<source>.*)|[ \t]*)$")
_TRACEBACK = re.compile(r"^Traceback \((?:most recent call last|innermost last)\):\s*$")
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Iteration|Interrupt)?(?::.*)?$")
_PROSE = re.compile(r"^\s*(?:[A-Z][a-z]*,? [a-z]|[A-Za-z_][\w.]*\()")
_IMPORT = re.compile(
    r"^[ \t]*(?:>>>[ \t]*)?(?:from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]+(?P<names>[\w, \t()]+)"
    r"|import[ \t]+(?P<modules>[\w., \t]+))[ \t]*(?:#.*)?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Session:
    """Statements that belong together, and where the first one stands."""

    line: int
    """From 1."""
    steps: tuple[Step, ...]
    lines: tuple[int, int]
    """The first line and the one behind the last, from 1."""


@dataclass(frozen=True)
class _Read:
    line: int
    end: int
    source: str
    wanted: str


def sessions(text: str) -> list[Session]:
    """The sessions of ``text``: statements that share a name are one, others each its own.

    A statement that an example may not hold is left out, and so is what depends on it. One that shows
    no output and compares something is left to those who look for pairs.
    """
    found: list[Session] = []
    block: list[_Read] = []
    for read in _read(text.split("\n")):
        if block and read.line > block[-1].end + 4:
            found += _split(block)
            block = []
        block.append(read)
    return found + _split(block)


def _read(lines: Sequence[str]) -> list[_Read]:
    found, number = [], 0
    while number < len(lines):
        match = _PROMPT.match(lines[number])
        if match is None:
            number += 1
            continue
        start, indent = number, len(match["indent"])
        source, number = _statement(lines, number + 1, match["source"], indent)
        wanted: list[str] = []
        while number < len(lines) and len(wanted) < MAX_WANTED and _is_output(lines[number], indent):
            wanted.append(lines[number][indent:].rstrip())
            number += 1
        count = _own_output(wanted)
        number -= len(wanted) - count
        wanted = wanted[:count]
        found.append(_Read(start + 1, number + 1, source, "\n".join(wanted)))
    return found


def _own_output(wanted: Sequence[str]) -> int:
    """How many lines of ``wanted`` are output: some people leave no blank line before what follows."""
    for count in range(1, len(wanted)):
        if _PROSE.match(wanted[count]) and constant("\n".join(wanted[:count])) is not None:
            return count
    return len(wanted)


def _statement(lines: Sequence[str], number: int, source: str, indent: int) -> tuple[str, int]:
    """The whole statement that begins with ``source``, and the line behind it; some people leave the
    continuation prompt out."""
    while number < len(lines) and (match := _CONTINUED.match(lines[number])):
        source += "\n" + (match["source"] or "")
        number += 1
    taken, ahead = source, number
    while not _is_whole(taken) and ahead < min(len(lines), number + MAX_CONTINUED):
        if not lines[ahead].strip() or _PROMPT.match(lines[ahead]):
            break
        taken += "\n" + lines[ahead][indent:]
        ahead += 1
    return (taken, ahead) if _is_whole(taken) else (source, number)


def _is_whole(source: str) -> bool:
    """Whether no bracket is left open; whether it parses is seen later."""
    bare = re.sub(
        r"#[^\n'\"]*(?=\n|$)", "", re.sub(r"'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", "", source)
    )
    return sum(bare.count(char) for char in "([{") <= sum(bare.count(char) for char in ")]}")


def _is_output(line: str, indent: int) -> bool:
    bare = line.strip()
    if not bare or bare.startswith((">>>", "```", "~~~", '"""', "'''")):
        return False
    return len(line) - len(line.lstrip()) >= indent


def _split(block: Sequence[_Read]) -> list[Session]:
    """One session for each statement on its own, or one for all that share names."""
    known: set[str] = set()
    lost: set[str] = set()
    kept: list[tuple[_Read, Step, bool]] = []
    for read in block[:MAX_STEPS]:
        node = statement(read.source)
        names = set(free_names(node)) if node is not None else set()
        if node is None or names & lost:
            lost |= _bound_by(read.source)
            known -= lost
            continue
        bound = set(assigned_names(node))
        step = _step(read, node)
        if step is None:
            continue
        shares = bool(bound or names & known)
        known |= bound
        lost -= bound
        kept.append((read, step, shares))
    own = [_session([(read, step)]) for read, step, shares in kept if not shares and _shows(step)]
    shared = [(read, step) for read, step, shares in kept if shares]
    if any(_shows(step) for _, step in shared):
        while shared and not _shows(shared[-1][1]):
            shared.pop()
        own.append(_session(shared))
    return sorted(own, key=lambda session: session.line)


def _bound_by(source: str) -> set[str]:
    """Names that a statement which is not taken would have bound, imports left out."""
    bound = re.findall(r"^\s*([A-Za-z_]\w*)\s*(?:[-+*/|&^%]?=(?!=))", source, re.MULTILINE)
    return {*bound, *re.findall(r"\b(?:def|class|as)\s+([A-Za-z_]\w*)", "" if "import" in source else source)}


def _shows(step: Step) -> bool:
    return step.expects != "nothing"


def _session(kept: Sequence[tuple[_Read, Step]]) -> Session:
    first, last = kept[0][0], kept[-1][0]
    return Session(first.line, tuple(step for _, step in kept), (first.line, last.end))


def _step(read: _Read, node: ast.Expr | ast.Assign) -> Step | None:
    """``read`` as a step; None when it says nothing, or only three dots."""
    source = ast.unparse(node)
    lines = read.wanted.split("\n")
    if _TRACEBACK.match(lines[0]):
        raised = [line for line in lines[1:] if line[:1].strip() and _RAISED.match(line)]
        return Step(source=source, expects="raises", expected=raised[0].strip()) if raised else None
    if isinstance(node, ast.Assign) or not read.wanted:
        silent = isinstance(node, ast.Assign) or isinstance(node.value, ast.Call)
        return Step(source=source, expects="nothing") if silent and not read.wanted else None
    if not read.wanted.strip(". \n"):
        return None
    return Step(source=source, expects="output", expected=read.wanted)


def imports_in(text: str) -> dict[str, tuple[str, str | None]]:
    """What the import lines of ``text`` would bind: name -> (module, name in it; None: the module)."""
    bound: dict[str, tuple[str, str | None]] = {}
    for match in _IMPORT.finditer(text):
        pieces = re.split(r"\s*,\s*", (match["names"] or match["modules"]).strip("() \t"))
        for piece in pieces[:30]:
            name, _, alias = (part.strip() for part in re.sub(r"\s+as\s+", " as ", piece).partition(" as "))
            if (match["module"] or "").startswith("."):
                continue
            if match["module"] and name.isidentifier():
                bound[alias or name] = (match["module"], name)
            elif name and not match["module"]:
                top = name.split(".")[0]
                bound[alias or top] = (name if alias else top, None)
    return bound
