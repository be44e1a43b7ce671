"""Choosing the one page of knowledge/patterns/ that fits a request, by its keywords.

A page begins with ``---``, lines ``title:`` and ``keywords:`` (comma-separated words or phrases), and
``---``. A wrong page costs a small model more than a missing one helps, so a page needs two keywords
in the request, and of two that fit equally well neither is quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from swarmd import durable

__all__ = ["Pattern", "choose", "parse"]

THRESHOLD = 2
"""Keywords that must stand in a request; a phrase counts for two."""
_MAX_PAGE = 64 * 1024
_MAX_PAGES = 200
_MAX_TEXT = 32_768


@dataclass(frozen=True)
class Pattern:
    """A page that fits, cut to the budget."""

    name: str
    """The file's name without .md."""
    title: str
    text: str
    score: int


def choose(folder: Path, request: str, *, budget: int) -> Pattern | None:
    """The page under ``folder`` that fits ``request`` best, in at most ``budget`` characters.

    None when no page reaches the threshold, when two fit equally well, or when the best one has no
    paragraph that is short enough. Pages that cannot be read are left out.
    """
    wanted = _normal(request[:_MAX_TEXT])
    scored: list[tuple[int, str, str, str]] = []
    for path in sorted(folder.glob("[!.]*.md"))[:_MAX_PAGES]:
        page = _read(path)
        if page is not None:
            title, keywords, body = parse(page)
            scored.append((_score(keywords, wanted), path.stem, title or path.stem, body))
    scored.sort(key=lambda entry: -entry[0])
    if not scored or scored[0][0] < THRESHOLD or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        return None
    score, name, title, body = scored[0]
    text = _trimmed(body, budget)
    return Pattern(name, title, text, score) if text else None


def parse(page: str) -> tuple[str, list[str], str]:
    """Title, keywords and text of a page. One without front matter has no keywords."""
    found = re.match(r"---\r?\n(.*?)\r?\n---[ \t]*\r?\n(.*)", page, re.DOTALL)
    if found is None:
        return "", [], page.strip()
    fields = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in found[1].splitlines())
        if colon
    }
    keywords = [_normal(word).strip() for word in fields.get("keywords", "").strip("[]").split(",")]
    return fields.get("title", ""), list(dict.fromkeys(k for k in keywords if k)), found[2].strip()


def _read(path: Path) -> str | None:
    try:
        return durable.read_regular(path, _MAX_PAGE).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _normal(text: str) -> str:
    """Lower-case words with one blank around each: keywords are then found as whole words."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def _score(keywords: list[str], wanted: str) -> int:
    return sum(len(k.split()) for k in keywords if f" {k} " in wanted or f" {k}s " in wanted)


def _trimmed(text: str, budget: int) -> str:
    """As many whole paragraphs of ``text``, from its beginning, as ``budget`` characters hold."""
    kept = ""
    for paragraph in _paragraphs(text):
        longer = f"{kept}\n\n{paragraph}" if kept else paragraph
        if len(longer) > budget:
            break
        kept = longer
    return kept


def _paragraphs(text: str) -> list[str]:
    """``text`` at its blank lines; a fenced block stays whole."""
    parts: list[str] = []
    fenced = False
    for part in re.split(r"\n\s*\n", text):
        if fenced:
            parts[-1] += f"\n\n{part}"
        else:
            parts.append(part)
        fenced ^= len(re.findall(r"^```", part, re.MULTILINE)) % 2 == 1
    return parts
