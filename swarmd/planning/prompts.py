"""How the deep tier is asked for a plan: short, because a CPU reads 20 to 45 tokens a second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.messages import ChatMessage
from swarmd.planning.brief import Brief, Named
from swarmd.planning.relevance import RankedFile, fitting
from swarmd.planning.typeinfo import TypeInfo

__all__ = ["RULES_TOKENS", "Question", "estimate", "question", "repair", "structure"]

_SYSTEM = (
    "You plan changes to a software project. Others write the code; you decide which files change,"
    " and in which order. Touch as few files as possible: most changes need 1 to 3. Be brief."
)
_THINK = (
    "Which files must change for the request, and what has to be done in each? Leave out files that can"
    " stay as they are. Answer with at most 4 lines of this form, first things first, and no code:\n"
    "path - what to do there, in a few words"
)
_THINK_NEW = (
    "Which files must be written for the request? As few as possible: a small program is one file, named"
    " after what it does. Answer with at most 3 lines of this form, first things first, and no code:\n"
    "path - what it holds, in a few words"
)
_RULES = """Now write that plan as JSON: {{"packets": [{{"id": 1, "type": "{type}", "goal": "...", \
"files": ["..."], "depends_on": []}}]}}
One packet for each piece of work, 1 to 3 in all if that is enough. "goal": one sentence that says what \
to do. "files": the files that the packet changes{files}. A file is changed by one packet only.{tests} \
"depends_on": ids of the packets that must be done first. JSON only."""
_REPAIR = """The plan cannot be used:
{problems}
Write the whole plan again as JSON, with these things corrected. JSON only."""

RULES_TOKENS = 200
"""What the second turn's rules take, at most."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MAX_PROBLEMS, _MAX_FAILURES, _MAX_SHOWN = 5, 4, 8


@dataclass(frozen=True)
class Question:
    """The first turn, and what it shows."""

    messages: list[ChatMessage]
    files: tuple[str, ...]
    """The files that it lists."""
    elided: int = 0
    """Characters of the request that it leaves out, which it says."""


def estimate(text: str) -> int:
    """Tokens of ``text``, on the safe side: three bytes each."""
    return len(text.encode()) // 3 + 1


def question(
    brief: Brief, named: Named, ranked: Sequence[RankedFile], types: Sequence[TypeInfo], tokens: int
) -> Question:
    """The first turn: the request, the files that may matter, the agent types, in ``tokens``."""
    request, elided = _shortened(brief.request.user_request, tokens * 2 // 5)
    head = f"The request ({brief.kind}):\n<<<\n{request}\n>>>\n\n"
    think = _THINK if brief.survey.files else _THINK_NEW
    tail = f"\n{_failing(brief)}{_agents(types)}\n{think}"
    left = tokens - estimate(_SYSTEM) - estimate(head) - estimate(tail)
    lines, shown = _file_lines(brief, named, ranked, left)
    text = f"{head}{lines}{tail}"
    messages = [ChatMessage(role="system", content=_SYSTEM), ChatMessage(role="user", content=text)]
    return Question(messages, shown, elided)


def structure(
    asked: Question, thoughts: str, types: Sequence[TypeInfo], *, new_files: bool
) -> list[ChatMessage]:
    """The second turn: the same plan again, as JSON."""
    return [
        *asked.messages,
        ChatMessage(role="assistant", content=thoughts or "-"),
        ChatMessage(role="user", content=_rules(types, new_files)),
    ]


def repair(
    asked: Question,
    types: Sequence[TypeInfo],
    reply: str,
    problems: Sequence[str],
    tokens: int,
    *,
    new_files: bool,
) -> list[ChatMessage]:
    """The third turn: what is wrong with the plan, in ``tokens``. The free thoughts are left out to
    save room, and so is the wrong plan when it is too long to be quoted whole."""
    first = asked.messages[-1].content.removesuffix(_THINK).removesuffix(_THINK_NEW) + _rules(
        types, new_files
    )
    listed = "\n".join(f"- {problem[:120]}" for problem in problems[:_MAX_PROBLEMS])
    told = _REPAIR.format(problems=listed)
    fits = sum(map(estimate, (_SYSTEM, first, reply, told))) <= tokens
    return [
        asked.messages[0],
        ChatMessage(role="user", content=first),
        ChatMessage(role="assistant", content=reply if reply and fits else "-"),
        ChatMessage(role="user", content=told),
    ]


def _rules(types: Sequence[TypeInfo], new_files: bool) -> str:
    files = ', or new ones like "folder/name.py"' if new_files else ", from the list above"
    testing = next((info.name for info in types if info.role == "testing"), None)
    tests = f' Test files belong into packets of type "{testing}".' if testing else ""
    return _RULES.format(type=types[0].name, files=files, tests=tests)


def _shortened(text: str, tokens: int) -> tuple[str, int]:
    """``text`` within ``tokens``: from a longer one the middle is left out, and the gap is marked."""
    text = _CONTROL.sub(" ", text).strip()
    if estimate(text) <= tokens:
        return text, 0
    room = max(tokens * 3 - 60, 120)
    while len(text[:room].encode()) > tokens * 3:
        room = room * 3 // 4
    head, tail = text[: room * 3 // 4], text[len(text) - room // 4 :]
    elided = len(text) - len(head) - len(tail)
    return f"{head}\n[... {elided} characters left out ...]\n{tail}", elided


def _failing(brief: Brief) -> str:
    failures = [f for result in brief.survey.base_results for f in result.failures][:_MAX_FAILURES]
    if not failures or brief.kind != "bugfix":
        return ""
    lines = (f"{f.test_id[:100]}: {_first_line(f.message)}" for f in failures)
    return "Failing tests:\n" + "\n".join(lines) + "\n"


def _first_line(message: str) -> str:
    """The first telling line of a test's failure."""
    lines = [line.strip() for line in _CONTROL.sub(" ", message).splitlines() if line.strip()]
    return lines[0][:120] if lines else "fails"


def _agents(types: Sequence[TypeInfo]) -> str:
    lines = []
    for info in types:
        skills = f" Skills: {', '.join(info.skills[:10])}." if info.skills else ""
        lines.append(f"{info.name}: {info.description[:160]}{skills}")
    return "Agent types:\n" + "\n".join(lines) + "\n"


def _file_lines(
    brief: Brief, named: Named, ranked: Sequence[RankedFile], tokens: int
) -> tuple[str, tuple[str, ...]]:
    """The files that may matter, one line each, as many as there is room for; the named ones first."""
    fresh = [RankedFile(path, 0, ("new",)) for path in named.subjects if path not in brief.survey.files]
    known = fitting(ranked, _MAX_SHOWN)
    if named.binding:
        known = [file for file in ranked if file.path in named.subjects]
    lines: list[str] = []
    shown: list[str] = []
    left = tokens - 12
    for file in [*fresh, *known][:_MAX_SHOWN]:
        long = f"{file.path}: {', '.join(file.signatures)}" if file.signatures else file.path
        form = long if estimate(long) < left else file.path
        if estimate(form) < left:
            left -= estimate(form) + 1
            lines.append(form)
            shown.append(file.path)
    if not lines:
        return ("" if brief.survey.files else "The project has no files yet.\n"), ()
    return "Files of the project that may matter:\n" + "\n".join(lines) + "\n", tuple(shown)
