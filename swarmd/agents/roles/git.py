"""Words the commit message and the summary. The harness does the git, and the facts when words fail."""

from __future__ import annotations

import re

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import diffs
from swarmd.coding.context import Part, compose, fence
from swarmd.coding.failure import EditError
from swarmd.coding.parts import request_part
from swarmd.coding.reply import blocks, strip_thinking
from swarmd.errors import ModelError
from swarmd.messages import Proposal

__all__ = ["MAX_SUBJECT", "clean", "from_facts", "run"]

MAX_SUBJECT = 72
"""Longest subject of a commit message."""
MAX_BODY_LINES = 8
WIDTH = 72

_LABEL = re.compile(r"^(?:\W*(?:commit message|subject|title|message|summary|body)\W*:\s*)+", re.IGNORECASE)
_CHATTER = re.compile(
    r"^(?:here(?:'s| is| are)|sure|certainly|okay|of course|i have|i've|th(?:e|is) commit message|note that|"
    r"let me know|please)\b",
    re.IGNORECASE,
)
_TRAILER = re.compile(
    r"^(?:signed-off-by|co-authored-by|reviewed-by|change-id|swarmd-\w+|fixes|closes)\b.*:", re.IGNORECASE
)
"""Trailers are the harness's to write."""
_META = re.compile(r"^(?:diff --git|@@|\+\+\+ |--- |index [0-9a-f]+)")


def run(ctx: RoleContext) -> Proposal:
    """A message: always one, because what it says can be written from the facts."""
    diff = ctx.order.diff or ""
    message = None
    if diff.strip() and not ctx.order.small:
        try:
            message = clean(_ask(ctx))
        except (EditError, ModelError) as error:
            ctx.beat(f"no words from the model ({error.code}), so the facts")
    message = message or from_facts(ctx.order.user_request, diff)
    subject = message.split("\n")[0]
    return ctx.propose(kind="message", text=message, summary=f"{subject}. {_numbers(diff)}")


def _ask(ctx: RoleContext) -> str:
    order = ctx.order
    diff = order.diff or ""
    texts = [
        f"The change:\n{fence(diffs.shorten(diff, int(order.context_tokens * factor)), 'diff')}"
        for factor in (2.0, 1.2, 0.6, 0.2)
    ]
    parts = [
        request_part(order.user_request),
        Part("change", texts[0], tuple(texts[1:]), rank=2),
        Part("skill", ctx.skill, ("",), rank=8),
        Part(
            "instruction",
            f"Write the commit message: a subject of at most {MAX_SUBJECT} characters in the imperative,"
            " an empty line, and one or two sentences on what changed and why. Nothing else.",
        ),
    ]
    return ctx.chat(
        compose(ctx.system, parts, order.context_tokens, ctx.count).messages, purpose="message"
    ).text


def clean(reply: str) -> str | None:
    """The commit message in ``reply``, tidied; None when there is none that can be used."""
    text = strip_thinking(reply)
    found = blocks(text)
    lines = (found[0].text if found else text).replace("\r\n", "\n").split("\n")
    lines = [re.sub(r"[`*#]+|[^\w\s]\ufe0f", "", _LABEL.sub("", line)).strip() for line in lines]
    noise = (_CHATTER, _TRAILER, _META)
    lines = [line for line in lines if not any(pattern.match(line) for pattern in noise)]
    while lines and not lines[0]:
        lines.pop(0)
    if not lines:
        return None
    subject = lines[0].strip("\"' ").rstrip(".").strip()
    printable = subject.isprintable() and re.search(r"[A-Za-z]{2}", subject) is not None
    if not printable or len(subject) > MAX_SUBJECT or len(subject.split()) < 2:
        return None
    subject = subject[0].upper() + subject[1:]
    body = _body(lines[1:])
    return f"{subject}\n\n{body}" if body else subject


def _body(lines: list[str]) -> str:
    """At most a few lines of prose, filled to the usual width."""
    text = " ".join(line.lstrip("-•+ ") for line in lines if line and line.isprintable())
    words, filled, current = text.split(), [], ""
    for word in words:
        if current and len(current) + 1 + len(word) > WIDTH:
            filled.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    filled.append(current)
    if len(filled) > MAX_BODY_LINES:
        return ""
    return "\n".join(line for line in filled if line)


def from_facts(user_request: str, diff: str) -> str:
    """A commit message from the request's first sentence and the files that changed."""
    words = " ".join(user_request.split())
    first = re.split(r"(?<=[a-z)\]`'\"])[.!?:;](?:\s|$)", words)[0].strip(" .")
    first = "".join(character for character in first if character.isprintable()) or "Change the project"
    subject = first[0].upper() + first[1:]
    if len(subject) > MAX_SUBJECT:
        subject = subject[: MAX_SUBJECT - 1].rsplit(" ", 1)[0].rstrip(" ,") + "…"
    counted = [f"- {one.path}: +{one.added} -{one.removed}" for one in diffs.counts(diff)]
    return "\n".join([subject, "", *counted]).strip()


def _numbers(diff: str) -> str:
    """How much changed, in which files."""
    counted = diffs.counts(diff)
    if not counted:
        return "Nothing was changed."
    added, removed = sum(one.added for one in counted), sum(one.removed for one in counted)
    paths = ", ".join(one.path for one in counted[:6]) + (" …" if len(counted) > 6 else "")
    files = "1 file" if len(counted) == 1 else f"{len(counted)} files"
    return f"{files} changed ({paths}): {added} lines added, {removed} removed."
