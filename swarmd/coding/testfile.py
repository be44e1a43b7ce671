"""From a model's reply to a test file that can count: only tests that assert something about the subject.

The import of the subject is written here, because models guess it wrong; the rest of the reply's code
is kept as far as the tests need it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from swarmd.coding import imports, modules, symbols
from swarmd.coding.failure import EditError, FormatError
from swarmd.coding.imports import Import
from swarmd.coding.readings import parse_reply
from swarmd.coding.reply import bare_code, blocks
from swarmd.coding.splice import piece
from swarmd.coding.symbols import Definition

__all__ = ["Style", "Subject", "assemble", "assemble_code", "asserts", "prune"]

Style = Literal["pytest", "unittest"]
_TEST_LIBRARIES = frozenset({"pytest", "unittest", "hypothesis"})


@dataclass(frozen=True)
class Subject:
    """What the tests are for."""

    path: str
    source: str
    """Empty when it does not exist yet."""
    names: tuple[str, ...]
    """Qualified names; empty: anything in the file."""
    files: Collection[str]
    """The project's."""

    @property
    def module(self) -> str:
        """Its dotted name."""
        return modules.dotted(self.path, self.files)

    @property
    def top_names(self) -> set[str]:
        """What can be imported from it."""
        own = {symbol.name for symbol in symbols.read(self.source) if not symbol.owner}
        return own | {name.split(".")[0] for name in self.names}

    @property
    def words(self) -> set[str]:
        """The names of which a test must use one."""
        return {name.rpartition(".")[2] for name in self.names} | {name.split(".")[0] for name in self.names}


def assemble(reply: str, subject: Subject, style: Style) -> str:
    """The test file that is in ``reply``. Raises FormatError or SyntaxFailedError, told to the model."""
    _, lines = _parse(reply)
    return assemble_code("\n".join(lines), subject, style)


def assemble_code(code: str, subject: Subject, style: Style) -> str:
    """The test file that ``code`` makes. Raises FormatError, told to the model, or SyntaxFailedError."""
    tree, lines = symbols.parse(code), code.split("\n")
    kept = list(_kept_tests(tree, subject))
    if not kept:
        raise FormatError(
            f"The reply has no test that calls {' or '.join(sorted(subject.words)) or subject.module}"
            " and asserts something. Write functions named test_… with assert statements."
        )
    needed = _with_helpers(tree, kept, subject)
    texts = [_text(node, lines) for node in needed]
    if style == "unittest":
        texts = [
            _in_class([node for node in needed if _is_plain_test(node)], lines),
            *(text for node, text in zip(needed, texts, strict=True) if not _is_plain_test(node)),
        ]
    body = "\n\n\n".join(text for text in texts if text)
    text = imports.add(body, _imports(tree, needed, subject, style))
    symbols.parse(text)
    return text.strip("\n") + "\n"


def prune(text: str, failed: str) -> str:
    """The test file ``text`` without the tests that ``failed``, a failure's digest, names."""
    tree = symbols.parse(text)
    lines = text.split("\n")
    gone = [
        symbol
        for symbol in symbols.read(tree)
        if symbol.short.startswith("test") and re.search(rf"(?<!\w){re.escape(symbol.short)}(?!\w)", failed)
    ]
    for symbol in reversed(gone):
        lines[symbol.start - 1 : symbol.end] = []
    return "\n".join(lines)


def _parse(reply: str) -> tuple[ast.Module, list[str]]:
    """All blocks that parse, as one text: models like to write one block per test."""
    found = [block.text for block in blocks(reply) if block.language in {"", "python", "py", "python3"}]
    if not found:
        code = bare_code(reply)
        if code is None:
            raise FormatError("The reply holds no code block. Answer with one ```python block.")
        found = [code]
    good: list[str] = []
    problem: EditError | None = None
    for text in found:
        try:
            good.append("\n".join(parse_reply(_whole_part(text))[1]))
        except EditError as error:
            problem = problem or error
    if not good and problem is not None:
        raise problem
    return parse_reply(_split_tests("\n\n".join(good)))


def _split_tests(code: str) -> str:
    """``code`` with every test of several plain assertions as one test for each: what one gets wrong,
    another gets right, and only the wrong one has to go."""
    tree, lines = parse_reply(code)
    for node in reversed(tree.body):
        plain = isinstance(node, ast.FunctionDef) and not (node.args.args or node.decorator_list)
        if not plain or not isinstance(node, ast.FunctionDef) or len(node.body) < 2:
            continue
        if all(isinstance(child, ast.Assert) and child.lineno > node.lineno for child in node.body):
            parts = [
                line
                for number, child in enumerate(node.body, 1)
                for line in (
                    f"def {node.name}_{number}():",
                    *piece(child, lines).indented("    ", "    "),
                    "",
                )
            ]
            lines[node.lineno - 1 : node.end_lineno] = parts
    return "\n".join(lines)


def _whole_part(text: str) -> str:
    """``text`` up to its last complete top-level statement: the end of a reply may have been cut."""
    try:
        parse_reply(text)
        return text
    except EditError:
        lines = text.split("\n")
        starts = [number for number, line in enumerate(lines) if line[:1] and line[0] not in " \t)#]}"]
        for start in reversed(starts[1:]):
            head = "\n".join(lines[:start])
            try:
                parse_reply(head)
                return head
            except EditError:
                continue
        return text


