"""Replies of a scripted model that knows the exercises' solutions, in the formats that it is good at."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from swarmd.calibration.exercises import Exercise, load_exercises
from swarmd.calibration.measure import question
from swarmd.coding.edits import read_edit
from swarmd.messages import EditForm

ASKED: dict[EditForm, str] = {
    "symbol": r"(?:with that change, complete,|, with the imports needed,)",
    "file": "complete new text of",
    "replace": "<<<<<<< SEARCH",
}
"""How a prompt can be told that asks for the format."""


def solved(exercise: Exercise) -> str:
    """The file as the solution makes it."""
    return read_edit(f"```python\n{exercise.solution}```", question(exercise, "symbol", "").edit)


def right(exercise: Exercise, form: EditForm) -> str:
    """A reply that solves the exercise."""
    if form == "symbol":
        return f"Here you are:\n```python\n{exercise.solution}```"
    if form == "file":
        return f"```python\n{solved(exercise)}```"
    return f"<<<<<<< SEARCH\n{exercise.source}=======\n{solved(exercise)}>>>>>>> REPLACE"


def wrong(exercise: Exercise, form: EditForm) -> str:
    """A reply that is an edit and does not solve the exercise."""
    harmless = f"{exercise.source}\n\nUNUSED = 1\n"
    return f"<<<<<<< SEARCH\n{exercise.source}=======\n{harmless}>>>>>>> REPLACE"


def unchanged(exercise: Exercise, form: EditForm) -> str:
    """The file as it is."""
    return f"```python\n{exercise.source}```"


def no_edit(exercise: Exercise, form: EditForm) -> str:
    """A reply that is no edit at all."""
    return "I would change the condition."


Kind = Callable[[Exercise, EditForm], str]


def rules(kinds: Mapping[EditForm, Kind], exercises: int | None = None) -> list[dict[str, Any]]:
    """A script in which every format is answered by its kind of reply."""
    return [
        {"match": f"{re.escape(exercise.action)}.*{ASKED[form]}", "reply": kind(exercise, form)}
        for exercise in load_exercises()[:exercises]
        for form, kind in kinds.items()
    ]
