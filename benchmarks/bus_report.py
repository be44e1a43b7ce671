"""The table of ``bus.py``, for a terminal and for docs/benchmarks.md, and the ratios below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["markdown", "plain", "ratios"]

Row = Mapping[str, Any]
Rows = Mapping[str, Row]

_CLASSES = {"power": "power", "interval": "power, at intervals", "process": "kill -9", "none": "none"}


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _idle(row: Row) -> str:
    found = row.get("b")
    return f"{found['p50']:.2f} / {found['p99']:.2f}" if found else "–"


def _claims(row: Row) -> str:
    found = row.get("d")
    return " / ".join(f"{one['next']:.3f}" for one in found.values()) if found else "–"


def _memory(row: Row) -> str:
    if "rss" not in row:
        return "–"
    server = f" + {row['rss_server']:.0f}" if row.get("rss_server") else ""
    return f"{row['rss']:.0f}{server}"


def _killed(row: Row) -> str:
    found = row.get("kill")
    if not found:
        return "–"
    late = f", {found['seconds'] - found['own_work_s']:.1f} s" if not found["lost"] else ""
    return f"{found['lost']} not done, {found['twice']} twice{late}"


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("row", lambda row: str(row["title"])),
    ("survives", lambda row: _CLASSES[row["durability"]]),
    ("1 → 1, msg/s", lambda row: _number(row.get("a"))),
    ("4 workers, msg/s", lambda row: _number(row.get("c"))),
    ("idle p50 / p99, ms", _idle),
    ("claim, ms", _claims),
    ("memory, MB", _memory),
    ("kill -9, restart", _killed),
)


def _measured(rows: Rows) -> dict[str, Row]:
    return {name: row for name, row in rows.items() if "missing" not in row}


def _cells(rows: Rows) -> list[list[str]]:
    return [[cell(row) for _, cell in _COLUMNS] for row in _measured(rows).values()]


def _remarks(rows: Rows) -> list[str]:
    lines = [f"{row['title']}: {row['note']}" for row in _measured(rows).values() if row.get("note")]
    for name, row in rows.items():
        if "missing" in row:
            lines.append(f"{row.get('title', name)}: not measured: {row['missing']}")
        for step, reason in row.get("failed", {}).items():
            lines.append(f"{row['title']}: {step} failed: {' '.join(reason.split())[:300]}")
        lines += [f"{row['title']}: {text}" for text in _extra(row)]
    return lines


def ratios(rows: Rows) -> list[str]:
    """swarmd's rows over what each of them is to be compared with, in this run."""
    measured = _measured(rows)
    lines = []
    for name, row in measured.items():
        others = _rivals(name, row, measured)
        for measure, words in (("a", "1 → 1"), ("c", "4 workers")):
            if texts := [
                f"{row[measure] / one[measure]:.2f} × {one['title']}"
                for one in sorted(others, key=lambda one: -float(one.get(measure, 0)))
                if one.get(measure) and row.get(measure)
            ]:
                lines.append(f"{row['title']}, {words}: {', '.join(texts)}")
    return lines


def _rivals(name: str, row: Row, measured: Rows) -> list[Row]:
    """The peers of the same durability class and the references; a sync for every message is compared
    with files synced one by one, and the whole daemon with whole systems."""
    if row.get("group") != "swarmd":
        return []
    references = [one for one in measured.values() if one["group"] == "reference"]
    peers = [one for one in measured.values() if one["group"] == "peer"]
    if name.endswith("-each"):
        return [measured["maildir"]] if "maildir" in measured else []
    same = [one for one in peers if one["durability"] == row["durability"]]
    return same if name.endswith("-whole") else [*references, *same]


def _extra(row: Row) -> list[str]:
    """What only swarmd's rows are asked for."""
    lines = []
    if row.get("group") == "swarmd" and (found := row.get("d")):
        least, most = min(found, key=int), max(found, key=int)
        grown = found[most]["grown"] - found[least]["grown"]
        lines.append(f"first claim after the start with {int(most):,} waiting: {found[most]['first']:.0f} ms")
        lines.append(f"memory for {int(most) - int(least):,} more that wait: {grown:.1f} MB")
    if found := row.get("start"):
        lines.append(
            f"start-up: ready after {found['seconds']:.2f} s with {found['active']:,} requests at work, "
            f"after {found['empty_s']:.2f} s with none"
        )
    return lines


def plain(rows: Rows, about: Mapping[str, str]) -> str:
    """Aligned columns."""
    table = [[title for title, _ in _COLUMNS], *_cells(rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    lines = [f"{key}: {value}" for key, value in about.items()]
    lines += ["", *("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                    for line in table)]  # fmt: skip
    lines += ["", *ratios(rows), "", *_remarks(rows)]
    return "\n".join(lines)


def markdown(rows: Rows, about: Mapping[str, str]) -> str:
    """What goes into docs/benchmarks.md."""
    lines = ["; ".join(f"{key}: {value}" for key, value in about.items()) + ".", ""]
    lines.append("| " + " | ".join(title for title, _ in _COLUMNS) + " |")
    lines.append("|" + "|".join("-" if column < 2 else "-:" for column in range(len(_COLUMNS))) + "|")
    lines += ["| " + " | ".join(cells) + " |" for cells in _cells(rows)]
    if found := ratios(rows):
        lines += ["", "Ratios in this run:", "", *(f"- {line}" for line in found)]
    lines += ["", "Remarks:", "", *(f"- {line}" for line in _remarks(rows))]
    return "\n".join(lines)
