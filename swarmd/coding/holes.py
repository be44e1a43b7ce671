"""Gaps: statements of a suspect function, each of which a model is asked to write again without seeing it.

Shown a function that is wrong and asked to correct it, a model of a few billion parameters mostly copies it.
Shown what stands around one of its statements, it writes what it would expect there (Xia and Zhang, "Less
Training, More Repairing Please: Revisiting Automated Program Repair via Zero-shot Learning", ESEC/FSE 2022).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from swarmd.coding import symbols
from swarmd.coding.canonical import canonical
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import SyntaxFailedError
from swarmd.coding.symbols import Symbol
from swarmd.coding.target import Target
from swarmd.messages import Spectrum

__all__ = ["Filling", "Hole", "fill", "find"]

INNERMOST, OUTER, ELSEWHERE = 1.0, 0.5, 0.0
"""How suspicious a line is by the tracebacks alone, when it is not known which lines the tests run."""
MAX_BEFORE, MAX_BEHIND = 2400, 1200
"""Most characters of the function that are shown before and behind a gap."""
MAX_IMPORTS = 600
MIN_LIKENESS = 0.4
"""Of the statements that passed the shown tests of other people's functions with a planted bug, those below
were wrong about as often as right, those above five times as seldom."""
MAX_STATEMENT_LINES = 12
"""A longer statement is no gap: nobody could guess it."""

_EXPRESSIONS = (
    ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare,
    ast.Call, ast.Name, ast.Attribute, ast.Subscript, ast.Constant,
)  # fmt: skip


@dataclass(frozen=True)
class Hole:
    """One statement, or the head of one with a body, and what stands around it."""

    path: str
    source: str
    """The whole file, with ``\\n`` at the ends of its lines."""
    start: int
    """Its first line, from 1."""
    end: int
    """Its last line."""
    before: str
    """What is shown before the gap, up to and with its indentation."""
    behind: str
    """What is shown behind it."""

    @property
    def lines(self) -> int:
        """How many lines it has now."""
        return self.end - self.start + 1

    @property
    def text(self) -> str:
        """What stands there now."""
        return "\n".join(self.source.split("\n")[self.start - 1 : self.end])


def find(targets: Sequence[Target], spectrum: Spectrum | None, evidence: Sequence[Evidence]) -> list[Hole]:
    """The statements of the targets' functions, the most suspicious first; none where nothing fails.

    Which tests run a line decides, by Ochiai's formula, where that is known, else the frames of the
    tracebacks. Then the earlier target comes first; then the statement with more in it that can be wrong.
    """
    if not evidence:
        return []
    ranked: list[tuple[tuple[float, int, int, int], Hole]] = []
    seen: set[tuple[str, str]] = set()
    for target in targets:
        source = (target.source or "").replace("\r\n", "\n")
        for symbol in _functions(target, source):
            if (target.path, symbol.name) in seen:
                continue
            seen.add((target.path, symbol.name))
            scores = _scores(target.path, symbol, spectrum, evidence)
            for node, start, end in _statements(symbol.node):
                score = max(
                    (scores.get(line, ELSEWHERE) for line in range(start, end + 1)), default=ELSEWHERE
                )
                if score > ELSEWHERE or not scores:
                    key = -score, len(seen), -_weight(node), start
                    ranked.append((key, _hole(target.path, source, symbol, start, end)))
    return [hole for _, hole in sorted(ranked, key=lambda one: one[0])]


@dataclass(frozen=True)
class Filling:
    """A file with something else in a gap."""

    source: str
    likeness: float
    """How much the new statement has in common with the old one, from 0 to 1."""


def fill(hole: Hole, reply: str) -> Filling | None:
    """The file with ``reply`` in the gap; None when that does not parse, is the program as it was, or has so
    little in common with what stood there (MIN_LIKENESS) that it would pass tests by chance.

    Models go on writing when the gap is full: of a reply of several lines only as many are taken as
    make sense, and no more than one where there was one.
    """
    lines = hole.source.split("\n")
    indent = lines[hole.start - 1][: _indent(lines[hole.start - 1])]
    written = reply.rstrip().split("\n")
    most = 1 if hole.lines == 1 else 2 * hole.lines
    for count in range(1, min(len(written), most) + 1):
        taken = [indent + written[0], *written[1:count]] if written[0].strip() else written[1:count]
        text = "\n".join([*lines[: hole.start - 1], *taken, *lines[hole.end :]])
        if _parses(text):
            filling = Filling(text, _likeness(hole.text, "\n".join(taken)))
            same = canonical(hole.path, text) == canonical(hole.path, hole.source)
            return None if same or filling.likeness < MIN_LIKENESS else filling
    return None


def _likeness(old: str, new: str) -> float:
    return SequenceMatcher(None, old.strip(), new.strip(), autojunk=False).ratio()


def _parses(text: str) -> bool:
    try:
        symbols.parse(text)
    except (SyntaxFailedError, RecursionError):
        return False
    return True


def _functions(target: Target, source: str) -> list[Symbol]:
    """The functions that the target's choices name, in their order."""
    mixed = (target.source or "").count("\r\n") not in (0, source.count("\n"))
    if target.adds or mixed or not target.path.endswith((".py", ".pyi")) or not _parses(source):
        return []
    known = {symbol.name: symbol for symbol in symbols.read(source)}
    names = dict.fromkeys(name for choice in target.choices for name in choice)
    found = [known[name] for name in names if name in known]
    return [symbol for symbol in found if symbol.kind in ("function", "method")]


