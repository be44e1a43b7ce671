"""Guessing how many tokens a prompt has, for servers that cannot be asked."""

from __future__ import annotations

from swarmd.messages import ChatCall

__all__ = ["at_least", "at_most", "was_cut"]

MOST_BYTES_PER_TOKEN = 6.5
"""Code has 3 to 4 bytes per token and English prose up to 5: a text seldom has more than this. A code
prompt that was cut in half seems to have 7."""
TURN_TOKENS = 16
"""What a chat template may add around one message, at most."""
TEMPLATE_TOKENS = 64
"""What it may add once, such as a default system message."""


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


def _bytes(call: ChatCall) -> int:
    return sum(len(text.encode()) for text in (*(one.content for one in call.messages), call.suffix or ""))
