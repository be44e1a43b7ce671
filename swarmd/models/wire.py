"""What goes over the channel between the broker and whoever asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.errors import (
    ModelError,
    ModelOverflowError,
    ModelReplyError,
    ModelUnreachableError,
    SwarmdError,
    WeightsError,
)
from swarmd.messages import ChatCall, ChatReply

__all__ = ["count_from", "count_question", "error_from", "error_to", "question", "reply_from"]

_KINDS: dict[str, type[ModelError]] = {
    "E-MODEL-DOWN": ModelUnreachableError,
    "E-MODEL-BUSY": ModelUnreachableError,
    "E-MODEL-TIMEOUT": ModelUnreachableError,
    "E-MODEL-OVERFLOW": ModelOverflowError,
    "E-MODEL-REPLY": ModelReplyError,
    "E-WEIGHTS": WeightsError,
}


def question(call_id: str, call: ChatCall) -> dict[str, Any]:
    """The frame that asks."""
    return {"call": call_id, "chat": call.model_dump(mode="json", by_alias=True)}


def count_question(call_id: str, call: ChatCall) -> dict[str, Any]:
    """The frame that asks how many tokens the prompt of ``call`` has."""
    return {"call": call_id, "count": call.model_dump(mode="json", by_alias=True)}


def count_from(frame: Mapping[str, Any]) -> int | None:
    """The number in ``frame``; None when the broker cannot tell."""
    tokens = frame.get("tokens")
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0 else None


def error_to(error: SwarmdError) -> dict[str, str]:
    """``error`` for a frame: code, message, hint."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def error_from(data: Mapping[str, Any]) -> ModelError:
    """The error of a frame, as the kind that its code means."""
    code = str(data.get("code", ModelError.code))
    kind = _KINDS.get(code, ModelError)
    return kind(str(data.get("message", "a model call failed")), code=code, hint=str(data.get("hint", "")))


def reply_from(frame: Mapping[str, Any]) -> ChatReply | None:
    """The answer in ``frame``, or None for one that only says how far it is.

    Raises the call's ModelError.
    """
    if "error" in frame:
        raise error_from(frame["error"])
    return ChatReply.model_validate(frame["reply"]) if "reply" in frame else None
