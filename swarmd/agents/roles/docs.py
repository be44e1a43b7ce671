"""Edits docstrings and pages. Of code it only words the docstring; the harness puts it in."""

from __future__ import annotations

from collections.abc import Sequence

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import docstrings, parts, prompts, symbols
from swarmd.coding.context import Part, compose, fence, shorten
from swarmd.coding.edits import read_edit
from swarmd.coding.failure import EditError, FormatError, NothingError, RefusedError
from swarmd.coding.outline import outline
from swarmd.coding.symbols import Symbol
from swarmd.coding.target import Target, choose
from swarmd.errors import ModelError
from swarmd.messages import Proposal
from swarmd.workspace.patch import FileChange, make

__all__ = ["run"]

MAX_DOCSTRINGS = 4
"""Most docstrings that one order writes, each with a call of its own."""
_PAGES = (".md", ".mdx", ".rst", ".txt")


def run(ctx: RoleContext) -> Proposal:
    """A patch that changes no behaviour, or why there is none."""
    ctx.beat("reads the project")
    try:
        targets = _targets(ctx)
        changes = [_page(ctx, one) if one.path.endswith(_PAGES) else _code(ctx, one) for one in targets]
    except (EditError, ModelError, RecursionError) as error:
        return ctx.nothing(error)
    paths = ", ".join(change.path for change in changes)
    return ctx.propose(kind="patch", patch=make(changes), summary=f"Documents {paths}.")


def _targets(ctx: RoleContext) -> list[Target]:
    targets = choose(ctx.order.packet.files_owned, ctx.task, ctx.survey, ctx.read, ())
    known = [one for one in targets if one.path.endswith((*_PAGES, ".py", ".pyi"))]
    if not known:
        raise FormatError("Nothing says which page or Python file to document; name it in the request.")
    return known


def _page(ctx: RoleContext, target: Target) -> FileChange:
    """A markdown or text file, edited as text."""
    order = ctx.order
    task = prompts.Task(
        action=order.packet.action,
        user_request=order.user_request,
        target=target,
        feedback=order.feedback,
        pattern=order.pattern,
        skill=ctx.skill,
        forms=tuple(order.forms),
    )
    brief = prompts.build(
        ctx.system, task, order.nth, budget=order.context_tokens, reply=order.max_tokens, count=ctx.count
    )
    reply = ctx.chat(brief.prompt.messages, purpose="page")
    new = read_edit(reply.text, brief.edit, cut=reply.finish == "length")
    return FileChange(target.path, target.source, new)


def _code(ctx: RoleContext, target: Target) -> FileChange:
    """The docstrings of one Python file."""
    if target.source is None:
        raise RefusedError(f"{target.path} does not exist; only what exists can be documented.")
    text = target.source.replace("\r\n", "\n")
    problem: EditError | None = None
    for name in _names(ctx, target, text):
        try:
            text = docstrings.put(text, name, _docstring(ctx, target, text, name))
        except EditError as error:
            problem = problem or error
    if text == target.source.replace("\r\n", "\n"):
        raise problem or NothingError(f"{target.path} has all the docstrings already.")
    if "\r\n" in target.source:
        text = text.replace("\n", "\r\n")
    return FileChange(target.path, target.source, text)


def _names(ctx: RoleContext, target: Target, text: str) -> list[str]:
    """What to document: named by the task, else whatever is public and has no docstring.

    An empty name is the module.
    """
    known = symbols.read(text)
    documentable = [symbol for symbol in known if symbol.kind != "constant"]
    wanted = [name for group in target.choices[:1] for name in group]
    named = [symbol.name for symbol in documentable if symbol.name in wanted]
    if "module docstring" in ctx.task.lower() or "module's docstring" in ctx.task.lower():
        named.insert(0, "")
    bare = [symbol.name for symbol in documentable if _is_public(symbol) and not _has_docstring(symbol)]
    return (named or bare)[:MAX_DOCSTRINGS]


def _is_public(symbol: Symbol) -> bool:
    return not any(part.startswith("_") for part in symbol.name.split("."))


def _has_docstring(symbol: Symbol) -> bool:
    return symbols.docstring_node(symbol.node) is not None


def _docstring(ctx: RoleContext, target: Target, text: str, name: str) -> str:
    """The words of one docstring. Raises ModelError or FormatError."""
    order = ctx.order
    code = parts.segments(text, (name,)) if name else outline(text)
    chosen: list[Part] = [
        *parts.task_parts(order.packet.action, ""),
        Part(
            "code",
            f"From {target.path}:\n{fence(code, 'python')}",
            (f"From {target.path}:\n{fence(shorten(code, 1200), 'python')}",),
            rank=1,
        ),
        *_feedback(ctx),
        *parts.page_parts(ctx.skill, None),
        Part("instruction", _instruction(name)),
    ]
    reply = ctx.chat(
        compose(ctx.system, chosen, order.context_tokens, ctx.count).messages, purpose="docstring"
    )
    return docstrings.clean(reply.text, name)


def _feedback(ctx: RoleContext) -> Sequence[Part]:
    if ctx.order.feedback is None:
        return ()
    digest = shorten(ctx.order.feedback.digest, 500)
    return (Part("feedback", f"What went wrong the last time:\n{fence(digest)}", ("",), rank=3),)


def _instruction(name: str) -> str:
    what = f"`{name}`" if name else "this module"
    return (
        f"Write the docstring of {what}: one line that says what it does, and, only if needed, a few more"
        " on arguments, result and errors. Answer with the docstring's text only, without code or quotes."
    )
