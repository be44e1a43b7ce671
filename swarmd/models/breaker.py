"""Circuit breakers: a server that keeps failing is left alone for a while (Nygard, Release It!, 2007)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Breaker", "Breakers"]


@dataclass
class Breaker:
    """Of one model on one server. Closed: calls pass. Open: none does. After ``pause_s`` one call may try."""

    failures_to_open: int
    pause_s: float
    now: Callable[[], float]
    """Seconds, never going back."""
    failures: int = 0
    """In a row."""
    opened_at: float | None = None
    probing: bool = False

    def wait_s(self) -> float:
        """Seconds until a call may be made; 0: now. While another call tries the server: ``pause_s``."""
        if self.opened_at is None:
            return 0.0
        left = max(0.0, self.opened_at + self.pause_s - self.now())
        return self.pause_s if not left and self.probing else left

    def begin(self) -> None:
        """A call is made. The first one after a pause is the only one until it has ended."""
        self.probing = self.opened_at is not None

    def succeeded(self) -> None:
        """The server answered, be it with a refusal."""
        self.failures, self.opened_at, self.probing = 0, None, False

    def failed(self) -> bool:
        """The server did not answer; true when that has opened the breaker."""
        self.failures += 1
        was_open, self.probing = self.opened_at is not None, False
        if was_open or self.failures >= self.failures_to_open:
            self.opened_at = self.now()
        return self.opened_at is not None and not was_open

    def gave_up(self) -> None:
        """The call was ended by its asker: that says nothing of the server."""
        self.probing = False


@dataclass
class Breakers:
    """The breakers of all models and servers."""

    failures_to_open: int
    pause_s: float
    now: Callable[[], float]
    _known: dict[tuple[str, str], Breaker] = field(default_factory=dict)

    def of(self, model: str, endpoint: str) -> Breaker:
        """That of ``model`` on the server ``endpoint``."""
        key = (model, endpoint)
        if key not in self._known:
            self._known[key] = Breaker(self.failures_to_open, self.pause_s, self.now)
        return self._known[key]
