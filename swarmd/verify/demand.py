"""What a request asks of the tests: which of the base's failures its patch must mend."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from swarmd.messages import Packet, Plan, Request, Survey
from swarmd.verify.facts import ExampleFacts
from swarmd.verify.roles import Role

__all__ = ["code_to_come", "example_targets", "is_judged", "kind_of", "targets"]

_FIX = re.compile(r"\b(?:fix|fixes|bug|bugs|failing|broken|repair|crash(?:es)?|regression)\b", re.IGNORECASE)


def kind_of(request: Request, plan: Plan | None) -> str:
    """The request's kind: as planned, as given, else a guess from its words."""
    if plan is not None and plan.kind != "auto":
        return plan.kind
    if request.kind != "auto":
        return request.kind
    return "bugfix" if _FIX.search(request.user_request) else "feature"


def targets(request: Request, kind: str, failed: Iterable[str]) -> frozenset[str]:
    """Those of the base's ``failed`` tests that the request is about.

    Named ones: by the test's or its file's name in the request's text, or by a source file's name
    there or in ``files`` (``auth.py`` means ``test_auth.py``). A bugfix that names none means all.
    """
    failing = list(failed)
    named = frozenset(test_id for test_id in failing if _is_named(request, test_id))
    if named or kind != "bugfix":
        return named
    return frozenset(failing)


def example_targets(facts: ExampleFacts | None, kind: str) -> frozenset[str]:
    """Those of the base's failing examples that a request of ``kind`` must make hold: none where no code
    is asked for, and only its own where the code is to do what it does."""
    if facts is None or kind in ("docs", "test", "review", "research"):
        return frozenset()
    own = {one.example_id for one in facts.examples if kind != "refactor" or one.origin == "request"}
    return frozenset(facts.targets) & own


def _is_named(request: Request, test_id: str) -> bool:
    path, _, rest = test_id.partition("::")
    name = re.split(r"::|\.", rest or test_id)[-1].partition("[")[0]
    words = set(re.findall(r"[\w./-]+", request.user_request)) | set(request.files)
    words |= {word.rstrip(".") for word in words}
    if name in words or test_id in words or path in words or PurePosixPath(path).name in words:
        return True
    stems = {PurePosixPath(word).stem for word in words if word.endswith(".py")}
    stem = PurePosixPath(path).stem if path.endswith(".py") else path.split(".")[-3:][0]
    return stem.removeprefix("test_").removesuffix("_test") in {one.removeprefix("test_") for one in stems}


def is_judged(request: Request, kind: str, survey: Survey) -> bool:
    """Whether anything but a model can tell that what is asked for was done: a failing test or an example
    that the request is about, or a command of its own that fails. What is not new is judged by what was
    there."""
    if kind not in ("feature", "project"):
        return True
    commands = any(one.gate.startswith("verify-") and not one.ok for one in survey.base_results)
    return bool(commands or survey.examples or targets(request, kind, survey.base_failed))


def code_to_come(
    plan: Plan | None, packet: Packet, landed: Iterable[str], roles: dict[str, Role]
) -> list[str]:
    """Task ids of the plan's coding packets, other than ``packet``, that have not ``landed`` and do
    not come before it. ``roles`` gives each agent type's role."""
    if plan is None:
        return []
    done = set(landed) | _ancestors(plan, packet.task_id) | {packet.task_id}
    coding = [other.task_id for other in plan.packets if roles.get(other.agent_type, "coding") == "coding"]
    return [task_id for task_id in coding if task_id not in done]


def _ancestors(plan: Plan, task_id: str) -> set[str]:
    parents = {packet.task_id: packet.dependencies for packet in plan.packets}
    found: set[str] = set()
    queue = list(parents.get(task_id, ()))
    while queue:
        parent = queue.pop()
        if parent not in found:
            found.add(parent)
            queue += parents.get(parent, ())
    return found
