"""Examples that stand in a request, in docstrings or in the README, as checks that the harness runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swarmd.messages._base import Message

__all__ = ["MAX_EXAMPLES", "Example", "Origin", "Step"]

MAX_EXAMPLES = 40
"""Most examples of a request that are run."""

Origin = Literal["request", "docstring", "readme"]


class Step(Message):
    """One statement of an example: data, until a sandbox runs it."""

    source: str
    expects: Literal["nothing", "value", "output", "raises", "told"]
    """value: ``expected`` is a constant. output: it is what a doctest session shows. raises: it is an
    exception's class, or its class and message. told: nothing is expected; the statement always fails, and
    its failure says what came."""
    expected: str = ""


class Example(Message):
    """One check: a session of statements that belong together, or a single call."""

    example_id: str
    """For people too: where it stands, and what it says."""
    steps: list[Step]
    names: dict[str, list[str]] = Field(default_factory=dict)
    """Name in the steps -> where it may come from, the likeliest first: ``module:name``, or ``module``
    for the module itself. Empty: it is asked for, and nobody knows yet where it will be."""
    symbol: str
    """The project's function or class that is called."""
    origin: Origin
    path: str | None = None
    line: int | None = None
    about: bool = False
    """The request is about it: when it fails on the base commit, it must turn green."""
    doubtful: bool = False
    """It may as well describe what is wrong, or is to be changed: when it holds on the base commit, it
    means nothing."""

    @property
    def text(self) -> str:
        """Its statements."""
        return "\n".join(step.source for step in self.steps)
