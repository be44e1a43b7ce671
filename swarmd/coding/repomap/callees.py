"""The heads of what a piece of code calls in other files of the project."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from swarmd.coding.modules import is_test
from swarmd.coding.words import EVERYDAY
from swarmd.workspace.tags import Definition, Tags

__all__ = ["called_signatures"]

MAX_CALLED = 8
"""Most definitions that are shown."""
MAX_PLACES = 2
"""A name that more files define, and none of them imported, could be anything."""
_IMPORTS = re.compile(r"\b(?:import|require|from)\b")
_FAMILIES = {"javascript": "script", "typescript": "script", "tsx": "script"}


def called_signatures(
    path: str,
    names: Iterable[str],
    files: Mapping[str, Tags],
    *,
    source: str = "",
    shown: Collection[str] = (),
) -> dict[str, str]:
    """Heads of what ``names``, used in the file ``path`` with the text ``source``, stand for, by file.

    Files of the same folder and files that the source seems to import come before others. ``shown``:
    files whose signatures are known already. Constants and private names are left out.
    """
    own = files.get(path)
    if own is not None:
        names = [name for name in names if not any(one.name == name for one in own.definitions)]
    wanted = dict.fromkeys(names)
    places = _places(path, wanted, files, _family(own.language) if own else "")
    imported = "\n".join(line for line in source.split("\n") if _IMPORTS.search(line))
    chosen: dict[str, list[Definition]] = {}
    for name in wanted:
        place, one = _likeliest(path, name, places.get(name, []), imported)
        if one is not None and place not in shown and one not in chosen.get(place, ()):
            chosen.setdefault(place, []).append(one)
        if sum(map(len, chosen.values())) == MAX_CALLED:
            break
    return {place: _text(found, files[place]) for place, found in chosen.items()}


def _family(language: str) -> str:
    return _FAMILIES.get(language, language)


def _places(
    path: str, wanted: Collection[str], files: Mapping[str, Tags], family: str
) -> dict[str, list[tuple[str, Definition]]]:
    """Where in other files each of the names is defined."""
    found: dict[str, list[tuple[str, Definition]]] = {}
    for place, tags in files.items():
        if place == path or is_test(place) or (family and _family(tags.language) != family):
            continue
        for one in tags.definitions:
            if one.name in wanted and one.kind != "constant" and not one.name.startswith("_"):
                found.setdefault(one.name, []).append((place, one))
    return found


def _likeliest(
    path: str, name: str, found: Sequence[tuple[str, Definition]], imported: str
) -> tuple[str, Definition | None]:
    """The definition that ``name`` stands for; None when nobody can tell."""
    near = [pair for pair in found if _is_near(path, pair[0], imported)]
    plain = name.lower() in EVERYDAY or len(name) < 4  # such are methods of the language, too
    likely = near or ([] if plain else found)
    if not likely or len({place for place, _ in likely}) > MAX_PLACES:
        return "", None
    return likely[0]


def _is_near(path: str, place: str, imported: str) -> bool:
    """Whether the import lines seem to name ``place``, or need not, as in the same Go or Java package."""
    here, there = PurePosixPath(path), PurePosixPath(place)
    same_package = here.parent == there.parent and here.suffix in (".go", ".java")
    stem = there.parent.name if there.stem in ("index", "__init__") else there.stem
    return same_package or (bool(stem) and stem in imported)


def _text(found: Iterable[Definition], tags: Tags) -> str:
    lines: list[str] = []
    owners: set[str] = set()
    for one in sorted(found, key=lambda one: one.line):
        if one.owner and one.owner not in owners:
            owners.add(one.owner)
            heads = (d.signature for d in tags.definitions if d.kind == "class" and d.name == one.owner)
            lines.append(next(heads, one.owner))
        elif one.kind == "class":
            owners.add(one.name)
        lines.append(("    " if one.owner else "") + one.signature)
    return "\n".join(lines)
