"""Splices a reply's definitions into a Python file, by name and by the syntax tree.

Only what was asked for is replaced; all else keeps its bytes. The reply may hold one function, a
method with or without its class, a class with some of its methods, the whole file, new helpers and
imports: each finds its place by its qualified name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmd.coding import draft, imports, symbols
from swarmd.coding.draft import Draft
from swarmd.coding.failure import FormatError, NothingError, RefusedError
from swarmd.coding.missing import with_missing_imports
from swarmd.coding.readings import Code, read_code
from swarmd.coding.splice import is_stub, leaves_out, piece, same_code
from swarmd.coding.symbols import Definition, Symbol

__all__ = ["Scope", "merge"]


@dataclass(frozen=True)
class Scope:
    """What an edit may do to a file."""

    replaces: frozenset[str] | None = None
    """Qualified names that may be replaced; a class stands for all of its members. None: any."""
    adds: frozenset[str] = frozenset()
    """Qualified names that the edit is asked to add."""
    asked: str = ""
    """The words of the task: what they name may go."""

    @property
    def wanted(self) -> set[str]:
        """The names that the task is about; empty when it is not known."""
        return {*(self.replaces or ()), *self.adds}

    def may_replace(self, name: str) -> bool:
        """True when ``name`` or a class around it is among what may be replaced."""
        parts = name.split(".")
        around = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return self.replaces is None or bool(around & self.replaces)

    def mentions(self, name: str) -> bool:
        """True when the task's words hold ``name`` as a word."""
        return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.asked) is not None


@dataclass
class _Merge:
    """What one reply does to one file."""

    file: Draft
    scope: Scope
    lines: list[str]
    """The reply's."""
    seen: list[str] = field(default_factory=list)
    """Qualified names that the reply defines."""
    stubs: list[str] = field(default_factory=list)
    """Those that it leaves without a body."""
    needed: set[str] = field(default_factory=set)
    """Names that what was asked for, or was in the file before, uses in the reply, directly or not."""

    def is_superfluous(self, node: ast.stmt, name: str) -> bool:
        """True for a new name at the top that belongs to an example or a test of the reply.

        When it is known what was asked for, other things are new only if that needs them. Else a value
        that is made by the file's own functions is an example, and could not stand at its head anyway.
        """
        if name in self.scope.adds or name in self.needed:
            return False
        if self.scope.wanted:
            return True
        if symbols.is_definition(node):
            return name.lower().startswith("test")
        known = {symbol.name for symbol in self.file.known} | {*self.seen}
        return bool(known & set(symbols.calls_in(node)))


def merge(source: str, code: str, scope: Scope, *, cut: bool = False) -> str:
    """``source`` with what ``code`` defines, within ``scope``. ``cut``: the code breaks off.

    Raises FormatError, NothingError, RefusedError or SyntaxFailedError; the message is for the model.
    """
    file = draft.read(source)
    read = read_code(code, cut=cut)
    reply, state = read.tree, _Merge(file, scope, read.lines)
    state.needed = _needed(state, reply.body)
    for node in reply.body:
        _place(state, node)
    _check_asked(state)
    _check_whole(state, read)
    if not file.changes:
        if state.stubs:
            raise RefusedError(f"The body of {', '.join(state.stubs)} was left out; write it in full.")
        raise NothingError("The reply is the same code as before: it changes nothing.")
    used = imports.used_names(file.nodes)
    wanted = [item for item in imports.collect(reply.body) if item.binds in used]
    merged = with_missing_imports(imports.add(file.result(), wanted), file.nodes)
    symbols.parse(merged)
    return merged


def _needed(state: _Merge, body: Sequence[ast.stmt]) -> set[str]:
    scope = state.scope
    known = {symbol.name.split(".")[0] for symbol in state.file.known} | {
        part for name in scope.wanted for part in name.split(".")
    }
    uses = {
        name: imports.used_names([node])
        for node in body
        for name in ([node.name] if symbols.is_definition(node) else symbols.bound_names(node))
    }
    needed: set[str] = set()
    todo = [name for name in uses if name in known]
    while todo:
        new = uses[todo.pop()] & uses.keys() - needed
        needed |= new
        todo += new
    return needed


def _check_asked(state: _Merge) -> None:
    """The reply must define at least one of the names that the task is about."""
    wanted = sorted(state.scope.wanted)
    if not wanted or any(name == one or name.startswith(one + ".") for name in state.seen for one in wanted):
        return
    has = f"it defines {', '.join(state.seen)}" if state.seen else "it defines nothing"
    raise FormatError(f"The reply must define {' or '.join(wanted)}, by exactly that name; {has}.")


def _check_whole(state: _Merge, read: Code) -> None:
    """A class that was asked for is not taken in part; one that only holds what was asked for is."""
    asked = sorted(read.partial & state.scope.wanted)
    if asked:
        raise FormatError(f"class {asked[0]} breaks off or does not parse; write all of it.")


def _place(state: _Merge, node: ast.stmt) -> None:
    if isinstance(node, ast.ClassDef):
        _place_class(state, node)
    elif symbols.is_definition(node):
        _place_definition(state, node, _owner_of_bare(state, node))
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        _place_constant(state, node, "")


