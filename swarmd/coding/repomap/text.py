"""A ranking as the text of a prompt: paths, and the heads of what matters in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from swarmd.coding.repomap.ranking import Ranked, Ranking
from swarmd.coding.tokens import estimate

__all__ = ["map_text"]

MAX_SHOWN = 60
"""Most definitions of a map, however much room there is."""


def map_text(ranking: Ranking, budget: int, *, skip: Collection[str] = ()) -> str:
    """As many of the best definitions as fit into ``budget`` tokens, below their files; empty when none
    does. ``skip``: files that the prompt shows already."""
    known: dict[tuple[str, str], Ranked] = {}
    for one in ranking.definitions:
        if one.path not in skip and one.definition.kind != "constant":
            known.setdefault((one.path, one.definition.qualified), one)
        if len(known) == MAX_SHOWN:
            break
    best = list(known.values())
    # The text grows with every definition, so that the most that fit are found by halving.
    low, high = 0, len(best)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(_text(best[:middle], ranking)) <= budget:
            low = middle
        else:
            high = middle - 1
    return _text(best[:low], ranking)


def _text(chosen: Sequence[Ranked], ranking: Ranking) -> str:
    paths = dict.fromkeys(one.path for one in chosen)
    return "\n".join(
        f"{path}:\n" + "\n".join(_lines([one for one in chosen if one.path == path], path, ranking))
        for path in paths
    )


def _lines(chosen: Sequence[Ranked], path: str, ranking: Ranking) -> list[str]:
    """The heads in the order of the file, members below the head of their class."""
    lines: list[str] = []
    classes = {one.definition.name for one in chosen if one.definition.kind == "class"}
    for one in sorted(chosen, key=lambda one: one.definition.line):
        owner = one.definition.owner
        if owner and owner not in classes:
            lines.append(f"  {_head_of(owner, path, ranking)}")
            classes.add(owner)
        lines.append(("    " if owner else "  ") + one.definition.signature)
    return lines


def _head_of(owner: str, path: str, ranking: Ranking) -> str:
    heads = (
        one.definition.signature
        for one in ranking.definitions
        if one.path == path and one.definition.name == owner and one.definition.kind == "class"
    )
    return next(heads, owner)