def _scores(
    path: str, symbol: Symbol, spectrum: Spectrum | None, evidence: Sequence[Evidence]
) -> Mapping[int, float]:
    """The suspicious lines of ``symbol``; empty when nothing tells them from others."""
    for one in spectrum.suspects if spectrum is not None else ():
        if (one.path, one.name) == (path, symbol.name) and one.lines:
            return dict(one.lines)
    scores: dict[int, float] = {}
    for item in evidence:
        places = [line for at, line in item.frames if at == path and symbol.start <= line <= symbol.end]
        scores |= {line: max(OUTER, scores.get(line, ELSEWHERE)) for line in places}
        if item.frames and places and item.frames[-1] == (path, places[-1]):
            scores[places[-1]] = INNERMOST
    if not scores:
        return {}
    return dict.fromkeys(range(symbol.start, symbol.end + 1), OUTER / 2) | scores


def _statements(function: ast.stmt) -> Iterator[tuple[ast.stmt, int, int]]:
    """Each statement in the body, docstring aside, with its lines; of one with a body its head."""
    doc = symbols.docstring_node(function)
    taken: set[int] = set()
    for node in _walk(getattr(function, "body", [])):
        start, end = node.lineno, node.end_lineno or node.lineno
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        if body:
            first = getattr(body[0], "lineno", None) or body[0].pattern.lineno
            end = first - 1 if first > start else start
        too_long = end - start >= MAX_STATEMENT_LINES
        if (doc is not None and start == doc.lineno) or isinstance(node, ast.Try) or too_long:
            continue
        if start not in taken:  # of several on one line the first stands for all
            taken |= set(range(start, end + 1))
            yield node, start, end


def _walk(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            for inner in getattr(node, name, []):
                yield from _walk([inner]) if isinstance(inner, ast.stmt) else _walk(inner.body)


def _weight(node: ast.stmt) -> int:
    """How much there is in a statement, or in its head, that can be wrong."""
    heads = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    return sum(isinstance(part, _EXPRESSIONS) for child in heads for part in ast.walk(child))


def _hole(path: str, source: str, symbol: Symbol, start: int, end: int) -> Hole:
    lines = source.split("\n")
    indent = lines[start - 1][: _indent(lines[start - 1])]
    above = "\n".join([*_context(source, symbol), *lines[symbol.start - 1 : start - 1], indent])
    below = "\n".join(["", *lines[end : symbol.end], ""])
    return Hole(path, source, start, end, _last(above, MAX_BEFORE), _first(below, MAX_BEHIND))


def _context(source: str, symbol: Symbol) -> list[str]:
    """The file's imports and the head of the symbol's class."""
    tree = symbols.parse(source)
    lines = source.split("\n")
    shown = [
        line
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in lines[node.lineno - 1 : node.end_lineno]
    ]
    if sum(map(len, shown)) > MAX_IMPORTS:
        shown = []
    return [*shown, *([f"class {symbol.owner}:"] if symbol.owner else [])]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _last(text: str, most: int) -> str:
    """The end of ``text``, from the beginning of a line."""
    return text if len(text) <= most else text[-most:].partition("\n")[2]


def _first(text: str, most: int) -> str:
    """The beginning of ``text``, up to the end of a line."""
    return text if len(text) <= most else text[:most].rpartition("\n")[0]
