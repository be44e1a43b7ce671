"""How long a request may take, how much it may use, and how urgent waiting has made it."""

from __future__ import annotations

from datetime import datetime

from swarmd.daemon.context import Context
from swarmd.daemon.state import RequestState
from swarmd.messages import PRIORITIES

__all__ = ["Limits"]


class Limits:
    """Ages on the boot clock, so that a moved wall clock neither ends nor favours anything."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._since: dict[str, float] = {}

    def age(self, request: RequestState) -> float:
        """Seconds since the request was received. What passed before this daemon first saw it is all
        that the wall's clock has to say."""
        now = self._context.clock.boot()
        since = self._since.get(request.request_id)
        if since is None:
            before = self._context.clock.now() - datetime.fromisoformat(request.received_ts)
            since = now - max(0.0, before.total_seconds())
            self._since[request.request_id] = since
        return now - since

    def forget(self, request_id: str) -> None:
        """That request has ended."""
        self._since.pop(request_id, None)

    def level(self, request: RequestState) -> int:
        """0 is the most urgent: the priority's place, one less for each ``ageing_s`` of age."""
        aged = int(self.age(request) / self._context.settings.daemon.ageing_s)
        return max(0, PRIORITIES.index(request.request.priority) - aged)

    def is_over(self, request: RequestState) -> bool:
        """Whether the request's time is over and that has not been said yet."""
        return request.error is None and self.age(request) > self._seconds(request)

    def exceeded(self, request: RequestState) -> tuple[str, str] | None:
        """Code and message of the limit that the request has exceeded; None when it keeps within all."""
        seconds, tokens = self._seconds(request), self._tokens(request)
        if self.age(request) > seconds:
            return "E-LIMIT-SECONDS", f"it took longer than its limit of {seconds} s"
        used = request.usage + request.cloud_usage
        if used.prompt_tokens + used.completion_tokens > tokens:
            return "E-LIMIT-TOKENS", f"it used more than its limit of {tokens} tokens"
        return None

    def _seconds(self, request: RequestState) -> int:
        most = self._context.settings.limits.seconds
        return min(request.request.limits.seconds or most, most)

    def _tokens(self, request: RequestState) -> int:
        most = self._context.settings.limits.tokens
        return min(request.request.limits.tokens or most, most)
