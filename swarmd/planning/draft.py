"""A model's plan: the schema that it is asked for, how it is read, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarmd.planning.brief import Brief, Named, Step
from swarmd.planning.packets import cycle
from swarmd.planning.paths import is_test, new_test, problem_with, tidy
from swarmd.planning.templates import testable
from swarmd.planning.typeinfo import TypeInfo

__all__ = ["MAX_PACKETS", "check", "printable", "read", "schema"]

MAX_PACKETS = 8
"""Most packets that a model's plan may have; review and git come on top."""
_MAX_FILES, _MAX_GOAL = 8, 500
_ID = re.compile(r"\w{1,20}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")


class _DraftPacket(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str
    type: str
    skill: str | None = None
    goal: str
    files: list[str] = Field(default_factory=list)
    depends_on: list[str] = Field(default_factory=list)
    gates: list[str] = Field(default_factory=list)


def schema(
    types: Sequence[TypeInfo],
    files: Sequence[str] | None,
    gates: Sequence[str],
    most: int = MAX_PACKETS,
) -> dict[str, Any]:
    """The JSON schema of a plan: flat, with everything that is known beforehand as an enumeration.

    ``files``: the only files that may be named; None leaves room for new ones. ``most``: packets.
    """
    ids = list(range(1, most + 1))
    path: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 120}
    properties: dict[str, Any] = {
        "id": {"type": "integer", "enum": ids},
        "type": {"type": "string", "enum": [info.name for info in types]},
        "goal": {"type": "string", "minLength": 1, "maxLength": 240},
        "files": _some({"type": "string", "enum": list(files)} if files else path, 1, 3),
        "depends_on": _some({"type": "integer", "enum": ids}, 0, 4),
    }
    required = list(properties)
    skills = sorted({skill for info in types for skill in info.skills})
    if skills:
        properties["skill"] = {"type": "string", "enum": ["", *skills]}
    if any(info.gates for info in types) and gates:  # else every gate counts already
        properties["gates"] = _some({"type": "string", "enum": list(gates)}, 0, len(gates))
    packet = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"packets": _some(packet, 1, most)},
        "required": ["packets"],
        "additionalProperties": False,
    }


