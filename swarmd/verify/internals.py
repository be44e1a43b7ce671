"""Refuses production code that reaches into a test runner, hides what it does, or ends the process.

A test's verdict is made in the same process as the code that is tested, so code that means to can
lie. These rules count what a patch ADDS, per file and rule: what the project already does stays
allowed. They are one of three defences, beside planted tests and the watch over the runner.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass

from swarmd.verify.forbidden import (
    CALLS,
    FRAME_ATTRIBUTES,
    LOW_LEVEL,
    NAMESPACES,
    PROCESS_TEXTS,
    RUNNERS,
)

__all__ = ["Place", "Reach", "added_reaches", "find_reaches"]


@dataclass(frozen=True)
class Reach:
    """One place where code reaches for what it has no business with."""

    rule: str
    """Names the kind of reach; what the base has as often is allowed."""
    line: int
    reason: str


@dataclass(frozen=True)
class Place:
    """Where a file stands in its project."""

    tests: bool = False
    """Tests may use the runner's public interface (pytest, unittest), not its inside."""
    test_modules: frozenset[str] = frozenset()
    """Modules that only tests may import."""
    own: frozenset[str] = frozenset()
    """Top names of the project's own modules, whose attributes it may set."""


def find_reaches(source: str, place: Place = Place()) -> list[Reach]:
    """Every reach in ``source``, in order. Code that does not parse has none (the parse gate says so)."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    finder = _Finder(place)
    finder.visit(tree)
    return sorted(finder.found, key=lambda reach: reach.line)


def added_reaches(old: str | None, new: str, place: Place = Place()) -> list[Reach]:
    """The reaches that ``new`` has and ``old`` has not, or not as often."""
    before = Counter(reach.rule for reach in find_reaches(old or "", place))
    added = []
    for reach in find_reaches(new, place):
        before[reach.rule] -= 1
        if before[reach.rule] < 0:
            added.append(reach)
    return added


class _Finder(ast.NodeVisitor):
    """Resolves names through the file's imports, so that ``import sys as s`` hides nothing."""

    def __init__(self, place: Place) -> None:
        self.found: list[Reach] = []
        self._place = place
        self._tests = place.tests
        self._test_modules = place.test_modules
        self._modules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._depth = 0

    def _note(self, rule: str, node: ast.AST, reason: str) -> None:
        self.found.append(Reach(rule, getattr(node, "lineno", 0), reason))

    # imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            self._names[alias.asname or top] = alias.name if alias.asname else top
            self._modules[alias.asname or top] = top
            self._judge_import(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if not node.level:
            self._judge_import(module, node)
        for alias in node.names:
            self._names[alias.asname or alias.name] = f"{module}.{alias.name}"
            self._judge_name(f"{module}.{alias.name}", node)
            if alias.name in self._test_modules and not self._tests:
                self._note(f"import {alias.name}", node, f"it imports the test module {alias.name}")

    def _judge_import(self, module: str, node: ast.AST) -> None:
        top = module.split(".")[0]
        public = self._tests and top in ("pytest", "unittest", "doctest") and "._" not in module
        if top in RUNNERS and not public:
            self._note(f"import {top}", node, f"it imports the test runner ({module})")
        elif top in LOW_LEVEL and not (self._tests and top in ("gc", "builtins", "faulthandler")):
            self._note(f"import {top}", node, f"it imports {top}, which reaches under the interpreter")
        elif not self._tests and (
            module in self._test_modules or module.split(".")[-1] in self._test_modules
        ):
            self._note(f"import {module}", node, f"it imports the test module {module}")

    # names and attributes

    def _dotted(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            inner = self._dotted(node.value)
            return f"{inner}.{node.attr}" if inner else None
        return None

    def _judge_name(self, name: str, node: ast.AST) -> None:
        for known, reason in CALLS.items():
            if name == known or name.startswith(known + "."):
                self._note(known, node, reason)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._dotted(node)
        if name:
            self._judge_name(name, node)
        if name == "sys.modules":
            self._note("sys.modules", node, "it reaches into sys.modules")
        if node.attr == "__subclasses__" and self._dotted(node.value) in (None, "object", "type"):
            self._note(node.attr, node, "it looks for classes that it was not given")
        if node.attr in FRAME_ATTRIBUTES:
            self._note(node.attr, node, f"it uses {node.attr}, which leads into other code's frames")
        if node.attr == "__dict__" and self._dotted(node.value) in NAMESPACES:
            self._note("namespace", node, "it takes names out of a system module's __dict__")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == "__builtins__":
            self._note("__builtins__", node, "it reaches for __builtins__")
        elif (
            node.id in self._names
            and isinstance(node.ctx, ast.Load)
            and self._names[node.id] == "sys.modules"
        ):
            self._note("sys.modules", node, "it reaches for sys.modules")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._dotted(node.value) == "sys.modules":
            own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
            if not (own and isinstance(node.ctx, ast.Load)):
                self._note("sys.modules", node, "it reaches into sys.modules")
            return
        self.generic_visit(node)

    # calls

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func) or ""
        if name in ("pickle.loads", "marshal.loads") and node.args and isinstance(node.args[0], ast.Constant):
            self._note(name, node, f"{name} of a constant hides what the code does")
        if name in ("__import__", "importlib.import_module", "importlib.__import__"):
            self._judge_dynamic_import(node)
        if name in ("exec", "eval", "builtins.exec", "builtins.eval") and not _is_text(node.args[:1]):
            self._note(name, node, f"{name}() of computed text hides what the code does")
        if name in ("getattr", "setattr", "delattr", "vars") and node.args:
            self._judge_lookup(name, node)
        if name in ("os.kill", "os.killpg") and _mentions_own_process(node):
            self._note(name, node, f"{name} of its own process ends the test run")
        if self._depth == 0 and name in ("sys.exit", "exit", "quit", "signal.raise_signal"):
            self._note("exit", node, f"{name}() while the module is imported ends the test run")
        self.generic_visit(node)

    def _judge_dynamic_import(self, node: ast.Call) -> None:
        if _is_text(node.args[:1]):
            target = node.args[0]
            if isinstance(target, ast.Constant):
                self._judge_import(str(target.value), node)
        elif node.args and not _has_plain_start(node.args[0]):
            self._note("computed import", node, "it computes the name of what it imports")

    def _judge_lookup(self, name: str, node: ast.Call) -> None:
        if name in ("setattr", "delattr"):
            self._judge_owner(node.args[0], node)
        target = self._dotted(node.args[0])
        if target not in NAMESPACES and target not in RUNNERS:
            return
        if name == "getattr" and _is_text(node.args[1:2]) and isinstance(node.args[1], ast.Constant):
            self._judge_name(f"{target}.{node.args[1].value!s}", node)
        else:
            self._note("namespace", node, f"{name}() on {target} hides which name it takes or changes")

    # statements

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self._dotted(node.value)
        if value and value.split(".")[0] in NAMESPACES:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._names[target.id] = value
        for target in node.targets:
            self._judge_target(target)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._judge_target(node.target)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._judge_target(node.target)
        self.generic_visit(node)

    def _judge_target(self, target: ast.expr) -> None:
        """``math.isclose = …`` changes what tests compare with."""
        for part in ast.walk(target):
            if isinstance(part, ast.Attribute):
                self._judge_owner(part.value, part)

    def _judge_owner(self, owner: ast.expr, node: ast.AST) -> None:
        while isinstance(owner, ast.Attribute):
            owner = owner.value
        module = self._modules.get(owner.id) if isinstance(owner, ast.Name) else None
        if module is not None and module not in self._place.own and not self._tests:
            self._note(
                "foreign attribute",
                node,
                f"it changes something in the module {module}, which is not its own",
            )

    def visit_Raise(self, node: ast.Raise) -> None:
        target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if (
            self._depth == 0
            and isinstance(target, ast.Name)
            and target.id in ("SystemExit", "KeyboardInterrupt")
        ):
            self._note("exit", node, f"raising {target.id} while the module is imported ends the test run")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            for text in PROCESS_TEXTS:
                if text in node.value:
                    self._note(text, node, f"it names {text}")

    def visit_If(self, node: ast.If) -> None:
        self._depth += int(_is_main_guard(node.test))
        self.generic_visit(node)
        self._depth -= int(_is_main_guard(node.test))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name in (
                "__eq__",
                "__ne__",
                "__bool__",
                "__contains__",
            ):
                last = part.body[-1]
                always = isinstance(last, ast.Return) and isinstance(last.value, ast.Constant)
                if len(part.body) == 1 and always and part.name == "__eq__":
                    self._note(
                        "constant __eq__",
                        part,
                        "an __eq__ that answers the same to everything fools any test",
                    )
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1


def _is_text(arguments: list[ast.expr]) -> bool:
    return bool(arguments) and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str)


def _has_plain_start(name: ast.expr) -> bool:
    """Whether a computed module name begins with a package that is spelled out: f"app.plugins.{name}"."""
    first = name.values[0] if isinstance(name, ast.JoinedStr) and name.values else None
    package = (
        str(first.value).split(".")[0] if isinstance(first, ast.Constant) and "." in str(first.value) else ""
    )
    return bool(package) and package not in RUNNERS | LOW_LEVEL


def _mentions_own_process(node: ast.Call) -> bool:
    inner = [part for argument in node.args for part in ast.walk(argument)]
    names = {part.attr for part in inner if isinstance(part, ast.Attribute)}
    names |= {part.id for part in inner if isinstance(part, ast.Name)}
    return bool(names & {"getpid", "getppid", "getpgid", "getpgrp"}) or bool(
        node.args and _is_zero(node.args[0])
    )


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (0, -1)


def _is_main_guard(test: ast.expr) -> bool:
    return "__name__" in {part.id for part in ast.walk(test) if isinstance(part, ast.Name)}
