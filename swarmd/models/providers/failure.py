"""The words of servers for their failures, as swarmd's own errors: one tree for all providers."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Any

from swarmd.errors import (
    ModelError,
    ModelMissingError,
    ModelOverflowError,
    ModelRefusedError,
    ModelUnreachableError,
)

__all__ = ["BUSY", "TransientError", "failure", "said_by", "unknown_model"]

BUSY = frozenset({429, 503, 529})
"""What servers answer that ask to wait: too many requests, unavailable, and Anthropic's overloaded."""
MOST_WAIT_S = 60.0
"""The longest wait that a server may ask for."""
SAID = 300
"""Characters of a server's own words that are kept."""

_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|(exceed|longer than|over|larger than)[^.]{0,60}context"
    r"|context (length|size|window)[^.]{0,60}exceed|maximum context length|ContextWindowExceeded"
    r"|prompt is too long|input is too long|request_too_large",
    re.IGNORECASE,
)
_LOADING = re.compile(r"\bloading\b|still (being )?load|not (yet )?(loaded|ready)", re.IGNORECASE)
_MEMORY = re.compile(
    r"more system memory|out of memory|insufficient memory|cudaMalloc failed|unable to allocate"
    r"|failed to allocate",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model[^.]{0,200}(not found|does not exist|not exist|no such)|(no such|unknown|invalid) model"
    r"|model_not_found",
    re.IGNORECASE,
)


class TransientError(ModelUnreachableError):
    """Start the model's server, or choose another in swarmd.toml, then run "swarmd model test"."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        busy: bool = False,
        broken: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """``busy``: it is there and asks to wait, ``retry_after`` seconds if it says so. ``broken``:
        it failed in the middle of a call, which is worth one more try."""
        super().__init__(message, code=code or ("E-MODEL-BUSY" if busy else None), hint=hint)
        self.busy = busy
        self.broken = broken
        self.retry_after = retry_after


def failure(model: str, status: int, body: str, retry_after: str | None = None) -> ModelError:
    """The error that a server's answer other than success means. ``retry_after`` is its header, as seconds
    or as a date."""
    message = said_by(body)
    said = f"{model}'s server answered {status}: {message}"
    if status in (400, 413, 422, 500) and _OVERFLOW.search(body):
        return ModelOverflowError(said)
    if status >= 500 and _MEMORY.search(body):
        return ModelError(said, code="E-MODEL-MEMORY", hint=_MEMORY_HINT)
    if status in BUSY:
        code = "E-MODEL-LOADING" if _LOADING.search(body) else "E-MODEL-BUSY"
        return TransientError(said, code=code, busy=True, retry_after=_seconds(retry_after))
    if (status >= 500 and status != 501) or status in (408, 499):
        return TransientError(said, broken=True)
    if status == 404 or (status == 400 and _NO_MODEL.search(message)):
        return unknown_model(model, message)
    if 300 <= status < 400:
        problem = f"{model}'s server redirects ({status}), which is not followed"
        return ModelRefusedError(problem, code="E-MODEL-REDIRECT")
    return ModelRefusedError(said)


_MEMORY_HINT = "End other programs, lower this model's context in swarmd.toml, or use a smaller one."


def unknown_model(model: str, detail: str) -> ModelMissingError:
    """The server does not have ``model``."""
    return ModelMissingError(f"the server does not have the model {model}: {detail}")


def said_by(body: str) -> str:
    """What a server says in its error, in either of the two envelopes there are, or as plain text."""
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body.strip()[:SAID] or "(nothing)"
    inner = data.get("error", data) if isinstance(data, dict) else data
    said = inner.get("message") if isinstance(inner, dict) else inner
    return str(said)[:SAID]


def _seconds(text: str | None) -> float | None:
    """A Retry-After header, in either of its two forms (RFC 9110, 10.2.3)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(MOST_WAIT_S, max(0.0, seconds)) if seconds == seconds else None
