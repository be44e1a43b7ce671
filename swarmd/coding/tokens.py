"""How many tokens a text will take, without a tokenizer: an agent has none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from swarmd.messages import ChatMessage

__all__ = ["MESSAGE_TOKENS", "estimate", "estimate_messages"]

BYTES_PER_TOKEN = 3.2
"""Code takes 3.2 to 4 bytes a token in the tokenizers of today's coder models; prose takes more."""
MESSAGE_TOKENS = 6
"""What a chat template adds to each turn."""

_DIGITS = re.compile(r"\d")


def estimate(text: str) -> int:
    """Tokens of ``text``, on the safe side. Digits count one each, as the Qwen family splits them."""
    digits = len(_DIGITS.findall(text))
    return math.ceil((len(text.encode()) - digits) / BYTES_PER_TOKEN) + digits


def estimate_messages(messages: Iterable[ChatMessage]) -> int:
    """Tokens of a whole prompt, with what the chat template adds."""
    return sum(estimate(message.content) + MESSAGE_TOKENS for message in messages) + MESSAGE_TOKENS
