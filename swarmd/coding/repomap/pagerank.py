"""Personalised PageRank by power iteration."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

__all__ = ["pagerank"]

DAMPING = 0.85
"""The share of a node's rank that follows its edges: Brin and Page's value."""
MAX_ROUNDS = 50
TOLERANCE = 1e-6

Node = TypeVar("Node", bound=Hashable)


def pagerank(
    edges: Mapping[Node, Mapping[Node, float]], start: Mapping[Node, float], *, damping: float = DAMPING
) -> dict[Node, float]:
    """The stationary probability of each node of ``edges`` (from: {to: weight above 0}) and ``start``.

    A walker follows edges by their weight; with probability 1 - ``damping``, and where there is no edge,
    it jumps to a node of ``start``, by its weight (all alike when these are all 0). Brin and Page, "The
    Anatomy of a Large-Scale Hypertextual Web Search Engine", 1998, with the personalisation of Page et
    al., "The PageRank Citation Ranking", 1999, section 6. The sum is 1; empty for an empty graph.
    """
    nodes = list(dict.fromkeys([*start, *edges, *(to for row in edges.values() for to in row)]))
    if not nodes:
        return {}
    total = sum(start.values())
    jump = {node: start.get(node, 0.0) / total if total > 0 else 1 / len(nodes) for node in nodes}
    out = {node: sum(row.values()) for node, row in edges.items()}
    ranks = dict(jump)
    for _ in range(MAX_ROUNDS):
        stuck = sum(ranks[node] for node in nodes if not out.get(node))
        new = {node: ((1 - damping) + damping * stuck) * jump[node] for node in nodes}
        for node, row in edges.items():
            if out[node]:
                share = damping * ranks[node] / out[node]
                for to, weight in row.items():
                    new[to] += share * weight
        moved = sum(abs(new[node] - ranks[node]) for node in nodes)
        ranks = new
        if moved < TOLERANCE:
            break
    return ranks
