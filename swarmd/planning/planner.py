"""Making a plan: without a model where the request says enough, else with one, checked by code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from swarmd.errors import ModelError, ModelReplyError, PlanError
from swarmd.messages import AcceptedRequest, ChatCall, ChatMessage, ChatReply, Plan, Survey
from swarmd.planning import draft, prompts, relevance, templates
from swarmd.planning.brief import Brief, Named, Step, named_files
from swarmd.planning.kinds import resolve
from swarmd.planning.mentions import Read, culprits
from swarmd.planning.packets import assemble
from swarmd.planning.paths import DOCUMENTS, SOURCES
from swarmd.planning.relevance import RankedFile
from swarmd.planning.typeinfo import TypeInfo, of_role

__all__ = ["Ask", "PlanSettings", "make_plan"]

Ask = Callable[[ChatCall], Awaitable[ChatReply]]
"""Asks a model through the broker."""

Origin = Literal["direct", "model", "repaired", "template"]
_REPAIR_TEMPERATURE = 0.5
"""A small model that is asked again at 0 writes the same again."""
_NOTE = 2000


@dataclass(frozen=True)
class PlanSettings:
    """What planning may use."""

    context_tokens: int = 1200
    """Cap on a planning prompt, in tokens; policy.context_tokens.deep."""
    thought_tokens: int = 120
    """Cap on the free text."""
    reply_tokens: int = 500
    """Cap on the JSON."""
    max_attempts: int = 5
    """Attempts at a packet whose type does not set them."""


def nothing_to_read(path: str) -> str | None:
    """Stands in for a project whose files cannot be looked into."""
    return None


async def make_plan(
    request: AcceptedRequest,
    survey: Survey,
    types: Mapping[str, TypeInfo],
    ask: Ask,
    *,
    read: Read = nothing_to_read,
    settings: PlanSettings = PlanSettings(),
) -> Plan:
    """The plan of ``request``, sound whatever the model says.

    ``read`` gives a project file's text at the base commit; it is called on another thread. ``ask`` is
    called at most three times: free thought, the plan as JSON, one repair. A ModelError only means
    that the template is used.
    Raises PlanError when no agent type serves the request, or no file to work on can be found.
    """
    kind, worker = resolve(request, types, tests_fail=bool(survey.base_failed))
    brief = Brief(request, survey, dict(types), kind, worker, read)
    named = await asyncio.to_thread(named_files, brief)  # ``read`` may start git: it must not block
    if worker.role in templates.UNPLANNED:
        return _from_template(brief, named, settings, "direct", f"a {kind} needs no planning")
    if len(named.subjects) == 1 or named.suspected:
        how = "failing tests run into" if named.suspected else "request is about"
        return _from_template(brief, named, settings, "direct", f"the {how} {', '.join(named.subjects)}")
    ranked = await asyncio.to_thread(_ranked, brief, named)
    return await _Planning(brief, named, ranked, settings, ask).run()


def _ranked(brief: Brief, named: Named) -> list[RankedFile]:
    pointed = list(named.subjects)
    if brief.kind == "bugfix":
        pointed += culprits(brief.request.user_request, brief.survey, brief.read)
    ranked = relevance.rank(brief.request.user_request, brief.survey, brief.read, pointed)
    wanted = SOURCES | DOCUMENTS if brief.worker.role == "docs" else SOURCES
    return [f for f in ranked if f.path.rpartition(".")[2] in wanted or f.path in named.subjects]


class _Planning:
    """One conversation with the deep tier."""

    def __init__(
        self, brief: Brief, named: Named, ranked: Sequence[RankedFile], settings: PlanSettings, ask: Ask
    ) -> None:
        self._brief = brief
        self._named = named
        self._ranked = ranked
        self._settings = settings
        self._ask_model = ask
        self._types = _plannable(brief)
        self._new_files = brief.kind != "bugfix" and not named.binding

    async def run(self) -> Plan:
        """Ask, check, repair once, else fall back on the template."""
        asked = self._question()
        note = f"{asked.elided} characters of the request were left out. " if asked.elided else ""
        try:
            thoughts = await self._think(asked)
            steps, problems, reply = await self._structured(asked, self._structure(asked, thoughts))
            if not problems:
                return self._plan_of(steps, "model", note + thoughts)
            note += f"First plan: {'; '.join(problems[:4])}. "
            messages = self._repair(asked, reply, problems)
            steps, problems, _ = await self._structured(asked, messages, _REPAIR_TEMPERATURE)
            if not problems:
                return self._plan_of(steps, "repaired", note + thoughts)
            note += f"After one repair: {'; '.join(problems[:4])}."
        except ModelError as error:
            note += f"The planning model gave no answer ({error.code}): {error.message}"
        files = _fallback_files(self._brief, self._named, self._ranked)
        named = replace(self._named, subjects=files)
        return _from_template(self._brief, named, self._settings, "template", note)

    @property
    def _infos(self) -> list[TypeInfo]:
        return list(self._types.values())

    def _question(self) -> prompts.Question:
        # The second turn adds the thoughts and the rules to the first one, within the same cap.
        room = self._settings.context_tokens - self._settings.thought_tokens - prompts.RULES_TOKENS
        return prompts.question(self._brief, self._named, self._ranked, self._infos, max(room, 250))

    async def _think(self, asked: prompts.Question) -> str:
        try:
            thoughts = await self._ask(asked.messages, self._settings.thought_tokens)
        except ModelReplyError:  # an empty thought is no reason to go without a plan
            return ""
        whole_lines = thoughts.text.strip().rpartition("\n")[0] if thoughts.finish == "length" else ""
        return whole_lines or thoughts.text.strip()

    def _structure(self, asked: prompts.Question, thoughts: str) -> list[ChatMessage]:
        return prompts.structure(asked, thoughts, self._infos, new_files=self._new_files)

    def _repair(self, asked: prompts.Question, reply: str, problems: Sequence[str]) -> list[ChatMessage]:
        room = self._settings.context_tokens
        return prompts.repair(asked, self._infos, reply, problems, room, new_files=self._new_files)

    async def _structured(
        self, asked: prompts.Question, messages: list[ChatMessage], temperature: float = 0.0
    ) -> tuple[list[Step], list[str], str]:
        """The plan that the model answers with, what is wrong with it, and the reply itself."""
        files = None if self._new_files else asked.files
        gates = [gate.gate for gate in self._brief.survey.gates]
        # Not many more packets than files: a rambling model must get to the end of its reply.
        most = min(draft.MAX_PACKETS, max(4, len(asked.files) + 2))
        schema = draft.schema(self._infos, files, gates, most)
        try:
            reply = (await self._ask(messages, self._settings.reply_tokens, schema, temperature)).text.strip()
        except ModelReplyError as error:
            return [], [f"the reply is not as the schema asks: {error.message}"], ""
        steps, problems = draft.read(reply)
        if not problems:
            steps, problems = draft.check(steps, self._brief, self._named, self._types)
        return steps, problems, reply

    async def _ask(
        self,
        messages: list[ChatMessage],
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
    ) -> ChatReply:
        call = ChatCall(
            tier="deep",
            messages=messages,
            max_tokens=max_tokens,
            schema_=schema,
            temperature=temperature,
            purpose="plan",
            request_id=self._brief.request.request_id,
            privacy=self._brief.request.privacy,
        )
        return await self._ask_model(call)

    def _plan_of(self, steps: Sequence[Step], origin: Origin, note: str) -> Plan:
        whole = templates.with_tests(self._brief, steps, self._named.tests)
        return _plan(self._brief, whole, self._settings, origin, note)


def _plannable(brief: Brief) -> dict[str, TypeInfo]:
    """The types that the model may give work to: the kind's own, and beside code tests and pages."""
    types = [brief.worker]
    if "testing" in templates.TEMPLATES[brief.kind] and brief.worker.role == "coding":
        types += [info for role in ("testing", "docs") if (info := of_role(role, brief.types))]
    return {info.name: info for info in types}


