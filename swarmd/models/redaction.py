"""Taking credentials and paths out of a prompt before it leaves the machine, and putting them back into the
reply.

What is taken out is replaced by a placeholder such as ``REDACTED_3``, the same one wherever it stands, so
that a model can still tell things apart and write them. The table that restores them never leaves the
process. Everything here is a pure function of its arguments; see ``credentials`` for what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from swarmd.errors import ModelError
from swarmd.messages import ChatCall, ChatMessage
from swarmd.models.credentials import Span, find_credentials

__all__ = ["Restorer", "Table", "redact", "redact_call", "redact_texts"]

SHORTEST_REPEAT = 6
"""A credential of at least so many characters is taken out wherever else it stands, too."""
DEEPEST_SCHEMA = 64

_WORD = re.compile(r"[\w+/=.~!#$%^&*-]{6,}+")
_TAKEN = re.compile(r"REDACTED(\d{0,9})_")
_DIGITS = re.compile(r"[0-9]*+")
_AFTER_PATH = r"(?![\w-]|\.\w)"
_PEOPLE = r"(?:home|Users|root|mnt|Volumes)"
"""Folders below which paths tell who somebody is and what they work on."""
_PERSONAL = re.compile(
    # behind a quote, to its end, spaces included; else to what can hardly belong to a path
    rf"(?<=[\"'`])/(?P<quoted>{_PEOPLE}/[^\"'`\n\x00]{{1,1024}}+)"
    rf"|(?<![\w.])/(?P<plain>{_PEOPLE}/[^\s\"'`:;,()<>\[\]{{}}|*?\\\x00]{{1,1024}}+)"
    rf"|(?<![\w.])\\/(?P<escaped>{_PEOPLE}\\/[^\s\"'`:;,()<>\[\]{{}}|*?\x00]{{1,1024}}+)"
    rf"|(?<![\w.])[A-Za-z]:(?:\\{{1,2}}|/)(?P<windows>Users(?:\\{{1,2}}|/)[^\s\"'`:;,()<>\[\]{{}}|*?\x00]{{1,1024}}+)"
)


@dataclass(frozen=True)
class Table:
    """What stands for what in one call."""

    tag: str = "REDACTED_"
    """What every placeholder begins with; the call's texts nowhere hold it."""
    values: tuple[str, ...] = ()
    """The value of placeholder 1, 2 …"""
    found: int = 0
    """Places in which something was replaced, for the log."""
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(rf"{self.tag}([0-9]{{1,9}})(?![0-9])"))

    def restore(self, text: str, *, as_json: bool = False) -> str:
        """``text`` with the values in the place of the placeholders. What is restored is not looked at
        again. ``as_json`` for a text that is JSON: the values are escaped then, as a JSON string needs."""

        def value(match: re.Match[str]) -> str:
            number = int(match[1])
            if not 1 <= number <= len(self.values):
                return match[0]
            plain = self.values[number - 1]
            return orjson.dumps(plain).decode()[1:-1] if as_json else plain

        return self._pattern.sub(value, text) if self.values else text

    def restorer(self, *, as_json: bool = False) -> Restorer:
        """For a reply that comes in pieces."""
        return Restorer(self, as_json)


class Restorer:
    """Restores a reply that comes in pieces; one that may be half a placeholder waits for the next."""

    def __init__(self, table: Table, as_json: bool) -> None:
        self._table = table
        self._as_json = as_json
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be given on after ``piece``."""
        text = self._held + piece
        keep = _half_placeholder(text, self._table.tag) if self._table.values else 0
        self._held = text[len(text) - keep :]
        return self._table.restore(text[: len(text) - keep], as_json=self._as_json)

    def end(self) -> str:
        """The rest, when the reply has ended."""
        text, self._held = self._held, ""
        return self._table.restore(text, as_json=self._as_json)


def _half_placeholder(text: str, tag: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of a placeholder."""
    at = text.rfind(tag, max(0, len(text) - len(tag) - 9))
    if at >= 0 and _DIGITS.fullmatch(text, at + len(tag)):
        return len(text) - at
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)


def redact(
    messages: Sequence[ChatMessage], roots: Iterable[str], known: Iterable[str] = ()
) -> tuple[list[ChatMessage], Table]:
    """``messages`` without credentials and paths, and the table that restores them. See ``redact_texts``."""
    texts, table = redact_texts([one.content for one in messages], roots, known)
    redacted = zip(messages, texts, strict=True)
    return [one.model_copy(update={"content": text}) for one, text in redacted], table


def redact_call(call: ChatCall, roots: Iterable[str], known: Iterable[str] = ()) -> tuple[ChatCall, Table]:
    """``call`` without credentials and paths in its messages, its suffix, its stops and its schema's texts.

    The schema of the call as it was is the one that the restored reply has to follow. Raises ModelError
    (E-MODEL-CALL) for a schema that is nested too deep.
    """
    texts = [one.content for one in call.messages] + [call.suffix or "", *call.stop]
    from_schema: list[str] = []

    def collect(text: str) -> str:
        from_schema.append(text)
        return text

    _map_texts(call.schema_, collect)
    clean, table = redact_texts([*texts, *from_schema], roots, known)
    turns, rest = len(call.messages), len(texts)
    messages = [
        one.model_copy(update={"content": text}) for one, text in zip(call.messages, clean, strict=False)
    ]
    schema_texts = iter(clean[rest:])
    changed: dict[str, Any] = {
        "messages": messages,
        "suffix": None if call.suffix is None else clean[turns],
        "stop": clean[turns + 1 : rest],
        "schema_": _map_texts(call.schema_, lambda _: next(schema_texts)),
    }
    return call.model_copy(update=changed), table


