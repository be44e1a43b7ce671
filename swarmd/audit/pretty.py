"""One line for people per log line. The log is the truth; this is a view of it.

``14:03:22 ✓ ok   coding.2     login/task-001  verification_pass   tests 41/41  3.2s``

Log data may hold what a model or a repository wrote, so every value is cleaned before it is shown:
no escape sequences, no control or direction-changing characters, one line.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

__all__ = ["LEVELS", "Style", "clean", "colour_of", "mark", "render"]

LEVELS: tuple[str, ...] = ("debug", "info", "warning", "error")
"""Levels of a log line, the least important first."""

MAX_VALUE = 60
MAX_DETAIL = 160

OK, FAIL, WARN, YOU, WORK, NOTE = "ok", "FAIL", "WARN", "YOU", "..", ""
GLYPHS = {OK: "✓", FAIL: "✗", WARN: "!", YOU: "▶", WORK: "·", NOTE: " "}
PLAIN_GLYPHS = {OK: "+", FAIL: "x", WARN: "!", YOU: ">", WORK: ".", NOTE: " "}
COLOURS = {OK: 32, FAIL: 31, WARN: 33, YOU: 35, WORK: 2, NOTE: 0}
ACTOR_COLOURS = (36, 34, 35, 33, 32, 96, 94, 95)

MARKS: Mapping[str, str] = {
    "agent_lost": FAIL,
    "agent_ready": OK,
    "escalation": WARN,
    "lease_expired": WARN,
    "model_call_complete": OK,
    "model_call_start": WORK,
    "needs_input": YOU,
    "patch_applied": OK,
    "plan_created": OK,
    "privacy_blocked": FAIL,
    "recovered": WARN,
    "request_rejected": FAIL,
    "task_abort": FAIL,
    "task_complete": OK,
    "verification_fail": FAIL,
    "verification_pass": OK,
    "verification_start": WORK,
    "warrant_denied": FAIL,
    "warrant_granted": OK,
    "warrant_requested": YOU,
}
"""Events that always mean the same; of the others, the line's status and level decide."""

BAD_STATUSES = {"failed", "rejected", "error", "lost", "timeout", "cancelled", "aborted"}
GOOD_STATUSES = {"succeeded", "ok", "passed"}

NEXT: Mapping[str, str] = {
    "needs_input": "swarmd task show {request_id}",
    "privacy_blocked": "swarmd config show --origin",
    "request_rejected": "swarmd bus dead",
    "task_abort": "swarmd task show {request_id}",
    "warrant_requested": "swarmd task show {request_id}",
}
"""What a person may want to type next."""

SHOWN_ELSEWHERE = frozenset(
    ["v", "seq", "ts", "event", "level", "writer", "actor", "request_id", "task_id", "prev", "data", "status"]
)
FOR_PROGRAMS = frozenset(
    [
        "agent_type",
        "base_commit",
        "cached_tokens",
        "calls",
        "client",
        "commit",
        "epoch",
        "file",
        "heads",
        "hint",
        "lease_expires_boot_ms",
        "order_id",
        "provider",
        "source",
        "temperature_milli",
        "verdict",
    ]
)
"""Fields of data that people see only with -v, as they do hashes and ids."""
NOTHING_IF_ZERO = frozenset(["diff_size", "micro_usd"])
THEN = "then"
"""The field of data that says what follows."""
TEXTS = frozenset(["action", "message", "note", "reason", "summary", "text", "why"])
"""Fields that speak for themselves: shown without their name."""

ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[PX^_].*?(?:\x1b\\|$)"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Style:
    """How lines are shown."""

    colour: bool = False
    plain: bool = False
    """ASCII only, for terminals that cannot show more."""
    verbose: bool = False
    """Every field, uncut."""
    zone: tzinfo | None = None
    """The time zone of the first column; None: the machine's."""


def clean(text: str, limit: int | None = None) -> str:
    """``text`` on one line, without what could move a cursor, hide or reorder text, at most ``limit``
    characters long."""
    if not (text.isascii() and text.isprintable()):
        text = ESCAPES.sub("", text)
        text = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text


def colour_of(actor: str) -> int:
    """The ANSI colour of an actor: the same in every run."""
    return ACTOR_COLOURS[zlib.crc32(actor.encode()) % len(ACTOR_COLOURS)]


def mark(line: Mapping[str, Any]) -> str:
    """The word that says how a line is to be taken: ok, FAIL, WARN, YOU, ``..`` or nothing."""
    event, status, level = (str(line.get(name) or "") for name in ("event", "status", "level"))
    if event in MARKS and level != "error":
        return MARKS[event]
    if level == "error" or status in BAD_STATUSES:
        return FAIL
    if level == "warning":
        return WARN
    return OK if status in GOOD_STATUSES else NOTE


