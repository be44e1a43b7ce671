"""What all messages share: a version, strictness, and one way to and from JSON bytes."""

from __future__ import annotations

from typing import Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

__all__ = ["SHORT_ID", "Message", "dump", "load"]

SHORT_ID = r"^[a-z0-9][a-z0-9-]{0,63}$"
"""What a request id looks like: it becomes a file name and a branch name."""


class Message(BaseModel):
    """The base of all messages: frozen, versioned, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    v: Literal[1] = 1
    """Version of the format."""


M = TypeVar("M", bound=Message)


def dump(message: Message) -> bytes:
    """``message`` as indented JSON with a final newline: a file that ``cat`` shows well."""
    return orjson.dumps(
        message.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def load(kind: type[M], data: bytes) -> M:
    """Parse ``data`` as ``kind``. Raises pydantic's ValidationError when it does not fit."""
    return kind.model_validate_json(data)
