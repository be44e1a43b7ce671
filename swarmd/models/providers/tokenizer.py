"""Counting a prompt with the tokenizer of an OpenAI-compatible server that has one: llama.cpp's or vLLM's."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from swarmd.config import ModelSettings
from swarmd.errors import ModelError, ModelReplyError, ModelUnreachableError
from swarmd.messages import ChatCall
from swarmd.models.infill import fill_prompt

__all__ = ["ServerTokenizer"]

Post = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Asks an endpoint beside /v1."""


class _Kind(enum.Enum):
    UNKNOWN = enum.auto()
    LLAMA_CPP = enum.auto()
    VLLM = enum.auto()
    NONE = enum.auto()


class ServerTokenizer:
    """The tokenizer of one model's server, if it has one."""

    def __init__(self, model: str, served: str, settings: ModelSettings, post: Post) -> None:
        self._model, self._served, self._settings, self._post = model, served, settings, post
        self._kind = _Kind.UNKNOWN

    async def count(self, call: ChatCall) -> int | None:
        """The tokens of ``call``'s prompt with its template, exactly; None where there is no tokenizer.
        Raises ModelError."""
        if self._kind is _Kind.UNKNOWN:
            self._kind = await self._find()
        if self._kind is _Kind.NONE:
            return None
        turns = [{"role": turn.role, "content": turn.content} for turn in call.messages]
        if call.suffix is not None:
            prompt, _ = fill_prompt(call, self._model, self._settings)
        elif self._kind is _Kind.VLLM:
            counted = await self._post("/tokenize", {"model": self._served, "messages": turns})
            return self._number(counted, "count")
        else:
            prompt = str(self._field(await self._post("/apply-template", {"messages": turns}), "prompt", str))
        asked: dict[str, Any] = {"add_special": True, "parse_special": True, "content": prompt}
        if self._kind is _Kind.VLLM:
            asked = {"model": self._served, "prompt": prompt}
            return self._number(await self._post("/tokenize", asked), "count")
        return len(self._field(await self._post("/tokenize", asked), "tokens", list))

    async def _find(self) -> _Kind:
        """Which tokenizer answers; nothing of a prompt is shown to a server that may have none."""
        try:
            said = await self._post("/tokenize", {"model": self._served, "prompt": "", "content": ""})
        except ModelUnreachableError:
            raise
        except ModelError:
            return _Kind.NONE
        if not isinstance(said, dict):
            return _Kind.NONE
        if "count" in said:
            return _Kind.VLLM
        return _Kind.LLAMA_CPP if "tokens" in said else _Kind.NONE

    def _number(self, said: Any, name: str) -> int:
        return int(self._field(said, name, int))

    def _field(self, said: Any, name: str, kind: type) -> Any:
        value = said.get(name) if isinstance(said, dict) else None
        if not isinstance(value, kind):
            raise ModelReplyError(f"{self._model}'s server sent no {name} from its tokenizer")
        return value
