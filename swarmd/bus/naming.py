"""File names that people choose, made safe to print, to keep and to use as an id."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["printable", "safe_file_name", "slug"]

_MAX_ID = 64


def printable(text: str, limit: int = 200) -> str:
    """``text`` for a message or a log line: one line of valid Unicode, at most ``limit`` characters.

    Bytes that are no UTF-8 (surrogate escapes), control and format characters become ``?``: a name
    may not draw on a terminal.
    """
    shown = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def safe_file_name(name: str, limit: int = 180) -> str:
    """A file name near ``name`` that prints well, does not hide itself, and is at most ``limit`` bytes."""
    kept = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in name).lstrip(".- ")
    while len(kept.encode()) > limit:
        kept = kept[:-1]
    return kept or "unnamed"


def slug(text: str, limit: int = _MAX_ID) -> str:
    """``text`` as a request id of at most ``limit`` characters; ``request`` when nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:limit].rstrip("-") or "request"
