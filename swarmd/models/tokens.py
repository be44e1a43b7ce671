"""Guessing how many tokens a prompt has, for servers that cannot be asked."""

from __future__ import annotations

from swarmd.messages import ChatCall

__all__ = ["Calibration", "at_least", "at_most", "was_cut"]

MOST_BYTES_PER_TOKEN = 6.5
"""Code has 3 to 4 bytes per token and English prose up to 5: a text seldom has more than this. A code
prompt that was cut in half seems to have 7."""
TURN_TOKENS = 16
"""What a chat template may add around one message, at most."""
TEMPLATE_TOKENS = 64
"""What it may add once, such as a default system message."""
MARGIN = 0.15
"""How far the bytes per token of one prompt are from the mean of a model's others, mostly."""
LEARN_FROM = 64
"""A shorter prompt is mostly template, and says little."""
KNOWN_AFTER = 256
"""Prompt tokens that have to be seen before the mean is believed."""
REMEMBERED = 100_000
"""Prompt tokens that the mean is over, about; older ones fade."""
CUT_BELOW = 0.6
"""A count below this part of the expected one is that of a cut prompt. Ollama cuts to a half."""


def at_least(call: ChatCall) -> int:
    """A token count that ``call``'s prompt nearly always reaches."""
    return int(_bytes(call) / MOST_BYTES_PER_TOKEN)


def at_most(call: ChatCall) -> int:
    """A token count that it cannot exceed: a token is at least one byte."""
    return _bytes(call) + TURN_TOKENS * len(call.messages) + TEMPLATE_TOKENS


def was_cut(call: ChatCall, tokens: int, context: int) -> bool:
    """Whether a server that read ``tokens`` must have left out a part of ``call``'s prompt.

    Only a prompt that may not fit ``context`` can have been cut.
    """
    return at_most(call) > context and tokens < at_least(call)


class Calibration:
    """The bytes per token of one model's prompts, learnt from what its server counted."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._tokens = 0.0

    def learn(self, call: ChatCall, tokens: int) -> None:
        """``call``'s prompt has ``tokens``, by a server that read all of it."""
        if tokens < LEARN_FROM or not at_least(call) <= tokens <= at_most(call):
            return
        if self._tokens > REMEMBERED:
            self._bytes, self._tokens = self._bytes / 2, self._tokens / 2
        self._bytes, self._tokens = self._bytes + _bytes(call), self._tokens + tokens

    def expected(self, call: ChatCall) -> int | None:
        """About how many tokens its prompt has; None before enough is known."""
        return int(_bytes(call) * self._tokens / self._bytes) if self._tokens >= KNOWN_AFTER else None

    def estimate(self, call: ChatCall) -> int | None:
        """The same, so that it is seldom too low."""
        expected = self.expected(call)
        return None if expected is None else int(expected * (1 + MARGIN)) + 1

    def was_cut(self, call: ChatCall, tokens: int, context: int) -> bool:
        """As ``was_cut`` of this module, but by what is known of the model: it sees cuts that leave more."""
        expected = self.expected(call)
        return expected is not None and at_most(call) > context and tokens < expected * CUT_BELOW


def _bytes(call: ChatCall) -> int:
    return sum(len(text.encode()) for text in (*(one.content for one in call.messages), call.suffix or ""))
