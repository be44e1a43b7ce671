"""The prompt for one edit, within a budget of tokens.

The order in it is stable first: the system prompt (the same for all orders of an agent type), then the
task, the code, what else is known, and last the one line that says what to answer. Two samples of an
attempt share all of it, so that an engine reads it once.

When it does not fit, parts shrink or go in this order, until it does:

1.  the map of the project: to half of it, then none
2.  the project's conventions: to a few lines, then none
3.  the knowledge pattern
4.  the skill page
5.  signatures of other files
6.  the user's own words, to a few lines, when the planner has put the task shorter
7.  signatures of the neighbours in the file: to those that the target uses, then none
8.  a long task: to its ends; the failing test's code: to its ends, then none
9.  the last attempt's patch
10. the failing test's output and the last failure: to a few lines, then none
11. the file: to the symbols that are to change
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from swarmd.coding.failure import FormatError
from swarmd.coding.tokens import estimate_messages
from swarmd.messages import ChatMessage

__all__ = ["Count", "Part", "Prompt", "compose", "fence", "shorten", "strip_comments"]

Count = Callable[[Sequence[ChatMessage]], int | None]
"""How many tokens a prompt has; None: nobody can tell."""

SURELY_FITS, MAY_FIT = 0.85, 1.5
"""Estimates, as shares of the budget, between which the engine is asked. On this project's own files
Qwen2.5-Coder's tokenizer counts 0.72 to 0.95 of what is estimated (5 % to 95 %), and never over 1.1."""

_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One part of a prompt."""

    name: str
    text: str
    """As it is when there is room."""
    smaller: tuple[str, ...] = ()
    """What may stand instead, each smaller than the one before; an empty text leaves the part out."""
    rank: int = 0
    """Parts of the highest rank shrink first; those of rank 0 never do."""


@dataclass(frozen=True)
class Prompt:
    """A prompt that fits."""

    messages: list[ChatMessage]
    tokens: int
    """Counted, or estimated on the safe side."""
    reduced: tuple[str, ...] = ()
    """Names of the parts that are not whole."""


def compose(
    system: str, parts: Sequence[Part], budget: int, count: Count | None = None, *, begun: str = ""
) -> Prompt:
    """The prompt of ``system`` and ``parts``, of at most ``budget`` tokens: by ``count``, the engine's own
    tokenizer, where that can tell and the estimate leaves it open. ``begun``: how the reply begins.

    Raises FormatError when it does not fit even when all that may go is gone.
    """
    reduced: dict[str, None] = {}
    current = list(parts)
    for step in _steps(parts):
        prompt = _measured(_prompt(system, current, tuple(reduced), begun), budget, count)
        if prompt.tokens <= budget:
            return prompt
        index, text = step
        current[index] = replace(current[index], text=text)
        reduced[current[index].name] = None
    prompt = _measured(_prompt(system, current, tuple(reduced), begun), budget, count)
    if prompt.tokens <= budget:
        return prompt
    largest = max(current, key=lambda part: len(part.text))
    raise FormatError(
        f"The prompt needs {prompt.tokens} tokens and may have {budget}: {largest.name} is too large."
        " Name the function to change, or raise policy.context_tokens."
    )


def _measured(prompt: Prompt, budget: int, count: Count | None) -> Prompt:
    """``prompt`` with its true size, where the estimate is too near to ``budget`` to decide."""
    if count is None or not SURELY_FITS * budget < prompt.tokens <= MAY_FIT * budget:
        return prompt
    tokens = count(prompt.messages)
    return prompt if tokens is None else replace(prompt, tokens=tokens)


def _steps(parts: Sequence[Part]) -> Iterator[tuple[int, str]]:
    """The reductions, in order: (index of the part, its next text)."""
    for rank in sorted({part.rank for part in parts} - {0}, reverse=True):
        for index, part in enumerate(parts):
            if part.rank == rank:
                yield from ((index, text) for text in part.smaller)


def _prompt(system: str, parts: Sequence[Part], reduced: tuple[str, ...], begun: str) -> Prompt:
    user = "\n\n".join(part.text.strip("\n") for part in parts if part.text.strip())
    messages = [ChatMessage(role="user", content=user)]
    if system.strip():
        messages.insert(0, ChatMessage(role="system", content=system.strip()))
    if begun:
        messages.append(ChatMessage(role="assistant", content=begun))
    return Prompt(messages, estimate_messages(messages), reduced)


def fence(text: str, language: str = "") -> str:
    """``text`` as a fenced block that nothing inside it can close: that is how data is marked as data."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text.strip(chr(10))}\n{mark}"


def shorten(text: str, limit: int) -> str:
    """At most about ``limit`` characters of ``text``: its head and its tail, on whole lines."""
    if len(text) <= limit:
        return text
    lines = text.split("\n")
    head, tail = [lines[0][:limit]], [""]
    room = limit - len(head[0])
    first, last = 1, len(lines) - 1
    while first <= last and room > len(lines[last]):
        tail.insert(0, lines[last])
        room -= len(lines[last]) + 1
        last -= 1
        if first <= last and room > len(lines[first]) and len(head) * 3 <= len(tail):
            head.append(lines[first])
            room -= len(lines[first]) + 1
            first += 1
    return "\n".join([*head, "…", *tail]).rstrip("\n")


def strip_comments(page: str) -> str:
    """A prompt or skill page without the ``<!-- -->`` notes for people."""
    return _COMMENT.sub("", page).strip()
