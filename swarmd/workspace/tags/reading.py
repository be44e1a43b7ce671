"""Tags one text. The text is untrusted: sizes, counts and time are bounded, names are checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from swarmd.workspace.tags.grammar import Grammar, grammar, language_of
from swarmd.workspace.tags.model import Definition, Kind, Tags

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["MAX_BYTES", "MAX_DEFINITIONS", "MAX_NAMES", "Mention", "mentions", "tags_of"]

MAX_BYTES = 256 * 1024
"""A larger file is not tagged: it is generated, or would drown the others."""
MAX_LINE = 5_000
"""A file with a longer line is minified or data."""
MAX_DEFINITIONS = 300
"""Most definitions of one file."""
MAX_TOP = 5_000
"""A file with more statements at its top is data."""
MAX_NAMES = 400
"""Most names that one file mentions."""
MAX_SIGNATURE = 140
MAX_LEAD = 80
"""Most bytes of words before a definition that may belong to it."""
MAX_HEAD = 2_000
"""Most bytes that are looked at for it."""

_NAME = re.compile(r"[\w$]{1,80}")
_KINDS: tuple[Kind, ...] = ("class", "function", "method", "constant")
_LEAD = re.compile(
    r"^\s*(?:(?:export|default|declare|abstract|async|const|let|var|type|public|private|protected|static"
    r"|final|readonly|pub)\s+)+$"
)
_ANNOTATION = re.compile(r"@[\w.]+(?:\((?:[^()\"]|\"[^\"]*\")*\))?\s*")
_NOISE = re.compile(r"\b(?:export|default|declare|public)\s+")
_REMARK = re.compile(r"(?:(?<=\s)#|//)[^\n]*|/\*.*?\*/", re.DOTALL)
_RECEIVER = re.compile(r"^func\s*\(\s*(?:\w+\s+)?\*?\s*(\w+)")
_VALUE_LENGTH = 60


class Mention(NamedTuple):
    """A name where it is used."""

    name: str
    line: int
    """From 1."""


class _Found(NamedTuple):
    node: Node
    name: Node
    kind: Kind


def tags_of(path: str, text: str) -> Tags | None:
    """The tags of ``text``, which is or shall be the file ``path``.

    None when the language is not known, the text is too large or has endless lines, or nothing can be
    made out. Of a text with errors in it, what can be made out counts.
    """
    language = language_of(path)
    read = _read(language, text) if language else None
    if read is None or language is None:
        return None
    data, found, refs = read
    names = Counter(name for name in (_text(data, node) for node in refs) if _NAME.fullmatch(name))
    return Tags(
        language=language,
        definitions=_most(list(_definitions(language, data, found))),
        references=dict(names.most_common(MAX_NAMES)),
    )


def mentions(path: str, text: str) -> list[Mention]:
    """The names that ``text`` uses, with their lines; empty when it cannot be tagged."""
    language = language_of(path)
    read = _read(language, text) if language else None
    if read is None:
        return []
    data, _, refs = read
    found = (Mention(_text(data, node), node.start_point[0] + 1) for node in refs)
    return [mention for mention in found if _NAME.fullmatch(mention.name)]


def _read(language: str, text: str) -> tuple[bytes, list[_Found], list[Node]] | None:
    """The text's bytes, what it defines, and the nodes of the names that it mentions."""
    data = text.encode("utf-8", "replace")
    too_long = len(data) > MAX_BYTES or max(map(len, data.split(b"\n"))) > MAX_LINE
    known = None if too_long else grammar(language)
    if known is None:
        return None
    return _search(known, data)


