"""The project's own conventions, condensed to a few lines for the prompt.

They come from files that anybody can write: they are text in a prompt, fenced as data. What may be
touched, which gates run and who is asked is decided elsewhere, and nothing in here is read for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from swarmd.coding.formatters import Reader, formatter_settings
from swarmd.coding.tokens import estimate

__all__ = ["PAGES", "conventions"]

PAGES = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md", ".github/CONTRIBUTING.md", "CONTRIBUTING.rst")
"""Where projects write them down, the most to the point first."""
MAX_PAGE = 60_000
"""Most characters of a page that are read."""
MAX_READ = 400
"""Most characters of a line that are looked at."""
MAX_LINE = 140
MAX_LINES = 12
MIN_TOKENS = 20
"""Less room is not worth a heading."""

_ABOUT = re.compile(
    r"\b(?:style|code|coding|conventions?|tests?|testing|lint\w*|format\w*|naming|typing|types?)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^(?:#{1,6}\s+(?P<marked>.+?)\s*#*|(?P<lined>[^\s#>*-].{0,78}))$")
_RULE = re.compile(r"^[=\-~^]{3,}\s*$")
_FENCE = re.compile(r"^\s*(?:`{3,}|~{3,})")
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,2}[.)])\s+(?P<text>.+)$")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")


def conventions(read: Reader, path: str, budget: int) -> str:
    """What the project asks of the file ``path``, in at most ``budget`` tokens: settings of its formatters
    on one line, then lines of its pages. Empty when there is nothing, or no room."""
    lines: list[str] = []
    if budget < MIN_TOKENS:
        return ""
    settings = ", ".join(f"{name} {value}" for name, value in formatter_settings(read, path).items())
    for line in [*([settings] if settings else []), *_page_lines(read)]:
        if len(lines) < MAX_LINES and estimate("\n".join([*lines, line])) <= budget:
            lines.append(line)
    return "\n".join(lines)


def _page_lines(read: Reader) -> Iterator[str]:
    """The items and sentences of the first page that has any on style, code, tests or conventions."""
    for name in PAGES:
        text = read.read(name)
        found = list(dict.fromkeys(_relevant(text[:MAX_PAGE]))) if text else []
        if found:
            yield from found
            return


def _relevant(text: str) -> Iterator[str]:
    """Lines of the sections whose headings say that they are about code; of a short page without
    headings, all. Code blocks and what readers do not see are left out: small models copy the first,
    and nobody has agreed to the second."""
    plain = _HIDDEN.sub("", text.replace("\r\n", "\n"))
    lines = [line[:MAX_READ] for line in plain.split("\n")]
    headed = any(_heading(lines, number) for number in range(len(lines)))
    wanted, fenced = not headed, False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            heading = _heading(lines, number)
            if heading:
                wanted = _ABOUT.search(heading) is not None
            elif wanted and (said := _said(line)):
                yield said


def _heading(lines: list[str], number: int) -> str:
    match = _HEADING.match(lines[number].rstrip())
    if match is None:
        return ""
    if match["marked"]:
        return match["marked"]
    underlined = number + 1 < len(lines) and _RULE.match(lines[number + 1])
    return match["lined"] if underlined else ""


def _said(line: str) -> str:
    """A line as plain text; empty for rules, tables and what is too short to say anything."""
    item = _ITEM.match(line)
    text = _LINK.sub(r"\1", item["text"] if item else line)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if _RULE.match(text) or text.startswith(("|", ":", "..", ">", "<")) or len(text) < 8:
        return ""
    return "- " + (text if len(text) <= MAX_LINE else text[: MAX_LINE - 2] + " …")
