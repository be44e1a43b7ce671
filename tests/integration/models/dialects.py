"""How three protocols say the same things: the words of the conformance server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


def dumps(data: Any) -> bytes:
    return json.dumps(data).encode()


class Dialect:
    """One protocol. Every method returns bytes as they go over the wire."""

    name: str
    chat_route: str
    stream_headers: ClassVar[dict[str, str]] = EVENTS

    def listing(self, names: Sequence[str]) -> dict[str, bytes]:
        """The answers to the questions for models: route to body."""
        raise NotImplementedError

    def start(self, model: str, prompt_tokens: int) -> bytes:
        return b""

    def piece(self, text: Any, model: str) -> bytes:
        raise NotImplementedError

    def thought(self, text: str, model: str) -> bytes:
        raise NotImplementedError

    def end(self, model: str, finish: str, usage: dict[str, Any]) -> bytes:
        """``finish`` is stop, length, or the server's own word; ``usage`` has prompt, completion, cached."""
        raise NotImplementedError

    def error(self, message: str, kind: str) -> bytes:
        """The body of an answer that is an error."""
        return dumps({"error": {"message": message, "type": kind}})

    def error_line(self, message: str, kind: str) -> bytes:
        """The same, in the middle of a stream."""
        raise NotImplementedError


def event(data: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


class OpenAi(Dialect):
    name = "openai"
    chat_route = "POST /v1/chat/completions"

    def listing(self, names: Sequence[str]) -> dict[str, bytes]:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in names]
        return {"GET /v1/models": dumps({"object": "list", "data": data})}

    def _chunk(self, delta: dict[str, Any], model: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        kind = {"id": "x", "object": "chat.completion.chunk", "created": 0}
        return event(kind | {"model": model, "choices": [choice]})

    def start(self, model: str, prompt_tokens: int) -> bytes:
        return self._chunk({"role": "assistant", "content": ""}, model)

    def piece(self, text: Any, model: str) -> bytes:
        return self._chunk({"content": text}, model)

    def thought(self, text: str, model: str) -> bytes:
        return self._chunk({"reasoning_content": text}, model)

    def end(self, model: str, finish: str, usage: dict[str, Any]) -> bytes:
        counts = {
            "prompt_tokens": usage["prompt"],
            "completion_tokens": usage["completion"],
            "total_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": usage["cached"]},
        }
        last = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": []}
        return self._chunk({}, model, finish) + event(last | {"usage": counts}) + b"data: [DONE]\n\n"

    def error_line(self, message: str, kind: str) -> bytes:
        return event({"error": {"message": message, "type": kind, "code": None}})


class Ollama(Dialect):
    name = "ollama"
    chat_route = "POST /api/chat"
    stream_headers: ClassVar[dict[str, str]] = {"content-type": "application/x-ndjson"}

    def listing(self, names: Sequence[str]) -> dict[str, bytes]:
        models = [{"name": name, "model": name, "size": 400} for name in names]
        return {
            "GET /api/tags": dumps({"models": models}),
            "GET /api/ps": dumps({"models": models[:1]}),
        }

    def piece(self, text: Any, model: str) -> bytes:
        return (
            dumps({"model": model, "message": {"role": "assistant", "content": text}, "done": False}) + b"\n"
        )

    def thought(self, text: str, model: str) -> bytes:
        return dumps({"model": model, "message": {"content": "", "thinking": text}, "done": False}) + b"\n"

    def end(self, model: str, finish: str, usage: dict[str, Any]) -> bytes:
        counts = {
            "prompt_eval_count": usage["prompt"],
            "eval_count": usage["completion"],
            "prompt_eval_cached_count": usage["cached"],
        }
        last = {"model": model, "message": {"content": ""}, "done": True, "done_reason": finish}
        return dumps(last | counts) + b"\n"

    def error(self, message: str, kind: str) -> bytes:
        return dumps({"error": message})

    def error_line(self, message: str, kind: str) -> bytes:
        return dumps({"error": message}) + b"\n"


class Anthropic(Dialect):
    name = "anthropic"
    chat_route = "POST /v1/messages"
    _finishes: ClassVar[dict[str, str]] = {"stop": "end_turn", "length": "max_tokens"}

    def listing(self, names: Sequence[str]) -> dict[str, bytes]:
        made = {"created_at": "2026-01-01T00:00:00Z", "lifecycle": "active", "max_input_tokens": 200_000}
        models = [{"type": "model", "id": name, "display_name": name} | made for name in names]
        page = {"data": models, "has_more": False, "first_id": None, "last_id": None}
        one = {f"GET /v1/models/{model['id']}": dumps(model) for model in models}
        return {"GET /v1/models?limit=1000": dumps(page)} | one

    def start(self, model: str, prompt_tokens: Any) -> bytes:
        message = {"id": "x", "type": "message", "role": "assistant", "model": model, "content": []}
        usage = {"input_tokens": prompt_tokens, "output_tokens": 0}
        begun = {"type": "message_start", "message": message | {"usage": usage}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return (
            event(begun, "message_start")
            + event(block, "content_block_start")
            + event({"type": "ping"}, "ping")
        )

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")

    def piece(self, text: Any, model: str) -> bytes:
        return self._delta({"type": "text_delta", "text": text})

    def thought(self, text: str, model: str) -> bytes:
        return self._delta({"type": "thinking_delta", "thinking": text})

    def end(self, model: str, finish: str, usage: dict[str, Any]) -> bytes:
        counts = {"output_tokens": usage["completion"], "input_tokens": usage["prompt"]}
        if isinstance(usage["prompt"], int) and isinstance(usage["cached"], int):
            counts |= {
                "input_tokens": usage["prompt"] - usage["cached"],
                "cache_read_input_tokens": usage["cached"],
            }
        reason = self._finishes.get(finish, finish)
        delta = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": counts}
        stop = event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        return stop + event(delta, "message_delta") + event({"type": "message_stop"}, "message_stop")

    def error(self, message: str, kind: str) -> bytes:
        return dumps({"type": "error", "error": {"type": kind, "message": message}})

    def error_line(self, message: str, kind: str) -> bytes:
        return event({"type": "error", "error": {"type": kind, "message": message}}, "error")


DIALECTS: dict[str, Dialect] = {one.name: one for one in (OpenAi(), Ollama(), Anthropic())}
