"""What may be spent: the worst case of each call is reserved before it is made, and settled after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date

from swarmd.config import BudgetSettings
from swarmd.errors import ModelError
from swarmd.messages import CallContext, ChatCall, Usage
from swarmd.models import tokens
from swarmd.models.purse import Purse

__all__ = ["Budget", "BudgetError", "Reservation", "worst_case"]

SURELY = 2.5
"""A prompt that has this many times the tokens of the fewest possible would be one of 2.6 bytes a token: code
and prose of most languages have more. Digits and rare scripts may have fewer."""


class BudgetError(ModelError):
    """Raise the limit in swarmd.toml or in the request, or let a local model do it."""

    code = "E-BUDGET"


def worst_case(call: ChatCall) -> int:
    """Tokens that ``call``'s prompt hardly ever exceeds."""
    return min(tokens.at_most(call), int(tokens.at_least(call) * SURELY) + tokens.TEMPLATE_TOKENS)


@dataclass
class Reservation:
    """What one call may use at most, until its ``usage`` is known."""

    tokens: int
    micro_usd: int
    usage: Usage | None = None
    """Set it when the call has cost something. None: it cost nothing."""


@dataclass
class Budget:
    """Used and reserved, by request, by day (UTC) and for the whole home. One broker makes all calls, so that
    its own count is exact."""

    settings: BudgetSettings
    today: Callable[[], date]
    purse: Purse
    _tokens: Counter[str] = field(default_factory=Counter)

    def told(self, request_id: str, tokens: int) -> None:
        """How many tokens the request had used before this broker heard of it; told again, it changes
        nothing."""
        self._tokens.setdefault(request_id, tokens)

    def left(self, about: CallContext) -> int:
        """Micro-USD that ``about``'s request may still spend: 0 when nobody knows."""
        try:
            return max(0, min(most - used for _, used, most in self._money(about)))
        except ModelError:
            return 0

    @contextmanager
    def reserved(self, about: CallContext, tokens: int, micro_usd: int) -> Iterator[Reservation]:
        """Hold ``tokens`` and ``micro_usd`` while a call is made. Raises BudgetError when a limit would be
        exceeded by it."""
        self._refuse(about, tokens, micro_usd)
        held, day, name = Reservation(tokens, micro_usd), self.today(), about.request_id or ""
        self._tokens[name] += tokens
        if micro_usd:
            self.purse.add(name, day, micro_usd)
        try:
            yield held
        finally:
            used = held.usage or Usage()
            if name in self._tokens:  # not when the request has ended meanwhile
                self._tokens[name] += used.prompt_tokens + used.completion_tokens - tokens
            if used.micro_usd != micro_usd:
                # What cannot be written now stays as it was reserved: the reply is there, and is paid.
                with suppress(ModelError):
                    self.purse.add(name, day, used.micro_usd - micro_usd)

    def _refuse(self, about: CallContext, tokens: int, micro_usd: int) -> None:
        name = about.request_id or ""
        if about.tokens is not None and self._tokens[name] + tokens > about.tokens:
            used = self._tokens[name]
            raise BudgetError(
                f"the call may take {tokens} tokens; of {about.tokens} {used} are used or reserved",
                code="E-LIMIT-TOKENS",
            )
        if micro_usd <= 0:
            return
        for what, used, most in self._money(about):
            if used + micro_usd > most:
                raise BudgetError(
                    f"the call may cost {micro_usd} micro-USD; {used} of {most} {what} are spent or reserved"
                )

    def _money(self, about: CallContext) -> list[tuple[str, int, int]]:
        """What, used, at most."""
        spent = self.purse.read()
        return [
            ("for the request", spent.requests.get(about.request_id or "", 0), about.micro_usd),
            ("for today", spent.days.get(self.today(), 0), self.settings.day_micro_usd),
            ("for this home", spent.home, self.settings.home_micro_usd),
        ]

    def forget(self, request_id: str) -> None:
        """The request has ended."""
        self._tokens.pop(request_id, None)
