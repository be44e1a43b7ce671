"""The tables of ``swarmd bench``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swarmd.cli.context import Context
from swarmd.cli.output import table

if TYPE_CHECKING:
    from swarmd.bench.results import Row

__all__ = ["show"]

NUMBERS_FROM = 2
"""The column from which on a Markdown table is aligned to the right."""


def show(
    context: Context,
    command: str,
    rows: Sequence[Row],
    *,
    against: str | None = None,
    markdown: bool = False,
    **more: Any,
) -> None:
    """What ``rows`` come to: lines for people, or the JSON document of ``command`` with ``more``."""
    from swarmd.bench import report

    summaries, pairs = report.summaries(rows), report.comparisons(rows, against)
    context.output.document(
        command,
        summaries=[report.as_json(one) for one in summaries],
        comparisons=[report.as_json(one) for one in pairs],
        **more,
    )
    tables = [
        [report.summary_cells(one) for one in summaries],
        [report.comparison_cells(one) for one in pairs],
    ]
    for place, cells in enumerate(filter(None, tables)):
        if place:
            context.output.line()
        for line in _markdown(cells) if markdown else _plain(cells):
            context.output.line(line)


def _plain(cells: Sequence[dict[str, str]]) -> list[str]:
    return table([list(one.values()) for one in cells], [name.upper() for name in cells[0]])


def _markdown(cells: Sequence[dict[str, str]]) -> list[str]:
    names = list(cells[0])
    rule = ["---" if place < NUMBERS_FROM else "---:" for place in range(len(names))]
    return [f"| {' | '.join(line)} |" for line in (names, rule, *(list(one.values()) for one in cells))]
