"""Proposals as they come from agents that are not to be trusted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmd import durable
from swarmd.agents.factory import Worker
from swarmd.agents.spec import Types
from swarmd.bus.spool import AgentSpool
from swarmd.config import PolicySettings, Settings
from swarmd.daemon.context import Context
from swarmd.daemon.journal import Journal, event
from swarmd.daemon.orders import DIFF_CHARS, Orders, needs_no_model
from swarmd.daemon.recover import payload
from swarmd.daemon.state import State, TaskState
from swarmd.errors import AgentError
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Packet, Plan, dump
from swarmd.testing import FakeClock

PROPOSAL = {"order_id": "o1", "agent_id": "coding.1", "packet_id": "pkt-r-001", "epoch": 1, "kind": "patch"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    durable.make_dirs(*home.folders())
    return home


async def assigned(home: Home) -> tuple[Context, Worker]:
    state = State(lambda request_id, name: payload(home, request_id, name))
    clock = FakeClock()
    context = Context(home, Settings(), clock, Journal(home, clock, state.apply), state, Types({}, {}))
    request = AcceptedRequest(
        user_request="x", request_id="r", received_at="t", source_name="", content_sha256=""
    )
    packet = Packet(
        packet_id="pkt-r-001", task_id="task-001", request_id="r", agent_type="coding", action="x"
    )
    plan = Plan(request_id="r", origin="direct", kind="bugfix", packets=[packet])
    folder = home.request_folder("r")
    files = {folder / "request.json": dump(request), folder / "plan.json": dump(plan)}
    data = {"sample": 1, "epoch": 1, "order_id": "o1", "agent_type": "coding"}
    await context.journal.commit(
        event("request_received", request_id="r"),
        event("plan_created", request_id="r"),
        event("task_ready", request_id="r", task_id="task-001"),
        event(
            "task_assigned",
            actor="coding.1",
            request_id="r",
            task_id="task-001",
            tier="fast",
            attempt=1,
            data=data,
        ),
        files=files,
    )
    channel: Any = SimpleNamespace()
    worker = Worker("coding.1", "agent", "coding", channel, 1, 0.0, ready=True)
    worker.work, worker.request_id, worker.task_id = "o1", "r", "task-001"
    AgentSpool(home, "coding.1").create()
    return context, worker


def heard(home: Home, proposal: dict[str, Any]) -> tuple[TaskState, Worker]:
    async def story() -> tuple[TaskState, Worker]:
        context, worker = await assigned(home)
        out = AgentSpool(home, "coding.1").outgoing / "o1.json"
        out.write_text(json.dumps(proposal))
        await Orders(context).take(worker, "o1.json")
        assert not out.exists()
        return context.state.requests["r"].tasks["task-001"], worker

    return asyncio.run(story())


def test_a_good_proposal_waits_for_a_verifier(home: Home) -> None:
    task, worker = heard(home, PROPOSAL)
    assert (task.status, task.proposal) == ("verifying", "o1.json")
    assert worker.idle


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": "o2"},
        {"epoch": 2**70},
        {"usage": {"prompt_tokens": 2**70}},
        {"kind": "cake"},
        {"others": [{"patch": "more than was asked for"}]},
    ],
)
def test_a_wrong_proposal_counts_against_the_task_and_ends_nothing(home: Home, wrong: dict[str, Any]) -> None:
    task, worker = heard(home, PROPOSAL | wrong)
    assert (task.status, task.crashes) == ("ready", 1)
    assert worker.idle


def test_a_proposal_that_nobody_asked_for_breaks_the_rules(home: Home) -> None:
    async def story() -> None:
        context, worker = await assigned(home)
        worker.work = worker.request_id = worker.task_id = None
        with pytest.raises(AgentError, match="nobody had asked"):
            await Orders(context).take(worker, "o1.json")

    asyncio.run(story())


CALL = {
    "purpose": "edit",
    "tier": "fast",
    "temperature": 0.0,
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "a secret prompt"}],
    "reply": "a secret reply",
}


@pytest.mark.parametrize("kind", ["patch", "none"])
def test_what_was_asked_is_kept_beside_the_proposal_and_not_logged(home: Home, kind: str) -> None:
    heard(home, PROPOSAL | {"kind": kind, "calls": [CALL]})
    folder = home.request_folder("r")
    kept = json.loads((folder / "transcripts/o1.json").read_text())
    assert (kept["task_id"], kept["attempt"], kept["sample"], kept["agent_id"]) == (
        "task-001",
        1,
        1,
        "coding.1",
    )
    assert kept["calls"][0]["reply"] == "a secret reply"
    others = [path for path in home.root.rglob("*") if path.is_file() and path.parent.name != "transcripts"]
    assert [path for path in others if b"secret" in path.read_bytes()] == []


def test_a_transcript_that_cannot_be_kept_is_no_failure(home: Home) -> None:
    (home.request_folder("r")).mkdir(parents=True)
    (home.request_folder("r") / "transcripts").write_text("in the way")
    task, _ = heard(home, PROPOSAL | {"calls": [CALL]})
    assert task.status == "verifying"


SMALL = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"
SCRIPT = SMALL.replace("a.py", "a.js")
CUT = SMALL + " " * DIFF_CHARS


@pytest.mark.parametrize(
    ("role", "kind", "diff", "settings", "without"),
    [
        ("review", "bugfix", SMALL, {}, True),
        ("git", "bugfix", SMALL, {}, True),
        ("review", "review", SMALL, {}, False),
        ("review", "bugfix", SMALL, {"review": "block"}, False),
        ("git", "bugfix", SMALL, {"review": "block"}, True),
        ("review", "bugfix", SCRIPT, {}, False),
        ("git", "bugfix", SCRIPT, {}, True),
        ("git", "bugfix", SMALL, {"small_diff": 1}, False),
        ("git", "bugfix", CUT, {}, False),
        ("git", "bugfix", "", {}, False),
        ("docs", "docs", SMALL, {}, False),
    ],
)
def test_small_changes_are_reviewed_and_worded_without_a_model(
    role: str, kind: str, diff: str, settings: dict[str, Any], without: bool
) -> None:
    policy = PolicySettings.model_validate(settings)
    assert needs_no_model(policy, role, kind, diff) == without
