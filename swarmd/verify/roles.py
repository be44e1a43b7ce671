"""What each role's patch may touch, beyond the rules that hold for all."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, get_args

from swarmd.home import Home
from swarmd.verify.protect import is_docs, is_protected, is_steering, is_test_file, is_test_support

__all__ = ["Role", "added_suppressions", "docs_violation", "may_touch", "outside_scope", "role_of"]

Role = Literal["coding", "testing", "review", "docs", "git", "deploy"]

_DIRECTIVE = re.compile(
    r"#\s*(?:noqa|type:|pragma:|nosec|pylint:|mypy:|ruff:|flake8:|isort:|fmt:|pyright:|bandit:)"
    r"|#.*coding[:=]|eslint-disable|@ts-(?:ignore|nocheck|expect-error)|istanbul ignore|c8 ignore"
)


def role_of(home: Home, agent_type: str) -> Role:
    """The role that ``agents/<agent_type>/agent.toml`` names, else the type's own name if it is a
    role's, else coding."""
    try:
        text = (home.agents / agent_type / "agent.toml").read_text(encoding="utf-8")
        named = tomllib.loads(text).get("role", agent_type)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        named = agent_type
    return next((role for role in get_args(Role) if role == named), "coding")


def may_touch(path: str, role: Role, *, exists: bool, fresh: bool = False) -> bool:
    """Whether a patch of ``role`` may touch ``path`` without a warrant. ``fresh``: the base commit has
    no protected file, so that configuration may be added (it weakens nothing), but not steering files.
    """
    if not is_protected(path):
        return True
    if role == "docs":
        return exists and is_docs(path) and not is_test_file(path)
    if role == "testing":
        return is_test_file(path)
    return fresh and not exists and not (is_test_file(path) or is_test_support(path) or is_steering(path))


def outside_scope(paths: Iterable[str], owned: Collection[str]) -> list[str]:
    """Those of ``paths`` that ``owned`` does not cover; an entry that ends with "/" covers a folder."""
    if not owned:
        return []
    files = {entry.removeprefix("./") for entry in owned}
    folders = tuple(entry for entry in files if entry.endswith("/"))
    return [path for path in paths if path not in files and not (folders and path.startswith(folders))]


def docs_violation(path: str, old: str | None, new: str | None) -> str | None:
    """Why a documentation patch may not change ``path`` so; None when it may."""
    if new is None:
        return f"{path}: a documentation task deletes nothing"
    if is_docs(path):
        return None
    if not path.endswith((".py", ".pyi")):
        return f"{path}: a documentation task changes only docstrings, comments and pages of prose"
    try:
        before, after = _without_docstrings(old or ""), _without_docstrings(new)
    except (SyntaxError, ValueError) as error:
        return f"{path}: it does not parse: {error}"
    if old is None or before != after:
        return f"{path}: a documentation task changes only docstrings and comments, and this changes code"
    if _directives(old) != _directives(new):
        return f"{path}: a documentation task may not change comments that steer tools (noqa, type: ignore …)"
    return None


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                # a function may consist of its docstring alone, which is then the same as "pass"
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _directives(source: str) -> Counter[str]:
    return Counter(comment for comment in _comments(source) if _DIRECTIVE.search(comment))


def _comments(source: str) -> list[str]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return [line for line in source.splitlines() if "#" in line]
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def added_suppressions(path: str, old: str | None, new: str | None) -> list[str]:
    """The comments that silence a checker and that ``new`` has more often than ``old``."""
    if new is None or not path.endswith((".py", ".pyi")):
        return []
    return sorted((_directives(new) - _directives(old or "")).elements())
