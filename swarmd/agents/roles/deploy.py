"""Writes a deployment plan as text. It deploys nothing: carrying a plan out waits for a warrant."""

from __future__ import annotations

import re

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import diffs
from swarmd.coding.context import Part, compose, fence
from swarmd.coding.failure import EditError, FormatError
from swarmd.coding.parts import page_parts, task_parts
from swarmd.coding.reply import strip_thinking
from swarmd.errors import ModelError
from swarmd.messages import Proposal

__all__ = ["run"]

MAX_PLAN = 6000
"""Most characters of a plan."""
_RELEVANT = re.compile(
    r"(?:^|/)(?:dockerfile|docker-compose[^/]*|compose\.ya?ml|makefile|procfile|package\.json|pyproject\.toml|setup\.py|"
    r"requirements[^/]*\.txt|[^/]*\.service|deploy[^/]*|fly\.toml|app\.ya?ml|readme[^/]*)$",
    re.IGNORECASE,
)


def run(ctx: RoleContext) -> Proposal:
    """A plan, or why there is none."""
    try:
        plan = _plan(ctx)
    except (EditError, ModelError) as error:
        return ctx.nothing(error)
    return ctx.propose(kind="plan", text=plan, summary="A deployment plan; nothing was deployed.")


def _plan(ctx: RoleContext) -> str:
    order = ctx.order
    files = [path for path in ctx.survey.files if _RELEVANT.search(path)][:20]
    known = f"Files that say how it is run:\n{fence(chr(10).join(files))}"
    change = f"The change:\n{fence(diffs.shorten(order.diff, 900), 'diff')}" if order.diff else ""
    parts = [
        *task_parts(order.user_request, ""),
        Part("files", known if files else "", ("",), rank=2),
        Part("change", change, ("",), rank=3),
        *page_parts(ctx.skill, order.pattern),
        Part(
            "instruction",
            "Write the deployment plan as a numbered list of at most eight steps: what is checked first, what"
            " is done, how success is seen, how it is undone. Plan only what the request and files show.",
        ),
    ]
    reply = ctx.chat(compose(ctx.system, parts, order.context_tokens, ctx.count).messages, purpose="deploy")
    text = strip_thinking(reply.text).strip()
    printable = "".join(character for character in text if character.isprintable() or character in "\n\t")
    if len(printable) < 40:
        raise FormatError("The reply is no deployment plan.")
    return printable[:MAX_PLAN]
