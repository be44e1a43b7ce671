"""Whatever a model answers: an EditError or a new text of the one file, never anything else."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarmd.coding.edits import MAX_REPLY, Edit, Form, read_edit
from swarmd.coding.failure import EditError, FormatError, RefusedError
from swarmd.coding.merge import Scope
from swarmd.coding.names import names_of

FOLDER = Path(__file__).parent / "replies"
TASKS = {task["id"]: task for task in tomllib.loads((FOLDER / "tasks.toml").read_text())["task"]}
REPLIES = [
    json.loads(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_text().splitlines()
]
PATHS = (
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows\\win.ini",
    "~/.ssh/config.toml",
    "./../other.py",
    "C:/boot.ini",
    "other/__init__.py",
    "setup.cfg",
)
ODD = ("\0", "\ud800", "\udfff", "\r", "\x0c", "\u2028", "\ufeff", "\t", "`" * 3, "'" * 3, '"' * 3, "\\")


def edits(task_id: str, form: Form) -> Edit:
    task = TASKS[task_id]
    source = task["source"].lstrip("\n") if "source" in task else None
    names = frozenset(task.get("replaces", ()))
    scope = Scope(names or None if form == "symbol" else None, frozenset(task.get("adds", ())))
    return Edit(task["path"], source, form, scope)


def check(reply: str, edit: Edit, cut: bool) -> None:
    """What must hold of every reply: see the module's docstring."""
    try:
        new = read_edit(reply, edit, cut=cut)
    except EditError:
        return
    new.encode()
    assert "\0" not in new
    assert new != edit.source
    if edit.is_python:
        ast.parse(new)
    elif edit.path.endswith(".json"):
        json.loads(new)
    if edit.source is not None and not (edit.is_python and is_broken(edit.source)):
        assert names_of(edit.path, edit.source) <= names_of(edit.path, new)


