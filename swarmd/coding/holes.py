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
MAX_HOLES = 200
MIN_LIKENESS = 0.4
"""Of 45 statements that passed the shown tests of functions of well-known packages with a planted bug, 3 of
the 5 below it were wrong, and 4 of the 40 above."""
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
    """The statements of the targets' functions, the most suspicious first, at most MAX_HOLES; none where
    nothing fails.

    Which tests run a line decides, by Ochiai's formula, where that is known, else the frames of the
    tracebacks. Then the earlier target comes first; then the statement with more in it that can be wrong.
    """
    if not evidence:
        return []
    functions: dict[tuple[str, int], _Function] = {}
    for target in targets:
        for function in _functions(target):
            functions.setdefault((target.path, function.symbol.start), function)
    ranked: list[tuple[tuple[float, int, int, int], _Function, int]] = []
    for number, function in enumerate(functions.values()):
        scores = _scores(function, spectrum, evidence)
        for node, start, end in _statements(function.symbol.node):
            score = max((scores.get(line, ELSEWHERE) for line in range(start, end + 1)), default=ELSEWHERE)
            if score > ELSEWHERE or not scores:
                ranked.append(((-score, number, -_weight(node), start), function, end))
    ranked.sort(key=lambda one: one[0])
    return [_hole(function, key[-1], end) for key, function, end in ranked[:MAX_HOLES]]


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
    written = reply.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip().split("\n")
    most = 1 if hole.lines == 1 else 2 * hole.lines
    for count in range(1, min(len(written), most) + 1):
        taken = [indent + written[0].lstrip(), *written[1:count]]
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


@dataclass(frozen=True)
class _Function:
    """A function, its file, and what is shown above it."""

    path: str
    source: str
    symbol: Symbol
    context: tuple[str, ...]


def _functions(target: Target) -> Iterator[_Function]:
    """The functions that the target's choices name, in their order; several may have one name."""
    source = (target.source or "").replace("\r\n", "\n")
    mixed = "\r" in source or (target.source or "").count("\r\n") not in (0, source.count("\n"))
    if target.adds or mixed or not target.path.endswith((".py", ".pyi")) or not _parses(source):
        return
    tree = symbols.parse(source)
    known = [one for one in symbols.read(tree) if one.kind in ("function", "method")]
    for name in dict.fromkeys(name for choice in target.choices for name in choice):
        for symbol in known:
            if symbol.name == name:
                yield _Function(target.path, source, symbol, _context(tree, source, symbol))


def _scores(
    function: _Function, spectrum: Spectrum | None, evidence: Sequence[Evidence]
) -> Mapping[int, float]:
    """The suspicious lines of a function; empty when nothing tells them from others. It may stand elsewhere
    than on the base commit, where it was traced, but must be as long."""
    path, symbol = function.path, function.symbol
    same = [
        one
        for one in (spectrum.suspects if spectrum is not None else ())
        if (one.path, one.name) == (path, symbol.name) and one.end - one.line == symbol.end - symbol.start
    ]
    if same:
        one = min(same, key=lambda one: abs(one.line - symbol.start))
        return {line + symbol.start - one.line: score for line, score in one.lines}
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
    """Each statement in the body with its lines; of one with a body its head. Not: docstrings, what has no
    expression in it, what stands on the line of the function's own head."""
    taken: set[int] = set()
    for node in _walk(getattr(function, "body", [])):
        start, end = node.lineno, _end(node)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Try | ast.TryStar) or start <= function.lineno:
            continue
        if start not in taken and end - start < MAX_STATEMENT_LINES:
            taken |= set(range(start, end + 1))  # of several on one line the first stands for all
            yield node, start, end


def _end(node: ast.stmt) -> int:
    """The last line of a statement, or of the head of one with a body: what stands between them, such as a
    comment, is not the head's."""
    if not (getattr(node, "body", None) or getattr(node, "cases", None)):
        return node.end_lineno or node.lineno
    decorators = getattr(node, "decorator_list", [])
    heads = (
        child
        for child in ast.iter_child_nodes(node)
        if child not in decorators and not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
    )
    ends = [getattr(part, "end_lineno", None) or 0 for head in heads for part in ast.walk(head)]
    return max([node.lineno, *ends])


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


def _hole(function: _Function, start: int, end: int) -> Hole:
    lines, symbol = function.source.split("\n"), function.symbol
    indent = lines[start - 1][: _indent(lines[start - 1])]
    above = "\n".join([*function.context, *lines[symbol.start - 1 : start - 1], indent])
    below = "\n".join(["", *lines[end : symbol.end], ""])
    return Hole(
        function.path, function.source, start, end, _last(above, MAX_BEFORE), _first(below, MAX_BEHIND)
    )


def _context(tree: ast.Module, source: str, symbol: Symbol) -> tuple[str, ...]:
    """The file's imports and the head of the symbol's class."""
    lines = source.split("\n")
    shown = [
        line
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in lines[node.lineno - 1 : node.end_lineno]
    ]
    if sum(map(len, shown)) > MAX_IMPORTS:
        shown = []
    owner = symbol.owner.rpartition(".")[2]
    return (*shown, *([f"class {owner}:"] if owner else []))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _last(text: str, most: int) -> str:
    """The end of ``text``, from the beginning of a line."""
    return text if len(text) <= most else text[-most:].partition("\n")[2]


def _first(text: str, most: int) -> str:
    """The beginning of ``text``, up to the end of a line."""
    return text if len(text) <= most else text[:most].rpartition("\n")[0]
