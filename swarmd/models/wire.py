"""What goes over the channel between the broker and whoever asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.errors import (
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    ModelUnreachableError,
    SwarmdError,
    WeightsError,
)
from swarmd.messages import ChatCall, ChatReply

__all__ = [
    "count_from",
    "count_question",
    "error_from",
    "error_to",
    "piece_from",
    "piece_to",
    "question",
    "reply_from",
]

_KINDS: dict[str, type[ModelError]] = {
    "E-MODEL-DOWN": ModelUnreachableError,
    "E-MODEL-BUSY": ModelUnreachableError,
    "E-MODEL-LOADING": ModelUnreachableError,
    "E-MODEL-TRUNCATED": ModelUnreachableError,
    "E-MODEL-TIMEOUT": ModelTimeoutError,
    "E-MODEL-OVERFLOW": ModelOverflowError,
    "E-MODEL-REFUSED": ModelRefusedError,
    "E-MODEL-REDIRECT": ModelRefusedError,
    "E-MODEL-NAME": ModelMissingError,
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


def piece_to(call_id: str, piece: str | None) -> dict[str, Any]:
    """The frame that brings the next piece of a reply's text; None: the reply begins anew."""
    return {"call": call_id, "piece": piece}


def piece_from(frame: Mapping[str, Any]) -> tuple[str | None] | None:
    """The piece in ``frame``, in a tuple because it may be None; None for a frame that brings none."""
    piece = frame.get("piece")
    return (piece,) if "piece" in frame and isinstance(piece, (str, type(None))) else None


def error_to(error: SwarmdError) -> dict[str, str]:
    """``error`` for a frame: code, message, hint."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def error_from(data: Mapping[str, Any]) -> ModelError:
    """The error of a frame, as the kind that its code means."""
    code = str(data.get("code", ModelError.code))
    kind = _KINDS.get(code, ModelError)
    return kind(str(data.get("message", "a model call failed")), code=code, hint=str(data.get("hint", "")))


def reply_from(frame: Mapping[str, Any]) -> ChatReply | None:
    """The answer in ``frame``, or None for one that only brings a piece of it.

    Raises the call's ModelError.
    """
    if "error" in frame:
        raise error_from(frame["error"])
    return ChatReply.model_validate(frame["reply"]) if "reply" in frame else None
