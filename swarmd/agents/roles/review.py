"""Reads the whole change against the request. May reject by pointing at a line; never approves."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from swarmd.agents.roles.context import RoleContext, explain
from swarmd.coding import diffs
from swarmd.coding.context import Part, compose, fence
from swarmd.coding.failure import EditError
from swarmd.coding.parts import request_part
from swarmd.errors import ModelError
from swarmd.messages import Proposal

__all__ = ["SCHEMA", "Reading", "judge", "run"]

SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 300},
        "verdict": {"type": "string", "enum": ["ok", "defect"]},
        "quote": {"type": "string", "maxLength": 200},
    },
    "required": ["reason", "verdict", "quote"],
    "additionalProperties": False,
}
"""What the model answers. The reason comes first: a small model decides better after it has said why."""

MIN_QUOTE = 4
"""A shorter quote (a bracket, ``pass``) points at nothing."""
MAX_FINDINGS = 12


class Reading(BaseModel):
    """The model's answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    verdict: Literal["ok", "defect"]
    quote: str


def run(ctx: RoleContext) -> Proposal:
    """Findings; ``rejects`` only when the reading found a defect that it can point at."""
    findings = list(ctx.order.findings)
    diff = ctx.order.diff or ""
    if not diff.strip():
        return ctx.propose(kind="findings", findings=findings, text="There is no change to read.")
    if ctx.order.small:
        text = "So small a change was read by the static rules alone. That is not an approval."
        return ctx.propose(kind="findings", findings=findings, text=text, summary=text)
    try:
        reading = _read(ctx, diff)
    except (EditError, ModelError) as error:
        reason = explain(error)
        text = f"No verdict: {reason.digest} That is not an approval."
        return ctx.propose(kind="findings", findings=findings, text=text, failure=reason)
    except ValidationError:
        text = "No verdict: the model's answer could not be read. That is not an approval."
        return ctx.propose(kind="findings", findings=findings, text=text)
    place = judge(reading, diff)
    if place is None:
        text = "The reading found no defect that it can point at. That is not an approval."
        return ctx.propose(kind="findings", findings=findings, text=text, summary=text)
    finding = f"{place.path}:{place.line}: review {reading.reason.strip()}"
    return ctx.propose(
        kind="findings", findings=[finding, *findings], rejects=True, text=finding, summary=finding
    )


def _read(ctx: RoleContext, diff: str) -> Reading:
    """Ask the model. Raises ModelError, FormatError or ValidationError."""
    order = ctx.order
    sizes = [order.context_tokens * factor for factor in (2.6, 1.8, 1.0, 0.4)]
    texts = [f"The change:\n{fence(diffs.shorten(diff, int(size)), 'diff')}" for size in sizes]
    found = "\n".join(order.findings[:MAX_FINDINGS])
    parts = [
        request_part(order.user_request),
        Part("change", texts[0], tuple(texts[1:]), rank=2),
        Part("findings", f"What the linters found:\n{fence(found)}" if found else "", ("",), rank=3),
        Part("skill", ctx.skill, ("",), rank=8),
        Part(
            "instruction",
            'Answer in JSON: "reason" (one sentence), "verdict" ("ok" or "defect"), and as "quote" the one'
            " added line with the defect, copied from the change, or an empty string.",
        ),
    ]
    messages = compose(ctx.system, parts, order.context_tokens, ctx.count).messages
    reply = ctx.chat(messages, purpose="review", schema=SCHEMA)
    return Reading.model_validate_json(reply.text)


def judge(reading: Reading, diff: str) -> diffs.DiffLine | None:
    """The changed line that a defect points at; None when there is no defect, or no such line."""
    if reading.verdict != "defect" or not reading.reason.strip():
        return None
    quote = " ".join(reading.quote.strip().removeprefix("+").split())
    if len(quote) < MIN_QUOTE:
        return None
    same = [line for line in diffs.lines(diff) if " ".join(line.text.split()) == quote]
    added = [line for line in same if line.sign == "+"]
    return next(iter(added or same), None)
