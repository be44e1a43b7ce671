"""Replies of models, kept by what was asked: a run can be resumed, and judged again, without asking."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from swarmd import durable

__all__ = ["Cache", "Recorded", "is_random", "key_of"]

VERSION = 1
MAX_ENTRY = 32 << 20
_TRANSPORT = frozenset({"stream_options", "user", "metadata", "cache_prompt", "timings_per_token"})
"""Fields of a request that do not change what is answered."""


@dataclass(frozen=True)
class Recorded:
    """One whole reply, as it came."""

    content_type: str
    body: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def is_random(request: Mapping[str, Any]) -> bool:
    """Whether the same request may be answered in another way the next time."""
    temperature = request.get("temperature")
    return request.get("seed") is None and temperature != 0


def key_of(request: Mapping[str, Any], occurrence: int = 0) -> str:
    """The name of the reply to a chat ``request``: a hash of model, messages, temperature, seed, limits
    and whatever else it says. ``occurrence`` tells the second sample of a random request from its first.
    """
    asked = {name: value for name, value in request.items() if name not in _TRANSPORT and value is not None}
    asked["stream"] = bool(request.get("stream"))
    text = orjson.dumps([VERSION, asked, occurrence], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


class Cache:
    """A folder of replies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> Recorded | None:
        """The reply kept under ``key``; None when there is none that can be read."""
        try:
            data = orjson.loads(durable.read_regular(self._path(key), MAX_ENTRY))
            return Recorded(**data["reply"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, key: str, request: Mapping[str, Any], reply: Recorded) -> None:
        """Keep ``reply``. The request stands beside it, for people. Raises OSError."""
        path = self._path(key)
        durable.make_dirs(path.parent)
        entry = {"v": VERSION, "request": request, "reply": asdict(reply)}
        durable.write(path, orjson.dumps(entry, option=orjson.OPT_INDENT_2), durable=False)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
