"""Puts a docstring into a Python file as a string literal; the model only words its text."""

from __future__ import annotations

import ast
import re
import textwrap

from swarmd.coding import symbols
from swarmd.coding.failure import EditError, FormatError, NothingError
from swarmd.coding.readings import parse_reply
from swarmd.coding.reply import blocks, strip_thinking
from swarmd.coding.splice import indent_of, indent_unit

__all__ = ["clean", "put"]

WIDTH = 96
"""Longest line of a docstring, indentation included."""
MAX_LINES = 40

_QUOTED = re.compile(r"(?:[rRuU]{0,2})(\"\"\"|''')(.*?)\1", re.DOTALL)
_PREAMBLE = re.compile(r"^(?:here(?:'s| is)\b.*|sure\b.*|docstring|the docstring\b.*):?\s*$", re.IGNORECASE)


def clean(reply: str, name: str) -> str:
    """The docstring's text in a reply: plain, quoted, fenced, or inside the repeated function.

    Raises FormatError when there is none.
    """
    text = strip_thinking(reply).replace("\r\n", "\n").strip()
    found = blocks(text)
    if found:
        text = found[0].text
    text = _from_code(text, name) or _from_quotes(text) or text
    lines = textwrap.dedent(text).strip().strip("`").split("\n")
    while lines and (_PREAMBLE.match(lines[0].strip()) or not lines[0].strip()):
        lines.pop(0)
    text = _printable("\n".join(line.rstrip() for line in lines)).strip().strip("\"'").strip()
    if not text or len(text.split("\n")) > MAX_LINES or re.match(r"(?:async )?def |class |import ", text):
        raise FormatError("The reply is no docstring. Answer with its text only, without code.")
    return text


def _from_code(text: str, name: str) -> str | None:
    try:
        tree, _ = parse_reply(text)
    except EditError:
        return None
    short = name.rpartition(".")[2]
    for node in ast.walk(tree):
        if symbols.is_definition(node) and node.name == short:
            return ast.get_docstring(node)
    return ast.get_docstring(tree)


def _from_quotes(text: str) -> str | None:
    match = _QUOTED.search(text)
    return textwrap.dedent(match[2]) if match else None


def put(source: str, name: str, text: str) -> str:
    """``source`` with ``text`` as the docstring of symbol ``name``; an empty name is the module.

    Raises FormatError when there is no such symbol, NothingError when it has that docstring already.
    """
    tree, text = symbols.parse(source), _printable(text)
    node = _definition(tree, name) if name else None
    if ast.get_docstring(node or tree) == text:
        raise NothingError(f"{name or 'the module'} has this docstring already.")
    lines = source.split("\n")
    new = "\n".join(_doc(lines, tree, node, text) if node else _module_doc(lines, tree, text))
    if _code(symbols.parse(new)) != _code(tree):
        raise FormatError("The docstring cannot be put in without changing code.")
    return new


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character == "\n")


def _definition(tree: ast.Module, name: str) -> symbols.Definition:
    for symbol in reversed(symbols.read(tree)):
        if symbol.name == name and symbols.is_definition(symbol.node):
            return symbol.node
    raise FormatError(f"There is no function or class {name}.")


def _code(tree: ast.Module) -> str:
    """The tree without its docstrings: what a docstring may not change."""
    copy = symbols.parse(ast.unparse(tree))
    for node in ast.walk(copy):
        if symbols.docstring_node(node) is not None:
            node.body.pop(0)  # type: ignore[attr-defined]
    return ast.dump(copy)


def _literal(text: str, indent: str) -> list[str]:
    """``text`` as the lines of a string literal at ``indent``."""
    text = text.replace('"""', "'''")
    prefix = "r" if "\\" in text else ""
    wrapped = [piece for line in text.split("\n") for piece in _wrap(line, WIDTH - len(indent))]
    if len(wrapped) == 1 and len(indent) + len(wrapped[0]) + 6 + len(prefix) <= WIDTH:
        end = " " if wrapped[0].endswith(('"', "\\")) else ""
        return [f'{indent}{prefix}"""{wrapped[0]}{end}"""']
    body = [f"{indent}{line}" if line else "" for line in wrapped[1:]]
    return [f'{indent}{prefix}"""{wrapped[0]}', *body, f'{indent}"""']


def _wrap(line: str, width: int) -> list[str]:
    if len(line) + 4 <= width:
        return [line]
    hanging = indent_of(line) + ("    " if re.match(r"\s*\S+(?: \([^)]*\))?:\s", line) else "")
    return textwrap.wrap(line, width - 4, subsequent_indent=hanging, break_long_words=False) or [line]


def _doc(lines: list[str], tree: ast.Module, node: symbols.Definition, text: str) -> list[str]:
    first, old = node.body[0], symbols.docstring_node(node)
    head = indent_of(lines[node.lineno - 1])
    if _on_head(node, lines):
        indent = head + indent_unit(lines, tree)
        line = lines[first.lineno - 1]
        before, rest = line[: first.col_offset].rstrip(), line[first.col_offset :]
        body = [] if old is not None and len(node.body) == 1 else [indent + rest]
        return [*lines[: first.lineno - 1], before, *_literal(text, indent), *body, *lines[first.lineno :]]
    indent = indent_of(lines[first.lineno - 1])
    if old is not None:
        after = lines[old.end_lineno or old.lineno :]
        return [*lines[: old.lineno - 1], *_literal(text, indent), *after]
    start = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))])
    gap = [""] if isinstance(node, ast.ClassDef) else []
    return [*lines[: start - 1], *_literal(text, indent), *gap, *lines[start - 1 :]]


def _on_head(node: symbols.Definition, lines: list[str]) -> bool:
    """True when the body begins on the line of the ``def``'s colon."""
    first = node.body[0]
    return bool(lines[first.lineno - 1][: first.col_offset].strip())


def _module_doc(lines: list[str], tree: ast.Module, text: str) -> list[str]:
    old = symbols.docstring_node(tree)
    if old is not None:
        return [*lines[: old.lineno - 1], *_literal(text, ""), *lines[old.end_lineno or old.lineno :]]
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    rest = lines[count:]
    gap = [""] if rest and rest[0].strip() else []
    return [*lines[:count], *_literal(text, ""), *gap, *rest]