def _owner_of_bare(state: _Merge, node: Definition) -> str:
    """The class of a method that the model wrote without its class; empty for a function."""
    wanted = state.scope.wanted
    if node.name in wanted:
        return ""
    owners = {name.rpartition(".")[0] for name in wanted if name.rpartition(".")[2] == node.name}
    if not owners and _takes_self(node):
        known = state.file.known
        classes = {symbol.name for symbol in known if symbol.kind == "class"}
        owners = {symbol.owner for symbol in known if symbol.short == node.name and symbol.owner}
        owners = owners or {name.rpartition(".")[0] for name in wanted} - {""} or wanted & classes
    return owners.pop() if len(owners) == 1 else ""


def _takes_self(node: Definition) -> bool:
    if isinstance(node, ast.ClassDef):
        return False
    positional = [*node.args.posonlyargs, *node.args.args]
    return bool(positional) and positional[0].arg in {"self", "cls"}


def _place_definition(state: _Merge, node: Definition, owner: str) -> None:
    name = f"{owner}.{node.name}" if owner else node.name
    state.seen.append(name)
    existing = state.file.find(name, node)
    if existing is not None and (not state.scope.may_replace(name) or not _same_sort(existing.node, node)):
        return
    if is_stub(node) and not (existing is not None and _describes_more(node, existing.node)):
        state.stubs.append(name)
    elif existing is not None:
        _replace(state, node, existing)
    elif owner or not state.is_superfluous(node, node.name):
        _add(state, node, owner)


def _describes_more(node: Definition, existing: ast.stmt) -> bool:
    """Whether both have no body, and ``node`` has another docstring: that is all that changes then."""
    doc = symbols.docstring_node(node)
    old = symbols.docstring_node(existing)
    same = old is not None and doc is not None and ast.dump(old.value) == ast.dump(doc.value)
    return is_stub(existing) and doc is not None and not same


def _same_sort(one: ast.stmt, other: ast.stmt) -> bool:
    """A function never takes the place of a class or a constant: that would lose what they hold."""
    return isinstance(one, ast.ClassDef) == isinstance(other, ast.ClassDef) and symbols.is_definition(one)


def _replace(state: _Merge, node: Definition, existing: Symbol) -> None:
    part, old = piece(node, state.lines), state.file.text_of(existing)
    if leaves_out(part.lines, old):
        raise RefusedError(f"{existing.name} leaves out code behind a comment; write all of it.")
    new = part.fitted(
        existing, state.file.lines, state.file.unit, lambda text: not _may_drop(state.scope, text)
    )
    if not same_code(new, old):
        state.file.replace(existing, new, node)


def _may_drop(scope: Scope, decorator: str) -> bool:
    full = decorator.split("(")[0]
    return scope.mentions(full) or scope.mentions(full.rpartition(".")[2])


def _add(state: _Merge, node: Definition, owner: str) -> None:
    part = piece(node, state.lines, comments=True)
    if leaves_out(part.lines, ()):
        raise RefusedError(f"{node.name} leaves out code behind a comment; write all of it.")
    parent = state.file.find(owner) if owner else None
    if parent is not None and parent.kind == "class":
        state.file.add_method(parent, part)
    else:
        beside = () if node.name in state.scope.adds else sorted(state.scope.replaces or ())
        state.file.add_definition(part, beside)


def _place_class(state: _Merge, node: ast.ClassDef) -> None:
    existing = state.file.find(node.name)
    if existing is None or existing.kind != "class":
        _place_definition(state, node, "")
        return
    state.seen.append(node.name)
    if node.name in (state.scope.replaces or ()) and _is_complete(state, node):
        state.seen += _members(node)
        _replace(state, node, existing)
        return
    for child in node.body:
        if symbols.is_definition(child):
            _place_definition(state, child, node.name)
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            _place_constant(state, child, node.name)


def _members(node: ast.ClassDef) -> list[str]:
    inside = symbols.read(ast.Module(body=node.body, type_ignores=[]))
    return [f"{node.name}.{symbol.name}" for symbol in inside]


def _is_complete(state: _Merge, node: ast.ClassDef) -> bool:
    """True when the reply's class has every member of the file's class, and none without its body."""
    stubs = any(symbols.is_definition(child) and is_stub(child) for child in node.body)
    known = {symbol.name for symbol in state.file.known if symbol.name.startswith(node.name + ".")}
    return not stubs and known <= {*_members(node)}


def _place_constant(state: _Merge, node: ast.Assign | ast.AnnAssign, owner: str) -> None:
    for bound in symbols.bound_names(node):
        name = f"{owner}.{bound}" if owner else bound
        state.seen.append(name)
        existing = state.file.find(name)
        part = piece(node, state.lines)
        if existing is None and not owner and state.is_superfluous(node, bound):
            continue
        if existing is None:
            state.file.add_constant(part, state.file.find(owner) if owner else None)
            return
        new = part.fitted(existing, state.file.lines, state.file.unit, lambda _: True)
        if existing.kind == "constant" and state.scope.may_replace(name):
            if not same_code(new, state.file.text_of(existing)):
                state.file.replace(existing, new, node)
            return
