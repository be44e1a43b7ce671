"""Which of the project's functions and classes the names in an example mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swarmd.messages.example import Step
from swarmd.verify.examples.asked import Asked
from swarmd.verify.examples.project import Project
from swarmd.verify.examples.syntax import assigned_names, calls, free_names, statement

__all__ = ["Resolver", "Uses"]


@dataclass
class Uses:
    """What the steps of an example take from outside."""

    names: dict[str, list[str]] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    """Functions, classes and methods that are called, the project's own first."""


@dataclass(frozen=True)
class Resolver:
    """Finds out where the names of one text's examples come from."""

    hints: dict[str, tuple[str, str | None]]
    own: str | None
    asked: Asked
    project: Project

    def uses(self, steps: Sequence[Step]) -> Uses | None:
        """None when a name is neither the project's nor asked for."""
        uses, local = Uses(), set[str]()
        for step in steps:
            node = statement(step.source)
            if node is None:
                return None
            chains = calls(node)
            for name in free_names(node):
                if name in local or name in uses.names:
                    continue
                found = self._bindings(name, [chain for chain in chains if chain[0] == name])
                if found is None:
                    return None
                uses.names[name] = found
            roots = [chain[-1] for chain in chains if chain[0] in uses.names and chain[0] not in local]
            uses.called += [name for name in roots if name not in uses.called]
            if uses.called:
                uses.called += [name for name in _methods(node) if name not in uses.called]
            local |= set(assigned_names(node))
        return uses

    def _bindings(self, name: str, chains: Sequence[Sequence[str]]) -> list[str] | None:
        hint = self.hints.get(name)
        if hint is not None:
            return self._imported(name, *hint, chains)
        if self.own is not None and self.own in self.project.paths and self.project.binds(self.own, name):
            return self._at([self.own], name)
        paths = self.project.defining(name)
        named = [path for path in paths if path in self.asked.files] or paths
        if named:
            return self._at(named, name)
        if self.project.has(name):
            return self._module(name, chains)
        if self.asked.wants_new(name):
            return [f"{module}:{name}" for module in self.asked.modules()]
        return None

    def _at(self, paths: Sequence[str], name: str) -> list[str] | None:
        """None when it is not certain which of several is meant."""
        modules = [module for path in paths if (module := self.project.module(path))]
        return [f"{modules[0]}:{name}"] if len(modules) == 1 else None

    def _imported(
        self, name: str, module: str, inner: str | None, chains: Sequence[Sequence[str]]
    ) -> list[str] | None:
        if inner is None:
            aliased = [[*module.split("."), *chain[1:]] for chain in chains]
            known = self.project.has(module)
            return self._module(module, aliased, alias=name) if known else None
        path = self.project.modules.get(module)
        if path is not None and (self.project.binds(path, inner) or self.asked.wants_new(inner)):
            return [f"{module}:{inner}"]
        if self.project.has(f"{module}.{inner}"):
            whole = f"{module}.{inner}"
            return self._module(whole, [[*whole.split("."), *chain[1:]] for chain in chains], alias=name)
        return [f"{module}:{inner}"] if module in self.asked.modules() else None

    def _module(
        self, root: str, chains: Sequence[Sequence[str]], alias: str | None = None
    ) -> list[str] | None:
        """``shop.cart.total(…)``: through the project's modules to what they define, and to nothing else."""
        deepest = root
        for chain in chains:
            depth = max(
                (n for n in range(1, len(chain)) if ".".join(chain[:n]) in self.project.modules), default=0
            )
            module = ".".join(chain[:depth])
            path = self.project.modules.get(module)
            if path is None or not (
                self.project.binds(path, chain[depth]) or self.asked.wants_new(chain[depth])
            ):
                return None
            deepest = max(deepest, module, key=len)
        if not chains or (alias not in (None, root.split(".")[0]) and deepest != root):
            return None
        return [deepest]


def _methods(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            yield one.func.attr
