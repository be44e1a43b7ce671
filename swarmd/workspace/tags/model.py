"""Tags: the definitions of a file with their heads, and the names that it mentions."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from swarmd.messages import Message

__all__ = ["Definition", "Kind", "ProjectTags", "Tags"]

Kind = Literal["class", "function", "method", "constant"]
"""Interfaces, enums, records and named types count as classes."""


class Definition(NamedTuple):
    """One definition at the top of a file, or inside a class. In JSON a list, because there are many."""

    name: str
    kind: Kind
    owner: str
    """The class that it is in, or that it is a method of; empty at the top."""
    line: int
    """First line, from 1."""
    end: int
    """Last line."""
    signature: str
    """Its head on one line, without the body."""

    @property
    def qualified(self) -> str:
        """``Cart.total``."""
        return f"{self.owner}.{self.name}" if self.owner else self.name


class Tags(Message):
    """One file's tags."""

    language: str
    definitions: list[Definition] = Field(default_factory=list)
    """In the order of their lines."""
    references: dict[str, int] = Field(default_factory=dict)
    """Names that it calls, imports, inherits from or uses as types, and how often."""


class ProjectTags(Message):
    """A project's tags at one commit, by path."""

    files: dict[str, Tags] = Field(default_factory=dict)
    skipped: int = 0
    """Files of known languages that are not in it: too large, unreadable, or over the limits."""
