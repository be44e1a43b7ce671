"""What else of the project an edit is told: what the target calls, where things are, what is customary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from swarmd.coding import imports, symbols
from swarmd.coding.conventions import conventions
from swarmd.coding.evidence import Evidence
from swarmd.coding.failure import EditError
from swarmd.coding.modules import imported_files, is_test
from swarmd.coding.outline import outline
from swarmd.coding.repomap import called_signatures, focus_on, map_text, rank
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.target import Target
from swarmd.messages import Survey
from swarmd.workspace.tags import Tags, mentions, tags_of

__all__ = ["Surroundings", "surroundings"]

MAX_OTHERS = 2
"""Most other files whose signatures are shown."""
MAP_SHARE, CONVENTIONS_SHARE = 0.1, 0.06
"""Parts of the prompt's tokens that the map and the conventions may take. Both are the first to shrink."""


@dataclass(frozen=True)
class Surroundings:
    """Parts of a prompt that are not about the target itself."""

    others: dict[str, str] = field(default_factory=dict)
    """Heads of what the target calls, by file."""
    project_map: tuple[str, ...] = ()
    """The files and heads that matter, and then less of them."""
    conventions: str = ""


def surroundings(
    target: Target,
    text: str,
    survey: Survey,
    read: Snapshot,
    tags: Mapping[str, Tags],
    *,
    evidence: Sequence[Evidence] = (),
    budget: int,
) -> Surroundings:
    """What to tell of the project to who edits ``target`` for the task ``text``, in a prompt of
    ``budget`` tokens.

    The map is left out where a failing test and the symbols that it points at say everything already.
    """
    others = _others(target, survey, read, tags)
    told = conventions(read, target.path, int(budget * CONVENTIONS_SHARE))
    if not tags or (evidence and target.choices):
        return Surroundings(others, conventions=told)
    ranking = rank(tags, focus_on(text, [target.path], evidence))
    skip, room = {target.path, *others}, int(budget * MAP_SHARE)
    maps = tuple(map_text(ranking, size, skip=skip) for size in (room, room // 2))
    return Surroundings(others, maps, told)


def _others(target: Target, survey: Survey, read: Snapshot, tags: Mapping[str, Tags]) -> dict[str, str]:
    if target.source is None:
        return {}
    source = target.source.replace("\r\n", "\n")
    if target.path.endswith((".py", ".pyi")):
        return _of_python(target, source, survey, read, tags)
    return called_signatures(target.path, _mentioned(target, source), tags, source=source)


def _of_python(
    target: Target, source: str, survey: Survey, read: Snapshot, tags: Mapping[str, Tags]
) -> dict[str, str]:
    """Heads from the files that the target imports: what its symbols use, or all when nobody knows which."""
    try:
        tree = symbols.parse(source)
    except EditError:
        return {}
    bound = imported_files(tree, survey.files)
    wanted = {name for group in target.choices for name in group}
    nodes = [symbol.node for symbol in symbols.read(tree) if symbol.name in wanted]
    called = [name for node in nodes for name in symbols.calls_in(node)]
    used = {*called, *imports.used_names(nodes)}
    found: dict[str, str] = {}
    for path in dict.fromkeys(path for path, _ in bound.values()):
        if path != target.path and not is_test(path) and len(found) < MAX_OTHERS:
            heads = outline(read.read(path) or "", only=_real(path, used, bound) if nodes else None)
            if heads:
                found[path] = heads
    more = called_signatures(target.path, called, tags, source=source, shown=found)
    room = MAX_OTHERS - len(found)
    return found | dict(list(more.items())[:room])


def _real(path: str, used: Collection[str], bound: Mapping[str, tuple[str, str | None]]) -> set[str]:
    """``used`` names as the file ``path`` knows them: an import may have given them others."""
    return {
        *used,
        *(inner for name, (place, inner) in bound.items() if place == path and inner and name in used),
    }


def _mentioned(target: Target, source: str) -> list[str]:
    """Names that the target uses: in the symbols that the task names, else anywhere in it."""
    known = tags_of(target.path, source)
    spans = [
        (one.line, one.end)
        for one in (known.definitions if known else ())
        if one.qualified in target.names and one.kind != "class"
    ]
    return [
        one.name
        for one in mentions(target.path, source)
        if not spans or any(first <= one.line <= last for first, last in spans)
    ]