def _map_texts(value: Any, change: Callable[[str], str], depth: int = 0) -> Any:
    """``value`` with every string in it changed, names of fields apart: a reply has to use those."""
    if depth > DEEPEST_SCHEMA:
        raise ModelError(f"the schema is nested deeper than {DEEPEST_SCHEMA} levels", code="E-MODEL-CALL")
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {
            key: part if key == "required" else _map_texts(part, change, depth + 1)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_map_texts(part, change, depth + 1) for part in value]
    return value


def redact_texts(
    texts: Sequence[str], roots: Iterable[str], known: Iterable[str] = ()
) -> tuple[list[str], Table]:
    """``texts`` without what must not leave the machine, and the table that restores it.

    Taken out are credentials, ``roots`` (absolute folders: the project, the home of swarmd, the user's own;
    what follows a root stays, so that a model still sees which file is meant), other paths below folders
    that belong to people, and ``known``: strings that are secret for sure, such as the keys that the broker
    itself uses. The time taken is linear in the length of the texts.
    """
    by_root = _roots(roots)
    secrets = _alternatives(known)
    spans = [find_credentials(text) + _matches(secrets, text) for text in texts]
    repeated = {
        text[begin:end]
        for text, found in zip(texts, spans, strict=True)
        for begin, end in found
        if end - begin >= SHORTEST_REPEAT
    }
    table = _Growing(_free_tag(texts))
    clean = []
    for text, found in zip(texts, spans, strict=True):
        again = [match.span() for match in _WORD.finditer(text) if match[0] in repeated]
        clean.append(table.replace(text, [*found, *again, *_paths(by_root, text)]))
    return clean, Table(table.tag, tuple(table.numbers), table.found)


@dataclass
class _Growing:
    """A table while it is being made."""

    tag: str
    numbers: dict[str, int] = field(default_factory=dict)
    """Values, in the order of their numbers."""
    found: int = 0

    def replace(self, text: str, spans: list[Span]) -> str:
        pieces, at = [], 0
        for begin, end in _apart(text, spans):
            number = self.numbers.setdefault(text[begin:end], len(self.numbers) + 1)
            pieces += [text[at:begin], f"{self.tag}{number}"]
            at, self.found = end, self.found + 1
        return "".join([*pieces, text[at:]])


def _apart(text: str, spans: list[Span]) -> list[Span]:
    """``spans`` in order; those that overlap or touch as one, because between placeholders stands nothing.
    Digits behind one belong to it: they would be read as a part of the placeholder's number."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            if end <= merged[-1][1]:
                continue
            begin = merged.pop()[0]
        digits = _DIGITS.match(text, end)
        merged.append((begin, digits.end() if digits else end))
    return [(begin, end) for begin, end in merged if end > begin]


def _free_tag(texts: Sequence[str]) -> str:
    """What placeholders begin with: something that no text holds, whoever wrote it."""
    taken = {match[1] for text in texts for match in _TAKEN.finditer(text)}
    number = next(n for n in range(len(taken) + 1) if (str(n) if n else "") not in taken)
    return f"REDACTED{number or ''}_"


def _alternatives(words: Iterable[str]) -> re.Pattern[str] | None:
    escaped = [re.escape(word) for word in sorted(set(words), key=len, reverse=True) if word.strip()]
    return re.compile("|".join(escaped)) if escaped else None


def _matches(pattern: re.Pattern[str] | None, text: str) -> list[Span]:
    return [match.span() for match in pattern.finditer(text)] if pattern else []


def _roots(roots: Iterable[str]) -> re.Pattern[str] | None:
    """Every way in which a root may be written, without its leading slash: that stays, so that what is left
    is an absolute path. A root of one part counts only where a path begins: it is a common word."""
    ways: dict[str, str] = {}
    for root in roots:
        bare = root.strip("/")
        begins = r"(?<=/)" if "/" in bare else r"(?<=/)(?<![\w.*-]/)"
        for way in (bare, quote(bare), bare.replace("/", "\\/")) if bare else ():
            ways[way] = f"{begins}{re.escape(way)}{_AFTER_PATH}"
    longest_first = [ways[way] for way in sorted(ways, key=len, reverse=True)]
    return re.compile("|".join(longest_first)) if ways else None


def _paths(roots: re.Pattern[str] | None, text: str) -> list[Span]:
    spans = _matches(roots, text)
    begins: Mapping[int, int] = dict(spans)
    for match in _PERSONAL.finditer(text):
        begin, end = match.span(match.lastgroup or 0)
        if begin not in begins:  # below a root: its name is gone, the rest of the path is needed
            spans.append((begin, end))
    return spans