def _search(known: Grammar, data: bytes) -> tuple[bytes, list[_Found], list[Node]] | None:
    from tree_sitter import Parser, QueryCursor

    # Without the callbacks that could end it early: those of tree-sitter 0.26 fail or crash at random.
    # The text's size bounds the time, a quarter of a second for the largest.
    root = Parser(known.language).parse(data).root_node
    if root.type == "ERROR" or root.child_count > MAX_TOP:
        return None  # nothing can be made out, and searching thousands of siblings takes seconds
    matches = QueryCursor(known.query, match_limit=4_096).matches(root)
    found: dict[int, _Found] = {}
    refs: dict[int, Node] = {}
    for _, captures in matches:
        _sort_in(captures, found, refs)
    own = {one.name.start_byte for one in found.values()}
    ordered = sorted(found.values(), key=lambda one: (one.node.start_byte, -one.node.end_byte))
    mentioned = [node for start, node in sorted(refs.items()) if start not in own]
    return data, ordered, mentioned


def _sort_in(captures: Mapping[str, Sequence[Node]], found: dict[int, _Found], refs: dict[int, Node]) -> None:
    for node in captures.get("ref", ()):
        refs.setdefault(node.start_byte, node)
    for kind in _KINDS:
        if kind in captures and captures.get("name"):
            name = captures["name"][0]
            found.setdefault(name.start_byte, _Found(captures[kind][0], name, kind))


def _definitions(language: str, data: bytes, found: Sequence[_Found]) -> Iterator[Definition]:
    """Those at the top and in classes, in order. What stands inside a function is that function's."""
    around: list[tuple[int, Kind, str]] = []
    """The definitions that enclose the present one: (last byte, kind, name)."""
    for one in found:
        while around and around[-1][0] <= one.node.start_byte:
            around.pop()
        hidden = any(kind in ("function", "method") for _, kind, _ in around)
        name = _text(data, one.name)
        around.append((one.node.end_byte, one.kind, name))
        if hidden or not _NAME.fullmatch(name):
            continue
        signature = _signature(language, data, one)
        owner = next((known for _, kind, known in reversed(around[:-1]) if kind == "class"), "")
        if language == "go" and (receiver := _RECEIVER.match(signature)):
            owner = receiver[1]
        kind: Kind = "method" if one.kind == "function" and owner else one.kind
        yield Definition(name, kind, owner, one.node.start_point[0] + 1, one.node.end_point[0] + 1, signature)


def _most(found: list[Definition]) -> list[Definition]:
    """The first MAX_DEFINITIONS; constants only as far as the others leave room."""
    if len(found) > MAX_DEFINITIONS:
        ranked = sorted(found, key=lambda one: one.kind == "constant")[:MAX_DEFINITIONS]
        found = sorted(ranked, key=lambda one: one.line)
    return found


def _signature(language: str, data: bytes, one: _Found) -> str:
    """The head: what comes before the body, on one line."""
    start = _line_begin(data, one.node.start_byte)
    head = data[start : min(_head_end(language, one), start + MAX_HEAD)].decode("utf-8", "replace")
    head = " ".join(_REMARK.sub(" ", head).split()).replace("( ", "(").replace(", )", ")")
    if one.kind == "constant":
        return _cut(head, _VALUE_LENGTH)
    head = _NOISE.sub("", _ANNOTATION.sub("", head)).rstrip(" {:=;")
    return _cut(head.removesuffix("=>").rstrip(" ="), MAX_SIGNATURE)


def _line_begin(data: bytes, start: int) -> int:
    """Where the words before the node begin that belong to it, such as ``export const``."""
    begin = data.rfind(b"\n", 0, start) + 1
    if start - begin > MAX_LEAD:
        return start
    return begin if _LEAD.match(data[begin:start].decode("utf-8", "replace")) else start


def _head_end(language: str, one: _Found) -> int:
    node = one.node
    if one.kind == "constant":
        return node.end_byte
    body = node.child_by_field_name("body")
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    if body is None and value is not None:
        body = value.child_by_field_name("body")
    if language == "python":
        colons = (child.start_byte for child in node.children if child.type == ":")
        return next(colons, node.end_byte)
    if body is not None:
        return body.start_byte
    brace = (node.text or b"").find(b"{")
    return node.end_byte if brace < 0 else node.start_byte + brace


def _cut(text: str, limit: int) -> str:
    plain = "".join(char for char in text if char.isprintable())
    return plain if len(plain) <= limit else plain[: limit - 2] + " …"


def _text(data: bytes, node: Node) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace")