def _some(items: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def read(text: str) -> tuple[list[Step], list[str]]:
    """The steps in a model's reply, and why they could not be read, as far as they could not."""
    raw = _json_in(text)
    if raw is None:
        return [], ["the reply is not JSON"]
    packets = raw.get("packets") if isinstance(raw, dict) else raw
    if not isinstance(packets, list) or not packets:
        return [], ['the reply has no list "packets"']
    if len(packets) > MAX_PACKETS:
        return [], [f"{len(packets)} packets; at most {MAX_PACKETS} are allowed"]
    steps, problems = [], []
    for number, packet in enumerate(packets, 1):
        try:
            steps.append(_step(_DraftPacket.model_validate(packet)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            problems.append(f"packet {number}: {where}: {first['msg']}")
    return steps, problems


def _json_in(text: str) -> Any:
    """The JSON value in ``text``, which may stand in a fence or between sentences; else None."""
    spans = [(text.find(first), text.rfind(last) + 1) for first, last in (("{", "}"), ("[", "]"))]
    for start, end in sorted(span for span in spans if 0 <= span[0] < span[1]):
        try:
            return orjson.loads(text[start:end])
        except orjson.JSONDecodeError:
            continue
    return None


def printable(text: str) -> str:
    """``text`` on one line, without characters that steer a terminal or hide text."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def _step(packet: _DraftPacket) -> Step:
    goal = printable(packet.goal)
    return Step(
        id=packet.id,
        type=packet.type,
        skill=packet.skill or None,
        goal=goal if len(goal) <= _MAX_GOAL else goal[: _MAX_GOAL - 2] + " …",
        files=tuple(dict.fromkeys(packet.files)),
        needs=frozenset(packet.depends_on),
        gates=tuple(packet.gates),
    )


def check(
    steps: Sequence[Step], brief: Brief, named: Named, types: Mapping[str, TypeInfo]
) -> tuple[list[Step], list[str]]:
    """``steps`` as they will be carried out, and every problem that keeps them from it.

    ``types`` are those that the model may use. Harmless slips are mended: ``./`` before a path, a
    file's name without its folder, a skill of another type, a new test beside the code. Test files get
    their names from us.
    """
    taken: set[str] = set()
    tidied = [_tidied(step, brief, types, taken) for step in steps]
    problems = _order_problems(tidied)
    size = sum(len(s.files) if _writes_tests(s, types) else 1 for s in tidied)  # one packet a test file
    if size > MAX_PACKETS:
        problems.append(f"it comes to {size} packets; at most {MAX_PACKETS} are allowed")
    for step in tidied:
        problems += [f"packet {step.id}: {p}" for p in _step_problems(step, brief, named, types)]
    return tidied, problems


def _tidied(step: Step, brief: Brief, types: Mapping[str, TypeInfo], taken: set[str]) -> Step:
    files = tuple(dict.fromkeys(tidy(path, brief.survey) for path in step.files))
    info = types.get(step.type)
    skill = step.skill
    if info is not None and any(skill in other.skills for other in types.values()):
        skill = skill if skill in info.skills else None
    if not _writes_tests(step, types):
        files = _without_new_tests(files, brief)
    else:
        files = tuple(dict.fromkeys(_test_file(path, brief, taken) for path in files))
    return replace(step, files=files, skill=skill)


def _without_new_tests(files: tuple[str, ...], brief: Brief) -> tuple[str, ...]:
    """``files`` without new tests beside code: they are not that agent's to write, and a testing packet
    is planned in any case. Files that are nothing but tests stay, for the check to refuse."""
    code = tuple(path for path in files if problem_with(path, brief.survey, testing=True) is not None)
    return code or files


def _writes_tests(step: Step, types: Mapping[str, TypeInfo]) -> bool:
    return step.type in types and types[step.type].role == "testing"


def _test_file(path: str, brief: Brief, taken: set[str]) -> str:
    """A sane new test file stays; for a source file, an existing test, or the test of another step
    (they are in ``taken``), a new one is named. What fits neither is left for the check."""
    source = testable(path) and problem_with(path, brief.survey, testing=False) is None
    known_test = is_test(path) and (path in brief.survey.files or path in taken)
    if source or known_test:
        path = new_test(path, brief.survey, taken)
    taken.add(path)
    return path


def _order_problems(steps: Sequence[Step]) -> list[str]:
    ids = [step.id for step in steps]
    problems = [f"the id {i} is used twice" for i in dict.fromkeys(ids) if ids.count(i) > 1]
    problems += [f"the id {i[:40]!r} is no number" for i in ids if not _ID.fullmatch(i)]
    for step in steps:
        unknown = sorted(step.needs - set(ids))
        if unknown:
            problems.append(f"packet {step.id}: depends_on names {unknown[0]}, which is no packet")
    looped = cycle(steps)
    if looped:
        problems.append(f"packets {', '.join(looped)} depend on each other in a circle")
    return problems


def _step_problems(step: Step, brief: Brief, named: Named, types: Mapping[str, TypeInfo]) -> list[str]:
    info = types.get(step.type)
    if info is None:
        return [f"there is no type {step.type!r} here; use {', '.join(types)}"]
    problems = []
    if not step.goal:
        problems.append("the goal is empty")
    if step.skill is not None and step.skill not in info.skills:
        problems.append(f"type {info.name} has no skill {step.skill!r}")
    gates = {gate.gate for gate in brief.survey.gates}
    problems += [f"there is no gate {gate!r}" for gate in step.gates if gate not in gates]
    if not 1 <= len(step.files) <= _MAX_FILES:
        problems.append(f"it names {len(step.files)} files; name 1 to {_MAX_FILES}")
    for path in step.files[:_MAX_FILES]:
        problem = problem_with(path, brief.survey, testing=info.role == "testing")
        if problem is None and named.binding and info.role != "testing" and path not in named.subjects:
            problem = "is not among the files that the request lists"
        if problem:
            problems.append(f"the file {path[:80]!r} {problem}")
    return problems