def render(line: Mapping[str, Any], style: Style = Style()) -> str:
    """``line`` as one line without a newline. Any object renders, known event or not."""
    word = mark(line)
    glyph = (PLAIN_GLYPHS if style.plain else GLYPHS)[word]
    actor = clean(str(line.get("actor") or "-"), 16)
    columns = [
        _time(line.get("ts"), style.zone),
        _paint(f"{glyph} {word:4}", COLOURS[word], style),
        _paint(f"{actor:12}", colour_of(actor), style),
        f"{_subject(line):24}",
        f"{clean(str(line.get('event') or '?'), 40):20}",
        _detail(line, style),
        _then(line, style),
        _paint(_next_command(line, word), 1, style),
    ]
    text = " ".join(column for column in columns if column).rstrip()
    return text.replace("…", "...").encode("ascii", "replace").decode() if style.plain else text


def _paint(text: str, colour: int, style: Style) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if style.colour and colour and text.strip() else text


def _time(ts: object, zone: tzinfo | None) -> str:
    try:
        return datetime.fromisoformat(str(ts)).astimezone(zone).strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return "--:--:--"


def _subject(line: Mapping[str, Any]) -> str:
    parts = [clean(str(line[name]), 40) for name in ("request_id", "task_id") if line.get(name)]
    return "/".join(parts) or "-"


def _next_command(line: Mapping[str, Any], word: str) -> str:
    command = NEXT.get(str(line.get("event")), "")
    if line.get("event") == "request_complete":
        command = "swarmd task show {request_id}" + (
            " --diff" if word == OK or line.get("status") == "unconfirmed" else ""
        )
    request_id = clean(str(line.get("request_id") or ""), 64)
    if "{" in command and not re.fullmatch(r"[a-z0-9-]+", request_id):
        return ""
    return command.format(request_id=request_id)


def _then(line: Mapping[str, Any], style: Style) -> str:
    """What the daemon does next, behind everything else so that no long detail cuts it off."""
    data = line.get("data")
    text = clean(str(data.get(THEN) or ""), MAX_VALUE) if isinstance(data, dict) else ""
    return _paint(f"{'->' if style.plain else '→'} {text}", COLOURS[WORK], style) if text else ""


def _detail(line: Mapping[str, Any], style: Style) -> str:
    data = line.get("data")
    fields = {key: value for key, value in line.items() if key not in SHOWN_ELSEWHERE}
    fields |= data if isinstance(data, dict) else {"data": data}
    fields.pop(THEN, None)
    latency = fields.pop("latency_ms", None)
    status = str(line.get("status") or "")
    parts = [clean(status, 20) if status not in ("pass", "ok") else ""]
    parts += [
        _field(str(key), value, style) for key, value in fields.items() if value not in (None, "", [], {})
    ]
    if isinstance(latency, int):
        parts.append(f"{latency / 1000:.1f}s")
    text = "  ".join(part for part in parts if part)
    return text if style.verbose else clean(text, MAX_DETAIL)


def _field(key: str, value: Any, style: Style) -> str:
    if style.verbose:
        return f"{clean(key)}={_flat(value, None)}"
    if (
        key in FOR_PROGRAMS
        or key.endswith(("sha256", "hash", "_id"))
        or (value == 0 and key in NOTHING_IF_ZERO)
    ):
        return ""
    if key == "gates" and isinstance(value, list):
        return "  ".join(_gate(gate) for gate in value if isinstance(gate, dict))
    if key == "outcome" and isinstance(value, dict):
        failure = value.get("failure")
        digest = str(failure.get("digest") or "") if isinstance(failure, dict) else ""
        return clean(digest.strip().partition("\n")[0], MAX_VALUE)
    text = _flat(value, MAX_VALUE)
    return text if key in TEXTS or not text else f"{clean(key, 30)}={text}"


def _flat(value: Any, limit: int | None) -> str:
    """``value`` without what is nested in it more than once; with no ``limit``, whole."""
    if limit is not None and isinstance(value, dict):
        value = [f"{name}:{part}" for name, part in value.items() if not isinstance(part, (dict, list))]
    if limit is not None and isinstance(value, list):
        value = ",".join(str(part) for part in value if not isinstance(part, (dict, list)))
    return clean(str(value), limit)


def _gate(gate: Mapping[str, Any]) -> str:
    """``tests 40/41`` or ``lint ok``: what one gate of a verdict came to."""
    name = clean(str(gate.get("gate")), 20)
    passed, failed = gate.get("passed"), gate.get("failed")
    if isinstance(passed, int) and isinstance(failed, int) and passed + failed:
        return f"{name} {passed}/{passed + failed}" + ("" if gate.get("ok") or failed else " FAIL")
    return f"{name} {'ok' if gate.get('ok') else 'FAIL'}"
