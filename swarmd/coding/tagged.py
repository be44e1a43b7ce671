"""Splices single definitions into a file in a language other than Python, by tree-sitter's tags.

Asked for a file, small models answer with the function that changes. Functions and classes at the top of
the file are put in by name; whatever else such a reply holds is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swarmd.coding.failure import RefusedError
from swarmd.coding.readings import MAX_LINES, chunks, undone
from swarmd.coding.splice import leaves_out
from swarmd.workspace.tags import Definition, language_of, tags_of
from swarmd.workspace.tags.grammar import grammar

__all__ = ["breaks", "splice_tagged"]

_EXPORTS = ("export default ", "export ")
_LEAST_DEFINED = ("function", "class")


def splice_tagged(path: str, old: str, code: str, *, cut: bool = False) -> str | None:
    """``old`` with the functions and classes of ``code`` in the place of its own; None when ``code`` has
    none of them whole. ``cut``: it breaks off.

    Raises RefusedError when one leaves out code behind a comment.
    """
    for variant in undone(code):
        found = list(_whole(path, variant, cut))
        known = [one.name for one in _tops(path, old)]
        if any(known.count(one.name) == 1 for one, _ in found):
            break
    else:
        return None
    text = old
    for one, lines in found:
        text = _put(path, text, one, lines)
    return text


def _put(path: str, text: str, one: Definition, new: Sequence[str]) -> str:
    same = [other for other in _tops(path, text) if other.name == one.name]
    lines = text.split("\n")
    if len(same) > 1:
        return text
    if not same:
        return "\n".join([*text.rstrip("\n").split("\n"), "", *new, ""])
    start, end = same[0].line - 1, same[0].end
    if leaves_out(new, lines[start:end]):
        raise RefusedError(f"{one.name} leaves out code behind a comment; write all of it.")
    # Small models drop the export that nobody asked them to drop.
    lead = next((word for word in _EXPORTS if lines[start].startswith(word)), "")
    first = new[0] if new[0].startswith("export ") else lead + new[0]
    return "\n".join([*lines[:start], first, *new[1:], *lines[end:]])


def _tops(path: str, text: str) -> list[Definition]:
    tags = tags_of(path, text)
    return [one for one in tags.definitions if not one.owner and one.kind in _LEAST_DEFINED] if tags else []


def _whole(path: str, code: str, cut: bool) -> Iterator[tuple[Definition, list[str]]]:
    """The definitions of ``code`` that parse by themselves, with their lines."""
    lines = code.rstrip().split("\n")
    if len(lines) > MAX_LINES:
        return
    if cut or breaks(path, code):
        found = list(chunks(lines))
        whole = [chunk for chunk in found[: -1 if cut else None] if breaks(path, "\n".join(chunk)) is False]
        lines = [line for chunk in whole for line in chunk]
        code = "\n".join(lines)
    for one in _tops(path, code):
        text = lines[one.line - 1 : one.end]
        if text and breaks(path, "\n".join(text)) is False:
            yield one, text


def breaks(path: str, text: str) -> bool | None:
    """True when ``text`` has syntax errors in the language of ``path``; None when nobody can tell."""
    language = language_of(path)
    known = grammar(language) if language else None
    if known is None:
        return None
    from tree_sitter import Parser

    return Parser(known.language).parse(text.encode("utf-8", "replace")).root_node.has_error
