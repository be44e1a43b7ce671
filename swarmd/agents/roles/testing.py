"""Writes a new test file for functions that a task names, or that the earlier tasks changed."""

from __future__ import annotations

from pathlib import PurePosixPath

from swarmd.agents.roles.context import RoleContext
from swarmd.coding import diffs, exampletests, symbols
from swarmd.coding.context import Part, compose, fence
from swarmd.coding.diffs import changed_paths, changed_symbols
from swarmd.coding.edits import Edit, read_edit
from swarmd.coding.failure import EditError, FormatError, RefusedError
from swarmd.coding.merge import Scope
from swarmd.coding.modules import is_test
from swarmd.coding.outline import outline
from swarmd.coding.parts import page_parts, segments, task_parts
from swarmd.coding.target import Target, choose
from swarmd.coding.testfile import Style, Subject, assemble, prune
from swarmd.errors import ModelError
from swarmd.messages import Proposal
from swarmd.planning.kinds import asks_for_tests
from swarmd.planning.paths import new_test, subject_of_test
from swarmd.workspace.patch import FileChange, make

__all__ = ["run"]

MAX_NAMES = 3
"""Most functions that one test file is asked for."""


def run(ctx: RoleContext) -> Proposal:
    """A patch that adds one test file, or why there is none."""
    ctx.beat("reads the project")
    try:
        change = _write(ctx)
    except (EditError, ModelError, RecursionError) as error:
        return ctx.nothing(error)
    text = "" if ctx.order.feedback is None else f"Made after: {ctx.order.feedback.digest}"
    return ctx.propose(kind="patch", patch=make([change]), summary=f"Adds {change.path}.", text=text)


def _write(ctx: RoleContext) -> FileChange:
    source = _subject_path(ctx)
    path = _test_path(ctx, source)
    if ctx.read.exists(path):
        raise RefusedError(f"{path} exists already; only new test files count.")
    if not path.endswith(".py"):
        return _write_other(ctx, source, path)
    subject = _subject(ctx, source)
    told = _as_examples_say(ctx, subject)
    if told is not None:
        return FileChange(path, None, told)
    pruned = _pruned(ctx, subject)
    if pruned is not None:
        return FileChange(path, None, pruned)
    messages = compose(ctx.system, _parts(ctx, subject), ctx.order.context_tokens, ctx.count).messages
    reply = ctx.chat(messages, purpose="tests")
    return FileChange(path, None, assemble(reply.text, subject, _style(ctx)))


def _as_examples_say(ctx: RoleContext, subject: Subject) -> str | None:
    """The examples that the request is about, as tests: before any that a model makes up, unless somebody
    asked for tests."""
    order = ctx.order
    if (order.attempt, order.sample) != (1, 1) or asks_for_tests(order.user_request):
        return None
    return exampletests.write(ctx.survey.examples, subject, _style(ctx))


def _pruned(ctx: RoleContext, subject: Subject) -> str | None:
    """The file that is to be repaired without the tests that failed, if any are left.

    Small models are poor at working out expected values: half of their tests are right. What is left
    must still pass, and notice a broken version of the code, to count.
    """
    feedback, patch = ctx.order.feedback, ctx.order.previous_patch
    if feedback is None or patch is None or feedback.gate == "mutation" or ctx.order.way != "repair":
        return None
    before = "\n".join(line.text for line in diffs.lines(patch) if line.sign == "+")
    try:
        after = prune(before, feedback.digest)
        same = after == before
        return None if same else assemble(fence(after, "python"), subject, _style(ctx))
    except EditError:
        return None


def _subject_path(ctx: RoleContext) -> str:
    """The source file to test: named by the task, or changed before, or namesake of the test file."""
    owned = ctx.order.packet.files_owned
    sources = [path for path in owned if not is_test(path)]
    namesakes = [subject_of_test(path, ctx.survey) for path in owned if is_test(path)]
    changed = [path for path in changed_paths(ctx.order.diff or "") if not is_test(path)]
    named = choose((), ctx.task, ctx.survey, ctx.read, ())
    found = [*sources, *(target.path for target in named), *changed, *namesakes]
    path = next((path for path in found if path), None)
    if path is None:
        raise FormatError("Nothing says which file to test; name it in the request.")
    return path


def _test_path(ctx: RoleContext, source: str) -> str:
    owned = [path for path in ctx.order.packet.files_owned if is_test(path)]
    return owned[0] if owned else new_test(source, ctx.survey, set())


def _subject(ctx: RoleContext, path: str) -> Subject:
    text = (ctx.read.read(path) or "").replace("\r\n", "\n")
    named = choose((path,), ctx.task, ctx.survey, ctx.read, ())
    names = _named(named[0]) if named else ()
    names = names or tuple(changed_symbols(ctx.order.diff or "", path, text))
    names = names or tuple(
        symbol.name
        for symbol in symbols.read(text)
        if symbol.kind == "function" and not symbol.short.startswith("_")
    )
    return Subject(path, text, names[:MAX_NAMES], ctx.survey.files)


def _named(target: Target) -> tuple[str, ...]:
    chosen = target.choices[0] if target.choices else ()
    return (*chosen, *target.adds)


def _style(ctx: RoleContext) -> Style:
    gate = ctx.survey.test_gate
    return "unittest" if gate is not None and gate.runner == "unittest" else "pytest"


def _parts(ctx: RoleContext, subject: Subject) -> list[Part]:
    names = " and ".join(f"`{name}`" for name in subject.names) or f"the functions of {subject.path}"
    code = segments(subject.source, subject.names) or subject.source
    smaller = outline(subject.source)
    importable = ", ".join(sorted({name.split(".")[0] for name in subject.names})) or "…"
    parts = [
        *task_parts(ctx.order.packet.action, ctx.order.user_request),
        Part(
            "code",
            f"From {subject.path}:\n{fence(code, 'python')}" if code.strip() else "",
            (f"Signatures in {subject.path}:\n{fence(smaller, 'python')}",) if smaller else (),
            rank=2,
        ),
        *page_parts(ctx.skill, ctx.order.pattern),
    ]
    if ctx.order.feedback is not None:
        text = f"What went wrong the last time:\n{fence(ctx.order.feedback.digest[:600])}"
        parts.append(Part("feedback", text, ("",), rank=3))
    instruction = (
        f"Write three short tests for {names} in one ```python block: plain functions named test_…, each with"
        f" an assert on a value that you are sure of. Begin with: from {subject.module} import {importable}"
    )
    return [*parts, Part("instruction", instruction)]


def _write_other(ctx: RoleContext, source: str, path: str) -> FileChange:
    """Tests in other languages: the whole file as the model wrote it, if it asserts anything."""
    text = ctx.read.read(source) or ""
    language = PurePosixPath(source).suffix.removeprefix(".")
    parts = [
        *task_parts(ctx.order.packet.action, ctx.order.user_request),
        Part("code", f"File {source}:\n{fence(text, language)}"),
        *page_parts(ctx.skill, ctx.order.pattern),
        Part("instruction", f"Write the test file {path} in one ```{language} block: three short tests."),
    ]
    reply = ctx.chat(
        compose(ctx.system, parts, ctx.order.context_tokens, ctx.count).messages, purpose="tests"
    )
    edit = Edit(path, None, "file", Scope(asked=ctx.task))
    new = read_edit(reply.text, edit, cut=reply.finish == "length")
    if "expect(" not in new and "assert" not in new:
        raise FormatError("The reply has no test that asserts something.")
    return FileChange(path, None, new)