def _fallback_files(brief: Brief, named: Named, ranked: Sequence[RankedFile]) -> tuple[str, ...]:
    """The files for a template when the request does not name them: the ones that fit it best.

    Raises PlanError E-PLAN-NO-FILES when there is none and none may be made.
    """
    if named.subjects:
        return named.subjects
    best = [file.path for file in ranked[:3] if file.score and 2 * file.score >= ranked[0].score]
    best = best or [file.path for file in ranked[:1]]
    if best:
        return tuple(best[:1] if brief.kind in ("feature", "project") else best)
    if brief.kind == "docs":
        return ("README.md",)
    if brief.kind in ("feature", "project", "research"):
        return ("main.js" if brief.survey.language == "node" else "main.py",)
    raise PlanError(
        "no file was found that this request could be about",
        code="E-PLAN-NO-FILES",
        hint='List the files to change in "files".',
        field="files",
    )


def _from_template(brief: Brief, named: Named, settings: PlanSettings, origin: Origin, note: str) -> Plan:
    steps = templates.steps_for(brief, named.subjects, named.tests)
    return _plan(brief, steps, settings, origin, note)


def _plan(brief: Brief, steps: Sequence[Step], settings: PlanSettings, origin: Origin, note: str) -> Plan:
    return Plan(
        request_id=brief.request.request_id,
        origin=origin,
        kind=brief.kind,
        packets=assemble(brief, steps, settings.max_attempts),
        note=draft.printable(note)[:_NOTE],
    )
