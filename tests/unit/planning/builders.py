"""A small project, a full crew, and a deep tier that answers from a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from swarmd.errors import ModelError
from swarmd.messages import AcceptedRequest, ChatCall, ChatReply, GateSpec, Plan, Survey, Usage
from swarmd.planning import PlanSettings, TypeInfo, make_plan

FILES = {
    "README.md": "# Shop\n",
    "pyproject.toml": "[project]\n",
    "shop/__init__.py": "",
    "shop/cart.py": "class Cart:\n    pass\n\ndef total(items, tax=0):\n    return 0\n",
    "shop/auth.py": "import time\n\ndef login(user, password):\n    return None\n",
    "shop/mail/send.py": "def send_mail(to, text):\n    return None\n",
    "tests/conftest.py": "",
    "tests/test_cart.py": "from shop.cart import total\n",
    "tests/test_auth.py": "from shop.auth import login\n",
}
PROTECTED = ["pyproject.toml", "tests/conftest.py", "tests/test_cart.py", "tests/test_auth.py"]
GATES: dict[str, Any] = {"parse": "parse", "lint": "ruff", "tests": "pytest"}


def request_for(text: str, **fields: Any) -> AcceptedRequest:
    defaults = {
        "request_id": "r1",
        "workspace": "/src/shop",
        "received_at": "2026-01-01T00:00:00.000Z",
        "source_name": "r1.json",
        "content_sha256": "0" * 64,
    }
    return AcceptedRequest.model_validate(defaults | {"user_request": text} | fields)


def survey_of(files: Sequence[str] = tuple(FILES), **fields: Any) -> Survey:
    defaults = {
        "request_id": "r1",
        "workspace": "/src/shop",
        "base_commit": "a" * 40,
        "base_name": "main",
        "language": "python",
        "files": list(files),
        "gates": [GateSpec(gate=gate, runner=runner, argv=["true"]) for gate, runner in GATES.items()],
        "protected": [path for path in PROTECTED if path in files],
    }
    return Survey.model_validate(defaults | fields)


def crew_of(*extra: TypeInfo, without: Sequence[str] = ()) -> dict[str, TypeInfo]:
    types = [
        TypeInfo(
            name="coding",
            description="Changes source code.",
            role="coding",
            accepts=("feature", "bugfix", "refactor", "project"),
            skills=("api", "schema"),
        ),
        TypeInfo(name="testing", role="testing", accepts=("test",), skills=("unit-tests",), tier="deep"),
        TypeInfo(name="review", role="review", accepts=("review",), tier="reviewer", attempts=2),
        TypeInfo(name="docs", role="docs", accepts=("docs",), skills=("readme",)),
        TypeInfo(name="git", role="git"),
        TypeInfo(name="deploy", role="deploy", accepts=("deploy",)),
        *extra,
    ]
    return {info.name: info for info in types if info.name not in without}


class Script:
    """Answers one reply after the other, or raises it; remembers what it was asked."""

    def __init__(self, *replies: str | ModelError | Mapping[str, Any] | Sequence[Any]) -> None:
        self.replies = list(replies)
        self.calls: list[ChatCall] = []

    async def __call__(self, call: ChatCall) -> ChatReply:
        self.calls.append(call)
        reply = self.replies.pop(0)
        if isinstance(reply, ModelError):
            raise reply
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return ChatReply(
            text=text, model="m", provider="scripted", finish="stop", usage=Usage(), latency_ms=1
        )


def packet(
    number: int, files: Sequence[str], kind: str = "coding", after: Sequence[int] = (), **more: Any
) -> Any:
    return {
        "id": number,
        "type": kind,
        "goal": f"do {number}",
        "files": list(files),
        "depends_on": list(after),
    } | more


def plan(
    text: str,
    script: Script | None = None,
    *,
    survey: Survey | None = None,
    types: Mapping[str, TypeInfo] | None = None,
    settings: PlanSettings | None = None,
    contents: Mapping[str, str] = FILES,
    **fields: Any,
) -> Plan:
    """The plan for a request of that text; without a script, asking the model fails the test."""
    return asyncio.run(
        make_plan(
            request_for(text, **fields),
            survey or survey_of(),
            crew_of() if types is None else types,
            script or Script(),
            read=contents.get,
            settings=settings or PlanSettings(),
        )
    )


def outline(made: Plan) -> list[tuple[str, list[str], list[str]]]:
    """Type, files and dependencies of each packet, for comparing."""
    return [(p.agent_type, p.files_owned, p.dependencies) for p in made.packets]
