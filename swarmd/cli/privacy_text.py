"""The privacy report for people, on a terminal or in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from swarmd.audit.pretty import clean
from swarmd.cli.money import counted
from swarmd.cli.output import Output, table
from swarmd.cli.privacy_gather import Flow, Gathered

__all__ = ["amount_of", "chain_words", "decision_of", "limits", "place", "show_text", "verdict"]

UNKNOWN = "not recorded"
CALLS = ("SEQ", "TIME (UTC)", "REQUEST", "MODEL", "DESTINATION", "SENT", "RECEIVED", "DECISION")
BLOCKED = ("SEQ", "TIME (UTC)", "REQUEST", "MODEL", "REASON")
FLOWS = ("PROVIDER", "DESTINATION", "WHERE", "CALLS", "FAILED", "SENT", "RECEIVED")
_RIGHT = {"SEQ", "SENT", "RECEIVED", "CALLS", "FAILED"}
MAX_CELL = 48


def show_text(output: Output, report: Gathered) -> None:
    """Print all of it; what matters most stands last, where the eye is."""
    for line in _wide(CALLS, lambda: (_call_row(output, call) for call in report.calls)):
        output.line(line)
    if report.blocked.count:
        output.line()
        output.line(output.paint("blocked attempts", "bold"))
        for line in _wide(BLOCKED, lambda: map(_blocked_row, report.blocked)):
            output.line(line)
    if report.flows:
        output.line()
        rows = [_flow_row(flow) for flow in report.flows.values()]
        for line in _wide(FLOWS, lambda: rows):
            output.line(line)
        output.line()
    for line in table(list(_summary(output, report))):
        output.line(line)


def _summary(output: Output, report: Gathered) -> Iterator[list[str]]:
    of = f" of request {clean(report.request_id, 64)}" if report.request_id else ""
    period = f"{when(report.first)} to {when(report.last)}" if report.first else "no line"
    yield ["lines", f"up to {report.held:,} of logs/{report.master.log}, {period}{of}"]
    yield ["blocked", counted(report.blocked.count, "attempt")]
    holds, words = chain_words(report)
    yield ["chain", output.paint(words, "green" if holds else "red")]
    quiet, words = verdict(report)
    yield ["verdict", output.paint(words, "green" if quiet and holds else "yellow" if holds else "red")]
    for word in limits(report):
        yield ["note", word]


def verdict(report: Gathered) -> tuple[bool, str]:
    """Whether nothing left the machine, and that in words."""
    calls, upto = report.calls.count, "" if chain_words(report)[0] else f"up to line {report.held:,} only: "
    if report.left:
        return False, f"{upto}{report.left:,} of {counted(calls, 'model call')} went to another machine"
    if report.unknown:
        return (
            False,
            f"{upto}the log does not say where {report.unknown:,} of {counted(calls, 'model call')} went",
        )
    if not calls:
        return not upto, f"{upto}nothing left this machine: there was no model call"
    return not upto, f"{upto}nothing left this machine: {counted(calls, 'model call')}, each made on it"


def chain_words(report: Gathered) -> tuple[bool, str]:
    """Whether the logs hold, and that in words."""
    master = report.master
    bad = [log for log in report.chain.logs if log.status not in ("ok", "torn")]
    if bad:
        named = "; ".join(f"{clean(log.log)} {log.status} at line {log.line}" for log in bad)
        rest = ". The report ends in front of that" if master in bad else ""
        return False, f"DOES NOT HOLD: {named}{rest}"
    anchored = f", anchored to {master.anchored:,}" if master.anchored else ""
    absent = f", 1 to {master.absent:,} are not present" if master.absent else ""
    others = len(report.chain.logs) - 1
    also = f"; {counted(others, 'other log')} too" if others > 0 else ""
    return True, f"verified: {counted(master.lines, 'line')} of {master.log} hold{anchored}{absent}{also}"


def limits(report: Gathered) -> Iterator[str]:
    """What the log cannot say."""
    if report.has_servers:
        yield "a server on this machine that passes prompts on (a proxy, a cloud model) does not show here"
    missing = sum(flow.unmeasured for flow in report.flows.values())
    if missing:
        yield f"{counted(missing, 'call')} of a version that did not record bytes"


def _wide(heading: Sequence[str], rows: Callable[[], Iterable[Sequence[str]]]) -> Iterator[str]:
    """As ``table``, without holding all rows: ``rows`` is asked for them twice."""
    widths = [len(name) for name in heading]
    for row in rows():
        widths = [max(width, _length(cell)) for width, cell in zip(widths, row, strict=True)]
    widths[-1] = 0
    yield _line(heading, heading, widths)
    for row in rows():
        yield _line(heading, row, widths)


def _line(heading: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for name, cell, width in zip(heading, row, widths, strict=True):
        gap = " " * (width - _length(cell))
        cells.append(gap + cell if name in _RIGHT else cell + gap)
    return "  ".join(cells).rstrip()


def _length(cell: str) -> int:
    import click

    return len(click.unstyle(cell))


def _call_row(output: Output, call: Mapping[str, Any]) -> list[str]:
    where = clean(place(call), MAX_CELL)
    return [
        str(call["seq"]),
        when(call["ts"]),
        clean(call["request_id"] or "-", 40),
        clean(call["model"] or "-", 30),
        output.paint(where, "yellow") if call["left"] else where,
        amount_of(call["bytes_sent"]),
        amount_of(call["bytes_received"]),
        clean(decision_of(call), 100),
    ]


def _blocked_row(attempt: Mapping[str, Any]) -> list[str]:
    reason = attempt["reason"] or attempt["refused"] or attempt["code"] or UNKNOWN
    return [
        str(attempt["seq"]),
        when(attempt["ts"]),
        clean(attempt["request_id"] or "-", 40),
        clean(attempt["model"] or "-", 30),
        clean(reason, 120),
    ]


def _flow_row(flow: Flow) -> list[str]:
    measured = flow.unmeasured < flow.calls
    return [
        clean(flow.provider, 30),
        clean(place({"destination": flow.destination, "provider": flow.provider}), MAX_CELL),
        {True: "here", False: "ELSEWHERE", None: UNKNOWN}[flow.local],
        f"{flow.calls:,}",
        f"{flow.failed:,}",
        amount_of(flow.bytes_sent if measured else None),
        amount_of(flow.bytes_received if measured else None),
    ]


def place(call: Mapping[str, Any]) -> str:
    """Where a call went. The embedded engine's place is known where no destination was recorded."""
    own = "this machine" if call["provider"] == "embedded" else UNKNOWN
    return str(call["destination"] or own)


def decision_of(call: Mapping[str, Any]) -> str:
    """Who decided that the call may be made, and how it ended."""
    parts = [call["outcome"] if not call["code"] else f"failed ({call['code']})"]
    if call["rule"]:
        ruled = f"rule {call['rule']}"
        parts.append(", ".join(filter(None, (ruled, call["mode"], call["privacy"]))))
    if call["refused"]:
        parts.append(f"refused {call['refused']}")
    return "; ".join(parts)


def amount_of(count: int | None) -> str:
    """Bytes, or that nobody knows."""
    return "-" if count is None else f"{count:,}"


def when(ts: str) -> str:
    """A moment, to the second."""
    return clean(ts, 40)[:19].replace("T", " ")
