"""Malformed replies of real models (see replies/README.md): what becomes of each, and how many are saved."""

from __future__ import annotations

import ast
import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from swarmd.coding.edits import Edit, Form, read_edit
from swarmd.coding.failure import EditError
from swarmd.coding.merge import Scope

FOLDER = Path(__file__).parent / "replies"
LEAST_RECOVERED = 0.9
LEAST_REPLIES = 200
HALVES = ("A", "B")

Task = Mapping[str, Any]
Reply = Mapping[str, Any]


@cache
def tasks() -> dict[str, Task]:
    return {task["id"]: task for task in tomllib.loads((FOLDER / "tasks.toml").read_text())["task"]}


@cache
def replies(half: str) -> Sequence[Reply]:
    lines = (FOLDER / f"half-{half.lower()}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def edit_of(reply: Reply) -> Edit:
    """What the model was asked to write, as swarmd would have noted it."""
    task = tasks()[reply["task"]]
    path, source, adds = task["path"], task.get("source"), frozenset(task.get("adds", ()))
    asked: dict[str, Form] = {"blocks": "replace", "whole": "file"}
    form = task.get("form") or asked.get(reply["style"], "symbol")
    names = frozenset(task.get("replaces", ()))
    replaces = names if form == "symbol" and (names or adds) else None
    return Edit(path, source.lstrip("\n") if source else None, form, Scope(replaces, adds, task["action"]))


def outcome(reply: Reply) -> str | EditError:
    """The file's new text, or why there is none. Any other exception is a crash."""
    try:
        return read_edit(reply["reply"], edit_of(reply), cut=reply["cut"])
    except EditError as error:
        return error


def is_recovered(reply: Reply) -> bool:
    """True when the file's new text has everything that the reply was meant to bring."""
    new, path = outcome(reply), tasks()[reply["task"]]["path"]
    if isinstance(new, EditError):
        return False
    return all(_holds(path, new, name, text) for name, text in reply["intended"].items())


def _holds(path: str, new: str, name: str, text: str) -> bool:
    """``name``: the definition whose text this is, by qualified name; ``*``: the whole file."""
    if path.endswith(".py"):
        known = _definitions(new)
        wanted = _definitions(text, "" if name == "*" else name.rpartition(".")[0])
        return bool(wanted) and all(known.get(key) == dump for key, dump in wanted.items())
    has, wants = ([line.strip() for line in one.split("\n") if line.strip()] for one in (new, text))
    if name == "*":
        return has == wants
    plain = [line.removeprefix("export ").removeprefix("default ") for line in has]
    wants = [line.removeprefix("export ").removeprefix("default ") for line in wants]
    return any(plain[at : at + len(wants)] == wants for at in range(len(plain)))


def _definitions(text: str, owner: str = "") -> dict[str, str]:
    """Every function and constant of ``text``, with its tree; docstrings and decorators, which a repair
    puts back, do not count."""
    found: dict[str, str] = {}

    def walk(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
                    node.body = node.body[1:]
                node.decorator_list = []
                found[prefix + node.name] = ast.dump(node)
            elif isinstance(node, ast.Assign):
                found[prefix + ast.unparse(node.targets[0])] = ast.dump(node.value)

    walk(ast.parse(text).body, f"{owner}." if owner else "")
    return found


def recovered(half: str) -> tuple[list[str], list[str]]:
    """The ids of the recoverable replies: (recovered, not recovered)."""
    known = [reply for reply in replies(half) if reply["label"] == "recoverable"]
    return (
        [reply["id"] for reply in known if is_recovered(reply)],
        [reply["id"] for reply in known if not is_recovered(reply)],
    )


@pytest.mark.parametrize("half", HALVES)
def test_most_recoverable_replies_are_recovered(half: str) -> None:
    saved, lost = recovered(half)
    share = len(saved) / (len(saved) + len(lost))
    counts = f"half {half}: {len(saved)} of {len(saved) + len(lost)} recovered ({share:.0%}), not: {lost}"
    assert share >= LEAST_RECOVERED, counts


def test_there_are_enough_of_every_sort() -> None:
    found = [reply for half in HALVES for reply in replies(half)]
    counts = Counter((reply["model"], reply["label"]) for reply in found)
    assert len(found) >= LEAST_REPLIES, counts
    assert len({reply["id"] for reply in found}) == len(found)
    assert min(counts[model, label] for model in ("0.5b", "1.5b") for label in ("recoverable", "lost")) >= 5


@pytest.mark.parametrize("half", HALVES)
def test_whatever_comes_back_is_a_file_that_parses_and_has_all_its_names(half: str) -> None:
    for reply in replies(half):
        new, edit = outcome(reply), edit_of(reply)
        if isinstance(new, EditError):
            assert new.message, reply["id"]
            continue
        assert new != edit.source, reply["id"]
        if edit.is_python:
            ast.parse(new)
            assert _names(edit.source or "") <= _names(new), reply["id"]


def _names(text: str) -> set[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # the task is to repair it
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
