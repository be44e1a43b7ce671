"""Keeps what a sample asks its model, within bounds, to be left with the proposal."""

from __future__ import annotations

from swarmd.messages import CallRecord, ChatCall, ChatMessage, ChatReply, Usage

__all__ = ["Recorder"]

MAX_CALLS = 16
"""Most calls of one sample that are kept: the first ones."""
MAX_TEXT = 64 * 1024
"""Most characters of one message or reply that are kept."""
MAX_TOTAL = 320 * 1024
"""Most bytes of all of them: six times as much as JSON still fits into a proposal."""


class Recorder:
    """The calls of one sample."""

    def __init__(self) -> None:
        self.calls: list[CallRecord] = []
        self._room = MAX_TOTAL

    def add(self, call: ChatCall, reply: ChatReply | None, error: str = "") -> None:
        """Keep ``call`` and its ``reply``, or why there was none."""
        if len(self.calls) >= MAX_CALLS:
            return
        before = self._room
        messages = [ChatMessage(role=one.role, content=self._kept(one.content)) for one in call.messages]
        text = self._kept(reply.text) if reply else ""
        said = sum(len(one.content.encode("utf-8", "replace")) for one in call.messages)
        suffix = None if call.suffix is None else self._kept(call.suffix)
        said += len((call.suffix or "").encode("utf-8", "replace"))
        said += len(reply.text.encode("utf-8", "replace")) if reply else 0
        self.calls.append(
            CallRecord(
                purpose=call.purpose[:80],
                tier=call.tier,
                model=reply.model if reply else "",
                provider=reply.provider if reply else "",
                temperature=call.temperature,
                top_p=call.top_p,
                seed=call.seed,
                max_tokens=call.max_tokens,
                messages=messages,
                suffix=suffix,
                reply=text,
                finish=reply.finish if reply else None,
                error=error[:2000].encode("utf-8", "replace").decode(),
                usage=reply.usage if reply else Usage(),
                latency_ms=reply.latency_ms if reply else 0,
                cut=before - self._room < said,
            )
        )

    def _kept(self, text: str) -> str:
        data = text.encode("utf-8", "replace")[: min(MAX_TEXT, max(self._room, 0))]
        self._room -= len(data)
        return data.decode("utf-8", "ignore")
