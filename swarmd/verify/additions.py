"""Whether a change to a test file only adds tests: what is there stays, unchanged and unhidden."""

from __future__ import annotations

import ast

from swarmd.verify.protect import is_test_file

__all__ = ["addition_violation"]

_STEERING = frozenset({"pytestmark", "pytest_plugins", "collect_ignore", "collect_ignore_glob", "__test__"})
_SETUP = ("setup", "teardown", "setUp", "tearDown", "pytest_", "load_tests")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def addition_violation(path: str, old: str | None, new: str | None) -> str | None:
    """Why a testing task may not change ``path`` from ``old`` to ``new``; None when it may."""
    if not is_test_file(path):
        return f"{path}: a testing task adds tests, and this is no test file"
    if new is None:
        return f"{path}: a testing task may not delete tests"
    if not path.endswith(".py"):
        return None if old is None or _extends(old, new) else f"{path}: existing tests may only be added to"
    try:
        before, after = ast.parse(old or ""), ast.parse(new)
    except (SyntaxError, ValueError) as error:
        return f"{path}: it does not parse: {error}"
    if old is None:
        return None
    return _added_only(path, before.body, after.body)


def _extends(old: str, new: str) -> bool:
    lines = iter(new.splitlines())
    return all(line in lines for line in old.splitlines())


def _added_only(path: str, before: list[ast.stmt], after: list[ast.stmt]) -> str | None:
    """Every statement of ``before`` stands in ``after``, in order and unchanged, save for classes that
    have grown in the same way; what is new takes no name that was there."""
    taken = {name for statement in before for name in _binds(statement)}
    rest = list(after)
    for statement in before:
        while rest and not _same(statement, rest[0]):
            reason = _bad_addition(path, rest.pop(0), taken)
            if reason:
                return reason
        if not rest:
            what = next(iter(sorted(_binds(statement))), "a statement")
            return f"{path}: it changes or removes {what}, and existing tests may only be added to"
        grown = rest.pop(0)
        if isinstance(statement, ast.ClassDef) and isinstance(grown, ast.ClassDef):
            reason = _added_only(path, statement.body, grown.body)
            if reason:
                return reason
    return next((reason for extra in rest if (reason := _bad_addition(path, extra, taken))), None)


def _same(old: ast.stmt, new: ast.stmt) -> bool:
    if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
        return _head(old) == _head(new)
    return ast.dump(old) == ast.dump(new)


def _head(node: ast.ClassDef) -> list[str]:
    parts = [*node.bases, *(word.value for word in node.keywords), *node.decorator_list]
    return [node.name, *(str(word.arg) for word in node.keywords), *map(ast.dump, parts)]


def _bad_addition(path: str, statement: ast.stmt, taken: set[str]) -> str | None:
    names, where = _binds(statement), f"{path}:{statement.lineno}"
    clash = sorted(names & taken)
    imported = isinstance(statement, (ast.Import, ast.ImportFrom))
    if clash and not imported:
        return f"{where}: it defines {clash[0]} once more, which hides the one that is there"
    if any(name.startswith(("test", "Test")) for name in clash):
        return f"{where}: it imports over {clash[0]}"
    if names & _STEERING:
        return f"{where}: it sets {sorted(names & _STEERING)[0]}, which steers all tests in the file"
    if isinstance(statement, _FUNCTIONS) and (_is_autouse(statement) or statement.name.startswith(_SETUP)):
        return f"{where}: it adds {statement.name}, which all tests in the file would use"
    harmless = (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    if not isinstance(statement, harmless) and not _is_text(statement):
        return f"{where}: it adds a statement that is run when the file is loaded"
    if isinstance(statement, ast.Assign) and not all(
        isinstance(one, (ast.Name, ast.Tuple)) for one in statement.targets
    ):
        return f"{where}: it changes something that is not its own"
    return None


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_autouse(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [part for part in function.decorator_list if isinstance(part, ast.Call)]
    return any(word.arg in ("autouse", None) for call in calls for word in call.keywords)


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement defines where it stands."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in stored if isinstance(node.ctx, ast.Store)}