def is_broken(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return True
    return False


def _at(text: str, place: float) -> int:
    return int(place * len(text))


def _one(of: Sequence[str], place: float) -> str:
    return of[int(place * (len(of) - 1))]


def _inserted(text: str, place: float, what: str) -> str:
    return text[: _at(text, place)] + what + text[_at(text, place) :]


def fences_removed(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("```"))


def fences_doubled(text: str) -> str:
    return "\n".join(f"{line}\n{line}" if line.startswith("```") else line for line in text.split("\n"))


CHANGES: dict[str, Callable[[str, float], str]] = {
    "cut": lambda text, place: text[: _at(text, place)],
    "head lost": lambda text, place: text[_at(text, place) :],
    "fences removed": lambda text, place: fences_removed(text),
    "fences doubled": lambda text, place: fences_doubled(text),
    "fence inserted": lambda text, place: _inserted(text, place, "\n```\n"),
    "deeper": lambda text, place: "\n".join(" " * _at("12345", place) + line for line in text.split("\n")),
    "flat": lambda text, place: "\n".join(line.lstrip() for line in text.split("\n")),
    "windows": lambda text, place: text.replace("\n", "\r\n"),
    "macintosh": lambda text, place: text.replace("\n", "\r"),
    "twice": lambda text, place: text + "\n" + text,
    "odd": lambda text, place: _inserted(text, place, _one(ODD, place)),
    "other file": lambda text, place: f"{_one(PATHS, place)}\n{text}",
    "comment": lambda text, place: text.replace("\n", f"\n# {_one(PATHS, place)}\n", 1),
    "long line": lambda text, place: _inserted(text, place, "x" * 50_000),
    "endless line": lambda text, place: text[: _at(text, place)] + "(" * 1_000_000,
    "diff": lambda text, place: "--- a/x\n+++ b/x\n@@ -1 +1 @@\n+" + text.replace("\n", "\n+"),
    "marks": lambda text, place: f"<<<<<<< SEARCH\n{text[: _at(text, place)]}\n=======\n{text}",
}
FORMS: tuple[Form, ...] = ("symbol", "file", "replace")


@given(
    st.sampled_from(REPLIES),
    st.sampled_from(FORMS),
    st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.floats(0, 1)), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_changed_reply(
    reply: dict[str, str], form: Form, changes: list[tuple[str, float]], cut: bool
) -> None:
    text = reply["reply"]
    for name, place in changes:
        text = CHANGES[name](text, place)
    check(text, edits(reply["task"], form), cut)


@given(st.sampled_from(REPLIES), st.sampled_from(sorted(TASKS)), st.sampled_from(FORMS), st.booleans())
def test_a_reply_to_another_task(reply: dict[str, str], task_id: str, form: Form, cut: bool) -> None:
    check(reply["reply"], edits(task_id, form), cut)


PIECES = st.sampled_from(
    [
        "```", "```python", "~~~", "````", "\n", "    ", "def slugify(title):", "class Timer:", "return 1",
        "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "@@ -1,2 +1,2 @@", "--- a/a.py", "+++ b/a.py", "+",
        ">>> ", "... ", " 12 | ", "&lt;", "&#0;", "&#xD800;", "<think>", "</think>", "# ... rest of the code",
        "../../etc/passwd", "import os", '"""', "'", "(", ")", "{", "}", "function total() {", "# Title", "-",
    ]
)  # fmt: skip


@given(
    st.lists(st.one_of(PIECES, st.text(st.characters(), max_size=8), st.just("\n")), max_size=40),
    st.sampled_from(sorted(TASKS)),
    st.sampled_from(FORMS),
    st.booleans(),
)
@example(["<think>" * 5_000], "slug", "symbol", False)
@example(["</think>" * 5_000], "slug", "symbol", False)
@example(["```\n" * 20_000], "slug", "file", False)
@example(["```python\n", "(" * 100_000, "\n```"], "slug", "symbol", False)
@example(["```python\nX = ", "+".join("a" * 20_000), "\n```"], "defaults", "file", False)
@example(["```python\n", *(" " * n + f"class A{n}:\n" for n in range(300)), "```"], "timer", "file", False)
@example(["<<<<<<< SEARCH\n", "\n" * 50_000, "=======\na\n>>>>>>> REPLACE"], "menu-js", "replace", False)
@example(["```js\n", "{" * 50_000, "\n```"], "cart-js", "file", False)
@example(["```json\n", "[" * 100_000, "\n```"], "config-json", "file", False)
def test_any_text(pieces: list[str], task_id: str, form: Form, cut: bool) -> None:
    check("".join(pieces), edits(task_id, form), cut)


def test_a_reply_without_end_is_not_read() -> None:
    with pytest.raises(FormatError, match="too long"):
        read_edit("x" * (MAX_REPLY + 1), edits("slug", "symbol"))


@pytest.mark.parametrize("path", PATHS[:-1])
def test_a_block_for_a_path_outside_is_refused(path: str) -> None:
    code = "def slugify(title):\n    return title"
    edit = edits("slug", "symbol")
    with pytest.raises(RefusedError, match=r"only text/slug.py may be changed"):
        read_edit(f"```diff\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{code}\n+x\n```", edit)
    if path.endswith(".py"):
        with pytest.raises(RefusedError, match=r"only text/slug.py may be changed"):
            read_edit(f"{path}\n```python\n{code}\n```", edit)


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ("\0", "no text file"),
        ("\ud800", "no text file"),
        ("<<<<<<< SEARCH\nold lines", "marks"),
        (">>>>>>> REPLACE", "marks"),
    ],
)
def test_what_no_text_file_may_hold_is_refused(added: str, words: str) -> None:
    page = TASKS["readme"]["source"].strip()
    with pytest.raises(FormatError, match=words):
        read_edit(f"````markdown\n{page}\n\n{added}\n````", edits("readme", "file"))


def test_code_nested_too_deeply_is_refused() -> None:
    deep = "+".join("a" * 2_000)
    with pytest.raises(FormatError, match="nested too deeply"):
        read_edit(f"```python\ndef slugify(title):\n    return {deep}\n```", edits("slug", "symbol"))
