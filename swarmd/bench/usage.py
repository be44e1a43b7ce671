"""Reading an engine's reply as it passes: is it whole, and what did it cost?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from swarmd.bench.cache import Recorded
from swarmd.bench.meter import Call

__all__ = ["Tally"]

BYTES_PER_TOKEN = 4
"""Of a prompt whose tokens nobody told: the usual guess for English and code."""
SSE = "text/event-stream"


class Tally:
    """One reply on its way through."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._pieces: list[bytes] = []
        self.status = 0
        self.content_type = ""

    @property
    def begun(self) -> bool:
        """Whether the engine has answered at all."""
        return self.status != 0

    def begin(self, status: int, content_type: str) -> None:
        """The reply's head has come."""
        self.status, self.content_type = status, content_type

    def feed(self, piece: bytes) -> None:
        """A part of its body has come."""
        self._pieces.append(piece)

    @property
    def _text(self) -> str:
        return b"".join(self._pieces).decode("utf-8", "replace")

    @property
    def is_whole(self) -> bool:
        """Whether it was a success and came to its end."""
        if self.status != 200:
            return False
        if self.content_type.startswith(SSE):
            done = any(line.strip() == "data: [DONE]" for line in self._text.splitlines())
            return done and not any("error" in frame for frame in self._frames())
        return self._usage() is not None

    def call(self, begun: float, ended: float, *, aborted: bool) -> Call:
        """The reply, counted."""
        usage = self._usage() or {}
        prompt = usage.get("prompt_tokens")
        completion = usage.get("completion_tokens")
        return Call(
            (begun, ended),
            ended - begun,
            prompt if isinstance(prompt, int) else self._guessed_prompt(),
            completion if isinstance(completion, int) else self._spoken(),
            aborted=aborted,
        )

    def recorded(self, call: Call) -> Recorded:
        """The reply, for the cache."""
        return Recorded(
            self.content_type, self._text, call.prompt_tokens, call.completion_tokens, call.seconds
        )

    def _usage(self) -> dict[str, Any] | None:
        """What the engine said of tokens; {} when it said nothing in a whole reply; None: no reply."""
        if self.content_type.startswith(SSE):
            found = [frame["usage"] for frame in self._frames() if isinstance(frame.get("usage"), dict)]
            return found[-1] if found else {}
        try:
            data = json.loads(self._text)
        except ValueError:
            return None
        if not isinstance(data, dict) or "choices" not in data:
            return None
        usage = data.get("usage")
        return usage if isinstance(usage, dict) else {}

    def _frames(self) -> Iterator[dict[str, Any]]:
        for line in self._text.splitlines():
            if line.startswith("data:"):
                try:
                    frame = json.loads(line[5:])
                except ValueError:
                    continue
                if isinstance(frame, dict):
                    yield frame

    def _spoken(self) -> int:
        """Tokens that were streamed: an engine sends one in each frame."""
        if not self.content_type.startswith(SSE):
            return 0
        return sum(_has_text(frame) for frame in self._frames())

    def _guessed_prompt(self) -> int:
        messages = self._request.get("messages") or []
        texts = [str(one.get("content", "")) for one in messages if isinstance(one, dict)]
        texts.append(str(self._request.get("prompt") or ""))
        return sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN


def _has_text(frame: Mapping[str, Any]) -> bool:
    choices = frame.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return False
    if choices[0].get("text"):
        return True
    delta = choices[0].get("delta")
    return isinstance(delta, dict) and bool(delta.get("content"))
