"""What is put into the prompt of one edit, and in which form the answer is asked for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from swarmd.coding import forms, parts, symbols
from swarmd.coding.begun import Begun, begin
from swarmd.coding.context import Count, Part, Prompt, compose, fence
from swarmd.coding.edits import Edit, Form
from swarmd.coding.evidence import Evidence
from swarmd.coding.merge import Scope
from swarmd.coding.outline import outline
from swarmd.coding.splice import is_stub
from swarmd.coding.target import Target
from swarmd.messages import Failure, Tier, Way
from swarmd.workspace.tags import language_of

__all__ = [
    "Brief",
    "Framing",
    "Task",
    "build",
    "can_hide_bodies",
    "framing",
    "ways",
]

MAX_REWRITTEN_LINES = 30
"""A longer function is never asked for without its code being shown."""
DESCRIBED_WORDS = 5
"""A docstring of fewer words does not say what a function does."""
EXCERPT_CHARS = 1.2
"""Characters of a large text that are shown, for each token of the budget."""

Framing = Literal["direct", "anew", "explain"]
"""direct: only the code is asked for. anew: the model sees the head and docstring of what it is to write,
not the code, so that it cannot copy it; where it goes on with a reply that was begun, they are its
beginning. explain: a comment on what is wrong is asked for first; it stands
above the definition, so that it does not come into the file; of what has no body yet, comments on its steps,
which may stay. (Asked for a sentence before the block, the smallest models write the sentence and forget
the block.)"""

_LANGUAGES = {".py": "python", ".pyi": "python", ".md": "markdown", ".mdx": "markdown", ".js": "javascript"}


@dataclass(frozen=True)
class Task:
    """Everything that one edit is told."""

    action: str
    user_request: str
    target: Target
    tier: Tier = "fast"
    asked: Way = "sample"
    evidence: Sequence[Evidence] = ()
    feedback: Failure | None = None
    previous_patch: str | None = None
    pattern: str | None = None
    skill: str = ""
    others: dict[str, str] = field(default_factory=dict)
    """Outlines of other files that matter, by path."""
    project_map: tuple[str, ...] = ()
    """The project's files and heads that matter, and then less of them."""
    conventions: str = ""
    """What the project asks of its code, in a few lines."""
    forms: tuple[Form, ...] = ()
    """Edit formats, the one that the model handles best first; empty: it is not known."""
    continues: bool = False
    """The model goes on with a reply that was begun for it."""

    def symbols_for(self, sample: int) -> tuple[str, ...]:
        """What sample number ``sample`` rewrites: only the first of it when less is asked for."""
        wanted = self.target.symbols_for(sample)
        return wanted[:1] if self.asked == "shrink" else wanted

    @property
    def words(self) -> str:
        """What is asked, in the planner's and the user's words."""
        return f"{self.action}\n{self.user_request}"


@dataclass(frozen=True)
class Brief:
    """A prompt, and what is expected back."""

    prompt: Prompt
    edit: Edit
    begun: Begun | None = None
    """How the reply begins, if the model goes on with it."""


def framing(task: Task, sample: int) -> Framing:
    """How sample number ``sample`` is asked: samples that are asked alike fail alike.

    A function whose docstring says what it does is first written anew from that: shown the code, small
    models copy it. The last tier is often the same model as the one before, so it is asked in another way.
    What is told what was wrong with the last reply is asked directly, if it has code: that is new enough.
    """
    if _is_to_be_written(task, sample):  # there is no code that could be shown
        afresh = task.asked == "sample" and (sample > 2 or task.tier == "reviewer")
        return "explain" if afresh else "anew"
    if task.asked in ("reask", "shrink"):
        return "direct"
    if len(task.target.choices) == 1 and can_hide_bodies(task, sample):
        afresh = task.asked == "sample" and task.tier != "reviewer"
        first_unseen = 1 if afresh and _is_described(task, sample) else 2
        if sample == first_unseen:
            return "anew"
    return "explain" if sample > 2 or task.tier == "reviewer" else "direct"


def ways(task: Task, sample: int) -> list[Framing]:
    """How sample number ``sample`` is asked, and then how else, when the answer is the code as it was:
    without showing it, and for a reason."""
    chosen = [framing(task, sample)]
    hidden = can_hide_bodies(task, sample) or _is_to_be_written(task, sample)
    if hidden and "anew" not in chosen:
        chosen.append("anew")
    if task.target.source is not None and forms.is_python(task.target.path) and "explain" not in chosen:
        chosen.append("explain")
    return chosen


