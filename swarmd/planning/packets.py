"""From steps to task packets: a sound order, no two at one file at a time, review and git at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from swarmd.messages import Packet
from swarmd.planning.brief import Brief, Step
from swarmd.planning.paths import subject_of_test
from swarmd.planning.relevance import words
from swarmd.planning.templates import closing_roles
from swarmd.planning.typeinfo import TypeInfo, of_role

__all__ = ["assemble", "cycle"]

_GOALS = {
    "review": "Review the whole change against the request: point at defects, or find none.",
    "git": "Write the commit message and a summary of the change.",
}


def cycle(steps: Sequence[Step]) -> list[str]:
    """Ids of the steps that wait for each other, or for themselves; empty if the order is sound."""
    return [step.id for step in steps if step.id in _before(step.id, {s.id: s for s in steps})]


def assemble(brief: Brief, steps: Sequence[Step], max_attempts: int) -> list[Packet]:
    """The packets of ``steps``, which must be free of cycles, with the closing ones added."""
    single = _one_test_file_each(brief, steps)
    ordered = _close(brief, _serialise(_in_order(_tests_after_code(brief, single))))
    task_ids = {step.id: f"task-{number:03d}" for number, step in enumerate(ordered, 1)}
    return [_packet(brief, step, task_ids, max_attempts) for step in ordered]


def _before(step_id: str, by_id: Mapping[str, Step]) -> set[str]:
    """Ids of all steps that come before ``step_id``, through any number of others."""
    seen: set[str] = set()
    waiting = [step_id]
    while waiting:
        step = by_id.get(waiting.pop())
        fresh = (step.needs if step else frozenset()) - seen
        seen |= fresh
        waiting += fresh
    return seen


def _one_test_file_each(brief: Brief, steps: Sequence[Step]) -> list[Step]:
    """A testing agent writes one file: a step with several becomes several, each told what to test."""
    parts: dict[str, list[Step]] = {}
    known = [*brief.survey.files, *(path for step in steps for path in step.files)]
    everything = brief.survey.model_copy(update={"files": list(dict.fromkeys(known))})
    for step in steps:
        parts[step.id] = [step]
        if brief.role(step.type) == "testing":
            sources = [subject_of_test(path, everything) for path in step.files]
            parts[step.id] = [
                replace(step, id=f"{step.id}.{number}", files=(path,), goal=_about(step.goal, source))
                for number, (path, source) in enumerate(zip(step.files, sources, strict=True), 1)
            ]
    return [
        replace(part, needs=frozenset(p.id for needed in part.needs for p in parts[needed]))
        for group in parts.values()
        for part in group
    ]


def _about(goal: str, source: str | None) -> str:
    return goal if source is None or source in goal else f"{goal} The tests are for {source}."


def _tests_after_code(brief: Brief, steps: Sequence[Step]) -> list[Step]:
    """Tests and pages are about the code, so they wait for it; code never waits for them."""
    code = {step.id for step in steps if brief.role(step.type) == "coding"}
    about = {step.id for step in steps} - code
    freed = [replace(s, needs=s.needs - about) if s.id in code else s for s in steps]
    return [replace(s, needs=s.needs | code) if s.id in about else s for s in freed]


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """``steps`` with every one after those that it needs, otherwise as they were."""
    waiting, ordered, done = list(steps), [], set[str]()
    while waiting:
        step = next(s for s in waiting if s.needs <= done)
        waiting.remove(step)
        ordered.append(step)
        done.add(step.id)
    return ordered


def _serialise(ordered: Sequence[Step]) -> list[Step]:
    """Let a step wait for every earlier one that owns one of its files."""
    result: list[Step] = []
    for step in ordered:
        rivals = {earlier.id for earlier in result if set(earlier.files) & set(step.files)}
        result.append(replace(step, needs=step.needs | rivals))
    return result


def _close(brief: Brief, steps: list[Step]) -> list[Step]:
    closed = list(steps)
    for role in closing_roles(brief.kind):
        info = of_role(role, brief.types)
        if info is not None:
            needs = frozenset(step.id for step in closed)
            closed.append(Step(id=f"harness/{role}", type=info.name, goal=_GOALS[role], needs=needs))
    return closed


def _packet(brief: Brief, step: Step, task_ids: Mapping[str, str], max_attempts: int) -> Packet:
    info = brief.types[step.type]
    request = brief.request
    closes = info.role in ("review", "git")
    return Packet(
        packet_id=f"pkt-{request.request_id}-{task_ids[step.id].removeprefix('task-')}",
        task_id=task_ids[step.id],
        request_id=request.request_id,
        agent_type=step.type,
        skill=step.skill or _fitting_skill(info, f"{brief.kind} {step.goal}"),
        action=step.goal,
        files_owned=list(step.files),
        dependencies=sorted(task_ids[needed] for needed in step.needs),
        acceptance=_acceptance(brief, info, step),
        priority=request.priority,
        tier=(None if closes else request.tier) or info.tier or "fast",
        max_attempts=info.attempts or max_attempts,
    )


def _acceptance(brief: Brief, info: TypeInfo, step: Step) -> list[str]:
    """The gates that must pass: the type's own and those that the step adds; empty: all.

    A step can only add. Where the project has none of the type's gates, all of its gates count.
    """
    known = [gate.gate for gate in brief.survey.gates]
    own = [gate for gate in known if gate in info.gates]
    if not own:
        return []
    return [gate for gate in known if gate in own or gate in step.gates]


def _fitting_skill(info: TypeInfo, text: str) -> str | None:
    """The first skill all of whose words stand in ``text``."""
    present = words(text) | set(text.lower().split())
    return next((s for s in info.skills if set(s.split("-")) <= present), None)
