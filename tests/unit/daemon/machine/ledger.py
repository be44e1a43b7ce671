"""What must be true, told from the log's lines alone: the model that the daemon is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from swarmd.audit import Line

__all__ = ["Ledger", "marker_of"]

POISON = 3
"""So many crashes, or rejected samples, may end a request as failed."""

_MARKER = re.compile(r"#(\d+)#")


def marker_of(text: str) -> int:
    """The number of the drop that a request's text bears."""
    match = _MARKER.search(text)
    assert match, text
    return int(match[1])


@dataclass
class _Active:
    cancelled: bool = False
    crashes: int = 0
    rejected: int = 0


@dataclass
class Ledger:
    """Requests as the lines tell of them. A line that may not come breaks an assertion."""

    active: dict[str, _Active] = field(default_factory=dict)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Status and hash of the result, by request."""
    markers: dict[int, str] = field(default_factory=dict)
    """Which request came of a drop."""
    texts: dict[str, int] = field(default_factory=dict)
    """Which drop a request came of."""
    paused: bool = False

    def take(self, line: Line) -> None:
        """One more line of the log."""
        name, request_id, data = line["event"], line.get("request_id"), line["data"]
        if name in ("daemon_paused", "daemon_resumed"):
            self.paused = name == "daemon_paused"
        if request_id is None:
            return
        if name == "request_received":
            self._receive(request_id, marker_of(data["text"]))
        elif name == "request_reopened":
            assert request_id in self.ended, f"{request_id} was opened again, but it had not ended"
            assert self.ended.pop(request_id)[0] != "succeeded"
            self.active[request_id] = _Active()
        elif name == "request_complete":
            self._end(request_id, line["status"], data["result_sha256"], data["error"])
        elif request_id in self.active:
            self._count(self.active[request_id], name, line)

    def _receive(self, request_id: str, marker: int) -> None:
        assert request_id not in self.active, f"{request_id} was accepted twice"
        assert request_id not in self.ended, f"{request_id} was accepted again after it had ended"
        assert marker not in self.markers, f"drop {marker} became {self.markers[marker]} and {request_id}"
        self.active[request_id], self.markers[marker], self.texts[request_id] = _Active(), request_id, marker

    def _end(self, request_id: str, status: str, digest: str, error: str | None) -> None:
        assert request_id not in self.ended, f"{request_id} has two results"
        request = self.active.pop(request_id)
        if status == "cancelled":
            assert request.cancelled, f"nobody cancelled {request_id}"
        elif status != "succeeded":
            had_cause = request.crashes >= POISON or request.rejected >= POISON
            assert status == "failed", f"{request_id} {status}: {error}"
            assert had_cause, f"{request_id} failed without a cause: {error}"
        self.ended[request_id] = status, digest

    def _count(self, request: _Active, name: str, line: Line) -> None:
        if name == "request_cancelling":
            request.cancelled = True
        elif name in ("lease_expired", "verifier_lost"):
            request.crashes += line["data"]["crashed"]
        elif name == "verification_fail":
            request.rejected += 1