def build(
    system: str,
    task: Task,
    sample: int,
    *,
    budget: int,
    reply: int,
    way: Framing | None = None,
    count: Count | None = None,
) -> Brief:
    """The prompt for sample number ``sample``, of at most ``budget`` tokens (see ``compose`` for
    ``count``), for a reply of at most ``reply``; asked in the ``way`` given, else in the sample's own.

    Raises FormatError when nothing useful fits.
    """
    way = way or framing(task, sample)
    target, wanted = task.target, task.symbols_for(sample)
    unwritten = _is_to_be_written(task, sample)
    unseen = way == "anew" or unwritten
    # What is not shown can neither be searched for nor copied: it can only be written anew by name.
    form = forms.choose(("symbol",) if unseen else task.forms, target, wanted, reply)
    replaces = frozenset(wanted) if wanted or target.adds else None
    scope = Scope(replaces if form == "symbol" else None, frozenset(target.adds), task.words)
    heads = _heads(target, wanted) if unseen else ""
    begun = _begun(task, sample, heads, way) if unseen else None
    code = _heads_part(target, heads, begun) if unseen else _code_part(task, wanted, form, budget)
    chosen = [
        *parts.task_parts(task.action, task.user_request),
        code,
        *parts.neighbour_parts(target, wanted, code),
        *parts.project_parts(task.project_map, task.conventions),
        *parts.other_parts(task.others),
        *parts.failing_parts(task.evidence, heads if unwritten else None),
        *parts.feedback_parts(task.feedback, task.previous_patch),
        *parts.page_parts(task.skill, task.pattern),
        Part("instruction", _instruction(task, wanted, form, way, unwritten=unwritten)),
    ]
    prompt = compose(system, chosen, budget, count, begun=begun.text if begun else "")
    return Brief(prompt, Edit(target.path, target.source, form, scope), begun)


def _language(path: str) -> str:
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "") or language_of(path) or ""


def _code_part(task: Task, wanted: Sequence[str], form: Form, budget: int) -> Part:
    """The target: its symbols where they are known, else the whole file.

    The less there is to copy, the less a small model copies: what it only needs to know stands as
    signatures.
    """
    target = task.target
    if target.source is None or not target.source.strip():
        return Part("file", f"The file {target.path} does not exist yet.")
    source = target.source.replace("\r\n", "\n")
    whole = f"File {target.path}:\n{fence(source, _language(target.path))}"
    if form == "replace" and wanted and forms.is_python(target.path) and forms.parses(source):
        # In blocks of their own and without the heads of their classes: what does not stand together in
        # the file would be copied as if it did.
        cut = [
            fence(symbols.segment(source, symbol), "python")
            for symbol in symbols.read(source)
            if symbol.name in wanted and symbol.owner not in wanted
        ]
        return Part("file", "\n".join([f"From {target.path}:", *cut]))
    if form == "symbol" and wanted:
        return Part("file", f"From {target.path}:\n{fence(parts.segments(source, wanted), 'python')}")
    if form == "symbol" and target.adds:
        known = fence(outline(source), "python")
        return Part("file", f"These exist already in {target.path}, do not write them again:\n{known}")
    if form == "symbol":
        smaller = f"Signatures in {target.path}:\n{fence(outline(source), 'python')}"
        return Part("file", whole, (smaller,), rank=1)
    if form == "replace":
        limit = int(budget * EXCERPT_CHARS)
        part = parts.excerpt_of(target, source, limit) or parts.excerpt(source, task.words, limit)
        text = f"Part of {target.path}:\n{fence(part, _language(target.path))}"
        return Part("file", whole, (text,), rank=1)
    return Part("file", whole)


def can_hide_bodies(task: Task, sample: int) -> bool:
    """True when what is to be rewritten is small, and a failing test says what it must do."""
    known = _only_function(task, sample)
    return known is not None and known.end - known.start < MAX_REWRITTEN_LINES and bool(task.evidence)


def _is_to_be_written(task: Task, sample: int) -> bool:
    """Whether the target is a function without a body, whose docstring says what it does."""
    known = _only_function(task, sample)
    return known is not None and is_stub(known.node) and _is_described(task, sample)


def _only_function(task: Task, sample: int) -> symbols.Symbol | None:
    """The function that is to be rewritten, if it is one."""
    target, wanted = task.target, task.symbols_for(sample)
    if len(wanted) != 1 or target.source is None or not forms.is_python(target.path):
        return None
    known = [symbol for symbol in symbols.read(target.source.replace("\r\n", "\n")) if symbol.name in wanted]
    return known[0] if len(known) == 1 and known[0].kind in ("function", "method") else None


