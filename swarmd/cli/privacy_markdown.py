"""The privacy report as Markdown, to be kept, signed or handed on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from swarmd.audit.pretty import clean
from swarmd.cli.privacy_gather import Gathered
from swarmd.cli.privacy_text import amount_of, chain_words, decision_of, limits, place, verdict, when

__all__ = ["markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|~!&])")


def markdown(report: Gathered, setting: str) -> Iterator[str]:
    """Its lines. ``setting`` is the home's degree of privacy now, in words."""
    holds, chain = chain_words(report)
    yield "# Privacy report"
    yield ""
    yield f"- home: {_safe(report.home)}"
    yield f"- made: {when(report.made)} UTC; privacy is now: {_safe(setting)}"
    if report.request_id:
        yield f"- only request: {_safe(report.request_id)}"
    if report.since:
        yield f"- only from {when(report.since)} UTC on"
    if report.first:
        yield f"- lines read: {when(report.first)} to {when(report.last)} UTC"
    yield f"- **{_safe(verdict(report)[1])}**"
    yield f"- blocked attempts: {report.blocked.count:,}"
    yield f"- log: {'' if holds else '**'}{_safe(chain)}{'' if holds else '**'}"
    yield from (f"- note: {_safe(word)}" for word in limits(report))
    yield from _flows(report)
    yield from _blocked(report)
    yield from _calls(report)
    yield from _recheck(report)


def _flows(report: Gathered) -> Iterator[str]:
    yield from ("", "## By destination", "")
    if not report.flows:
        yield "None: there was no model call."
        return
    yield from _head("provider", "destination", "where", "calls", "failed", "bytes sent", "bytes received")
    for flow in report.flows.values():
        known = flow.unmeasured < flow.calls
        yield _row(
            flow.provider,
            place({"destination": flow.destination, "provider": flow.provider}),
            {True: "this machine", False: "another machine", None: "not recorded"}[flow.local],
            f"{flow.calls:,}",
            f"{flow.failed:,}",
            amount_of(flow.bytes_sent if known else None),
            amount_of(flow.bytes_received if known else None),
        )


def _blocked(report: Gathered) -> Iterator[str]:
    yield from ("", "## Blocked attempts", "")
    if not report.blocked.count:
        yield "None."
        return
    yield from _head("line", "time (UTC)", "request", "asker", "model", "code", "reason")
    for one in report.blocked:
        facts = (one[name] or "-" for name in ("request_id", "asker", "model", "code"))
        yield _row(str(one["seq"]), when(one["ts"]), *facts, one["reason"] or one["refused"] or "-")


def _calls(report: Gathered) -> Iterator[str]:
    yield from ("", "## Every model call", "")
    if not report.calls.count:
        yield "None."
        return
    yield from _head(
        "lines", "time (UTC)", "request", "asker", "model", "destination", "bytes sent", "bytes received",
        "prompt SHA-256", "decision",
    )  # fmt: skip
    for call in report.calls:
        begun = call["start_seq"]
        sent = f"; sent as {call['sent_sha256']}" if call["sent_sha256"] else ""
        yield _row(
            f"{begun}-{call['seq']}" if begun not in (None, call["seq"]) else str(call["seq"]),
            when(call["ts"]),
            "/".join(filter(None, (call["request_id"], call["task_id"]))) or "-",
            call["asker"] or "-",
            call["model"] or "-",
            place(call),
            amount_of(call["bytes_sent"]),
            amount_of(call["bytes_received"]),
            call["prompt_sha256"] or "-",
            decision_of(call) + sent,
        )


def _recheck(report: Gathered) -> Iterator[str]:
    yield from ("", "## To check this again", "")
    yield f"Lines are those of `logs/{report.master.log}` with its archived segments, by their `seq`."
    if report.master.head:
        yield (
            f"Line {report.held:,} is the last that was read; the SHA-256 of its bytes, newline included, is "
            f"`{report.master.head}`, and it stands in `prev` of the line behind it."
        )
    yield "On a copy of the home, `swarmd privacy report --home DIR` makes this report again."
    yield "`swarmd audit verify DIR` checks the chain alone; without swarmd installed, so does"
    yield "`python verify.py DIR`, with the one file swarmd/audit/verify.py."


def _head(*names: str) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(_safe(cell) for cell in _one_line(cells))} |"


def _one_line(cells: Sequence[str]) -> Iterator[str]:
    return (clean(str(cell)) for cell in cells)


def _safe(text: str) -> str:
    """``text`` as text: what a model or a server wrote must not become markup."""
    return _SPECIAL.sub(r"\\\1", clean(text))