def _kept_tests(tree: ast.Module, subject: Subject) -> Iterator[Definition]:
    seen: set[str] = set()
    for node in tree.body:
        if not symbols.is_definition(node) or node.name in seen:
            continue
        if isinstance(node, ast.ClassDef):
            node = _trimmed_class(node, subject)
            if any(_is_test(child) for child in node.body):
                seen.add(node.name)
                yield node
        elif _counts(node, subject):
            seen.add(node.name)
            yield node


def _trimmed_class(node: ast.ClassDef, subject: Subject) -> ast.ClassDef:
    """The class without those of its tests that do not count."""
    body = [child for child in node.body if not _is_test(child) or _counts(child, subject)]
    trimmed = ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
    return ast.copy_location(trimmed, node)


def _is_test(node: ast.stmt) -> TypeGuard[Definition]:
    return symbols.is_definition(node) and node.name.startswith("test")


def _counts(node: Definition, subject: Subject) -> bool:
    skipped = any("skip" in text or "xfail" in text for text in symbols.decorators(node))
    used = imports.used_names([node]) | {*symbols.calls_in(node)}
    about = bool(subject.words & used) if subject.names else bool(used - {"self"})
    return node.name.startswith("test") and asserts(node) and about and not skipped


def asserts(node: ast.AST) -> bool:
    """True when ``node`` asserts something that can turn out false."""
    for child in ast.walk(node):
        if isinstance(child, ast.Assert) and imports.used_names([child.test]):
            return True
        if isinstance(child, ast.Call):
            name = ast.unparse(child.func).rpartition(".")[2]
            if name.startswith("assert") or name in {"raises", "warns"}:
                return True
    return False


def _with_helpers(tree: ast.Module, kept: Sequence[Definition], subject: Subject) -> list[ast.stmt]:
    """The tests, and the fixtures, helpers and constants of the reply that they use."""
    by_name = {node.name: node for node in kept}
    others: dict[str, ast.stmt] = {}
    for node in tree.body:
        if symbols.is_definition(node) and not node.name.startswith(("test", "Test")):
            others[node.name] = node
        for name in symbols.bound_names(node):
            others[name] = node
    for name in subject.top_names & {*others}:
        del others[name]  # models copy the code under test into the test; that would test the copy
    wanted: list[ast.AST] = [*kept]
    used: dict[int, ast.stmt] = {}
    while wanted:
        for name in _names_and_parameters(wanted.pop()) & {*others}:
            if id(others[name]) not in used:
                used[id(others[name])] = others[name]
                wanted.append(others[name])
    found: list[ast.stmt] = [node for node in tree.body if id(node) in used]
    return [*found, *by_name.values()]


def _names_and_parameters(node: ast.AST) -> set[str]:
    parameters = {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
    return imports.used_names([node]) | parameters


def _text(node: ast.stmt, lines: Sequence[str]) -> str:
    if isinstance(node, ast.ClassDef):
        head = [f"@{text}" for text in symbols.decorators(node)]
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        head.append(f"class {node.name}({bases}):" if bases else f"class {node.name}:")
        members = ["\n".join(piece(child, lines).indented("    ", "    ")) for child in node.body]
        return "\n".join(head) + "\n" + "\n\n".join(members)
    return "\n".join(piece(node, lines, comments=True).indented("", "    "))


def _is_plain_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test")


def _in_class(tests: Sequence[ast.stmt], lines: Sequence[str]) -> str:
    """Plain test functions as methods: unittest finds no others."""
    methods = []
    for node in tests:
        if isinstance(node, ast.FunctionDef) and not (node.args.args or node.decorator_list):
            text = piece(node, lines).indented("    ", "    ")
            methods.append("\n".join([text[0].replace("()", "(self)", 1), *text[1:]]))
    return "class TestGenerated(unittest.TestCase):\n" + "\n\n".join(methods) if methods else ""


def _imports(tree: ast.Module, nodes: Sequence[ast.stmt], subject: Subject, style: Style) -> list[Import]:
    used = imports.used_names(nodes)
    wanted: list[Import] = []
    covered: set[str] = set()
    for item in imports.collect(_statements(tree)):
        if item.binds in used and item.binds not in subject.top_names:
            allowed = _allowed(item, subject)
            if allowed is not None:
                wanted.append(allowed)
                covered.add(allowed.binds)
    wanted += [Import(subject.module, name) for name in sorted(subject.top_names & used)]
    own = subject.module.rpartition(".")
    if own[2] in used - covered - subject.top_names:
        wanted.append(Import(own[0], own[2]) if own[0] else Import(own[2], None))
    for library in ("pytest", "unittest"):
        if library in used and library not in covered:
            wanted.append(Import(library, None))
    if style == "unittest" and "unittest" not in covered:
        wanted.append(Import("unittest", None))
    return wanted


def _allowed(item: Import, subject: Subject) -> Import | None:
    """Imports of the standard library, of test libraries, and of project files under their real name."""
    top = item.module.split(".")[0]
    if top in sys.stdlib_module_names or top in _TEST_LIBRARIES:
        return item
    path = modules.file_of(item.module, subject.files)
    if path is None:
        return None
    real = modules.dotted(path, subject.files)
    if item.name is not None:
        return Import(real, item.name, item.alias)
    package, _, last = real.rpartition(".")
    return Import(package, last, item.alias) if package else Import(real, None, item.alias)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Every statement: models import inside their tests as well."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