def _is_described(task: Task, sample: int) -> bool:
    """Whether each function that is to be rewritten has a docstring that says something."""
    source = (task.target.source or "").replace("\r\n", "\n")
    known = [symbol for symbol in symbols.read(source) if symbol.name in task.symbols_for(sample)]
    docs = [ast.get_docstring(symbol.node) or "" for symbol in known if symbols.is_definition(symbol.node)]
    return bool(docs) and all(len(doc.split()) >= DESCRIBED_WORDS for doc in docs)


def _heads(target: Target, wanted: Sequence[str]) -> str:
    source = (target.source or "").replace("\r\n", "\n")
    return "\n".join(_head(source, symbol) for symbol in symbols.read(source) if symbol.name in wanted)


def _begun(task: Task, sample: int, heads: str, way: Framing) -> Begun | None:
    """How the reply begins, if the model goes on with it and it is known."""
    known = _only_function(task, sample)
    if known is None or not task.continues:
        return None
    source = (task.target.source or "").replace("\r\n", "\n")
    return begin(known, source, heads, task.words, task.evidence, comments=way == "explain")


def _heads_part(target: Target, heads: str, begun: Begun | None) -> Part:
    """``heads``, unless the reply has ``begun`` with them."""
    shown = "" if begun else f"\n{fence(heads, 'python')}"
    return Part("file", f"To be written for {target.path}{':' if shown else '.'}{shown}")


def _head(source: str, symbol: symbols.Symbol) -> str:
    """A function up to the end of its docstring, under the head of its class."""
    lines = source.split("\n")
    doc = symbols.docstring_node(symbol.node)
    body: list[ast.stmt] = getattr(symbol.node, "body", [])
    begins = min([body[0].lineno, *(one.lineno for one in getattr(body[0], "decorator_list", []))])
    end = (doc.end_lineno or symbol.end) if doc else max(symbol.node.lineno, begins - 1)
    owner = [f"class {symbol.owner}:"] if symbol.owner else []
    return "\n".join([*owner, *lines[symbol.start - 1 : end]])


def _instruction(task: Task, wanted: Sequence[str], form: Form, way: Framing, *, unwritten: bool) -> str:
    """The last line: what to answer. It stands last because small models heed the end most."""
    target = task.target
    if form != "symbol":
        return _of_text(task, wanted, form, way)
    what = " and ".join(_spoken(name) for name in [*wanted, *target.adds])
    if target.adds and not wanted:
        heads = parts.new_heads(target.adds, task.words)
        what = " and ".join(heads.get(name, _spoken(name)) for name in target.adds)
        return f"Write {what} in one ```python block, with the imports needed, and nothing else."
    if way == "explain" and unwritten:
        return f"Write the complete {what} in one ```python block, with a comment before each step of it."
    if unwritten or way == "anew":
        return f"Write the complete {what} in one ```python block, and nothing else."
    what = what or "each function that must change"
    if way == "explain":
        first = "is wrong with that code" if task.evidence else "must change in that code"
        return f"Answer with one ```python block: a comment that says what {first}, then the complete {what}."
    if task.evidence:
        return (
            f"The code above is wrong. Write the corrected {what} in one ```python block, and nothing else."
        )
    return f"Write {what} with that change, complete, in one ```python block, and nothing else."


def _of_text(task: Task, wanted: Sequence[str], form: Form, way: Framing) -> str:
    """What to answer when the edit is one of the file's text."""
    path = task.target.path
    first = ""
    if way == "explain" and forms.is_python(path):
        first = f"Say in one sentence what {'is wrong' if task.evidence else 'must change'} there. Then "
    if form == "file":
        text = f"write the complete new text of {path} in one ```{_language(path)} block, and nothing else."
    else:
        changed, added = (" and ".join(map(_spoken, names)) for names in (wanted, task.target.adds))
        what = (f" of {changed}" if changed else "") + (f" that adds {added}" if added else "")
        text = (
            f"answer with the edit{what} in this form, the SEARCH lines copied"
            " from the file:\n<<<<<<< SEARCH\nold lines\n=======\nnew lines\n>>>>>>> REPLACE"
        )
    return first + text if first else text[0].upper() + text[1:]


def _spoken(name: str) -> str:
    """``Cart.total`` in words: small models take the dotted name for what stands after ``def``."""
    owner, _, short = name.rpartition(".")
    return f"the method `{short}` of `{owner}`" if owner else f"`{name}`"
