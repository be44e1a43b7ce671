"""What ``swarmd privacy report`` tells: the verified part of the log, read once, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from swarmd.audit import read_lines
from swarmd.audit import verify as check
from swarmd.audit.modelcalls import Blocked, CallReader, CallRecord
from swarmd.cli.log_filter import LogFilter
from swarmd.cli.since import offset_since
from swarmd.clock import rfc3339
from swarmd.errors import AuditError
from swarmd.home import Home

__all__ = ["Flow", "Gathered", "Spool", "gather"]

IN_MEMORY = 4 * 1024 * 1024
"""Bytes of rows that stay in memory; more go to a temporary file."""
MOST_FLOWS = 1_000


class Spool:
    """Rows of any number, written once and read as often as one likes. Close it."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by the owner
        self.count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        for raw in self._file:
            yield orjson.loads(raw)

    def close(self) -> None:
        """Forget the rows."""
        self._file.close()


@dataclass
class Flow:
    """Sums over the calls to one destination."""

    provider: str
    destination: str | None
    local: bool | None
    calls: int = 0
    failed: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    unmeasured: int = 0
    """Calls whose bytes the log does not say."""
    tokens: int = 0

    def add(self, call: CallRecord) -> None:
        """One more call."""
        self.calls += 1
        self.failed += call.outcome != "answered"
        self.bytes_sent += call.bytes_sent or 0
        self.bytes_received += call.bytes_received or 0
        self.unmeasured += call.bytes_sent is None
        self.tokens += (call.prompt_tokens or 0) + (call.completion_tokens or 0)


@dataclass
class Gathered:
    """All that the report says. Close it."""

    home: str
    made: str
    """When."""
    request_id: str | None
    since: str | None
    chain: check.Report
    master: check.LogReport
    first: str = ""
    """When the first of the lines that were read was written; "" without one."""
    last: str = ""
    calls: Spool = field(default_factory=Spool)
    blocked: Spool = field(default_factory=Spool)
    flows: dict[tuple[str, str | None, bool | None], Flow] = field(default_factory=dict)
    left: int = 0
    """Calls of which something may have reached another machine."""
    unknown: int = 0
    """Calls of which the log does not say where they went."""

    @property
    def held(self) -> int:
        """The last line of the master's log that is verified; later ones are not looked at."""
        return self.master.absent + self.master.lines

    @property
    def has_servers(self) -> bool:
        """Whether a server on this machine was asked that is not swarmd's own."""
        return any(flow.local and flow.provider != "embedded" for flow in self.flows.values())

    def add(self, found: CallRecord | Blocked) -> None:
        """One more call, or attempt."""
        if self.request_id not in (None, found.request_id):
            return
        if isinstance(found, Blocked):
            self.blocked.add(found.as_json())
            return
        self.calls.add(found.as_json())
        self.left += found.has_left is True
        self.unknown += found.has_left is None
        key = (found.provider or "?", found.destination, found.local)
        if key not in self.flows and len(self.flows) >= MOST_FLOWS:
            key = ("others", None, found.local)
        self.flows.setdefault(key, Flow(*key)).add(found)

    def close(self) -> None:
        """Forget the rows."""
        self.calls.close()
        self.blocked.close()


def gather(home: Home, request_id: str | None = None, since: datetime | None = None) -> Gathered:
    """Verify all logs of ``home``, then read the calls out of the verified part of the master's: of one
    request, of the time from ``since`` on, or all. Raises AuditError when a log cannot be read."""
    try:
        chain = check.verify(home.root)
    except OSError as error:
        raise AuditError(f"a log cannot be read: {error}", hint="Check the permissions of logs/.") from error
    none = check.LogReport(home.master_log.name, "ok", 0)
    master = next((log for log in chain.logs if log.log == home.master_log.name), none)
    gathered = Gathered(
        home=str(home.root),
        made=rfc3339(datetime.now(UTC)),
        request_id=request_id,
        since=rfc3339(since) if since else None,
        chain=chain,
        master=master,
    )
    try:
        _read(home, gathered, since)
    except BaseException:
        gathered.close()
        raise
    return gathered


def _read(home: Home, gathered: Gathered, since: datetime | None) -> None:
    reader, path, wanted = CallReader(), home.master_log, LogFilter(since=since)
    try:
        start = offset_since(path, since) if since and gathered.master.line is None else 0
        for line, _ in read_lines(path, offset=start):
            if line["seq"] > gathered.held:
                break
            if not wanted(line):
                continue
            gathered.last = str(line.get("ts"))
            gathered.first = gathered.first or gathered.last
            for found in reader.take(line):
                gathered.add(found)
    except (orjson.JSONDecodeError, AuditError, KeyError, TypeError, AttributeError) as error:
        if gathered.master.line is None:  # else: it is known where the log stops to hold
            raise AuditError(f"{path} cannot be read: {error}") from error
    for found in reader.rest():
        gathered.add(found)
